"""SQL of one link: which rows refer to those that were deleted, and what is done with them.

Composed with the driver's identifiers. The texts stand in functions of the parent (see `triggers`) whose parameter $1
holds the deleted parents as JSON, and $2 the id of the deletion. There `g` is such a parent, `c` refers to it.
"""

from collections.abc import Iterable

from psycopg import sql

from pgsoftproxy.model.catalog import Column, Relation, RelationKind
from pgsoftproxy.model.links import Link, Pair, Reaction, primary_key, short_name
from pgsoftproxy.model.policy import ColumnKind, Protection

SCHEMA = "pgsoftproxy"
IN_UTC = "{} AT TIME ZONE 'UTC'"
"""Turns a timestamptz into a timestamp, and back."""
RESTRICT_HAS_ITS_OWN_ERROR = 180000


SET_DEFAULT = sql.SQL("""DECLARE
    late boolean := false;
  BEGIN
    BEGIN
      {emptying}
    EXCEPTION WHEN foreign_key_violation THEN
      late := true;
    END;
    IF late THEN
      INSERT INTO pgsoftproxy.queue (transaction, work, parents) VALUES (pg_current_xact_id(), {work}, $1);
    ELSE
      {refusal}
    END IF;
  END;""")
"""The server checks the new keys at the end of its queue, so that other keys may take the rows along before. What it
refuses at once here goes to the end of ours; only the check whether it is the deleted key itself waits for nothing."""

DUE = "strpos(current_setting('pgsoftproxy.due', true), {}) > 0"
"""What must be true for a check that may wait to be made now."""


def joined(items: Iterable[sql.Composable], separator: str = ", ") -> sql.Composable:
    """Return the items with a separator between them."""
    return sql.SQL(separator).join(items)


def table(relation: Relation) -> sql.Composable:
    """Return a relation's qualified name."""
    return sql.Identifier(relation.schema, relation.name)


def rows(relation: Relation) -> sql.Composable:
    """Return a FROM item's name for what a key knows: rows of a table or its partitions, not inheritance children."""
    only = sql.SQL("" if relation.kind is RelationKind.PARTITIONED else "ONLY ")
    return sql.SQL("{}{}").format(only, table(relation))


def is_deleted(alias: str, protection: Protection) -> sql.Composable:
    """Return the predicate "this row is deleted"."""
    column = sql.Identifier(alias, protection.column)
    return sql.SQL("{} IS TRUE" if protection.kind is ColumnKind.BOOLEAN else "{} IS NOT NULL").format(column)


def is_live(alias: str, protection: Protection | None) -> sql.Composable:
    """Return the predicate "this row is live", in the form that partial indexes on live rows have."""
    if protection is None:
        return sql.SQL("true")
    column = sql.Identifier(alias, protection.column)
    if protection.kind is not ColumnKind.BOOLEAN:
        return sql.SQL("{} IS NULL").format(column)
    return sql.SQL("{} IS NOT TRUE" if protection.nullable else "NOT {}").format(column)


def refers(link: Link, parent: str, child: str) -> sql.Composable:
    """Return the predicate "this child refers to this parent", by their aliases."""
    pairs = [
        sql.SQL("{} {} {}").format(
            sql.Identifier(parent, pair.referenced), operator(pair), sql.Identifier(child, pair.column)
        )
        for pair in link.pairs
    ]
    if link.type_column is not None:
        column = sql.Identifier(child, link.type_column)
        pairs.append(sql.SQL("{}::text = {}").format(column, sql.Literal(link.type_value)))
    return joined(pairs, " AND ")


def operator(pair: Pair) -> sql.Composable:
    """Return the operator that compares a referenced column with a referencing one, whatever the search_path."""
    schema, name = pair.operator
    if schema == "pg_catalog":
        return sql.SQL(name)
    return sql.SQL("OPERATOR({}.{})").format(sql.Identifier(schema), sql.SQL(name))


def sent_columns(links: Iterable[Link], protection: Protection) -> tuple[Column, ...]:
    """Return the columns of a parent that its functions need of a deleted row: keys and stamps."""
    names = [pair.referenced for link in links for pair in link.pairs]
    names += [protection.column, *([protection.deleted_by] if protection.deleted_by else [])]
    columns = (protection.relation.column(name) for name in dict.fromkeys(names))
    return tuple(column for column in columns if column is not None)


def parents(columns: Iterable[Column]) -> sql.Composable:
    """Return the FROM item `g` of the parents in $1."""
    return sql.SQL("jsonb_to_recordset($1) AS g({})").format(declared(columns))


def declared(columns: Iterable[Column]) -> sql.Composable:
    """Return a column definition list."""
    return joined(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type_name)) for column in columns
    )


def reaction(link: Link, columns: tuple[Column, ...], server_version: int) -> sql.Composable | None:
    """Return the statements of a link's action as PL/pgSQL; None if there is nothing to do at this point."""
    match link.reaction:
        case Reaction.CASCADE if link.child.protection is not None:
            text = sql.SQL("UPDATE {} AS c SET {} FROM {} WHERE {};")
            return text.format(rows(link.child.relation), _stamps(link), parents(columns), _referring(link))
        case Reaction.CASCADE if link.unprotected.value == "hard":
            return sql.SQL("DELETE FROM {} AS c USING {} WHERE {};").format(
                rows(link.child.relation), parents(columns), _referring(link)
            )
        case Reaction.SET_NULL:
            return _emptying(link, columns, "NULL")
        case Reaction.SET_DEFAULT:
            emptying, work = _emptying(link, columns, "DEFAULT"), sql.Literal(later(link))
            return SET_DEFAULT.format(emptying=emptying, work=work, refusal=refusal(link, columns))
        case Reaction.RESTRICT | Reaction.NO_ACTION:
            check = refusal(link, columns, server_version)
            if not link.waits:
                return check
            return sql.SQL("IF {} THEN\n  {}\n  END IF;").format(_is_due(link), check)
        case Reaction.CASCADE | Reaction.PARENT_ONLY:
            return None


def later(link: Link) -> str:
    """Return the name of the work that sets a link's defaults when all that was queued before is done."""
    return f"default_{short_name(link.name, f'{link.label} {link.parent.relation.label}')}"


def setting_default(link: Link, columns: tuple[Column, ...]) -> sql.Composable:
    """Return the statements of that work; `reaction` queues it."""
    return sql.SQL("{}\n  {}").format(_emptying(link, columns, "DEFAULT"), refusal(link, columns))


def is_held(link: Link, columns: tuple[Column, ...]) -> sql.Composable:
    """Return the predicate "a row still refers to one of the parents in $1"; false of a check that waits."""
    held = sql.SQL("EXISTS (SELECT FROM {} WHERE EXISTS (SELECT FROM {} AS c WHERE {}))").format(
        parents(columns), rows(link.child.relation), _referring(link)
    )
    return sql.SQL("({} AND {})").format(_is_due(link), held) if link.waits else held


def _is_due(link: Link) -> sql.Composable:
    return sql.SQL(DUE).format(sql.Literal(f",{link.key},"))


def refusal(link: Link, columns: tuple[Column, ...], server_version: int = 0) -> sql.Composable:
    """Return PL/pgSQL that raises the server's own error if a row still refers to one of the parents in $1."""
    restricts = link.reaction is Reaction.RESTRICT and server_version >= RESTRICT_HAS_ITS_OWN_ERROR
    parent, child = link.parent.relation.name, link.child.relation.name
    setting = "RESTRICT setting of " if restricts else ""
    constraint = f'{setting}foreign key constraint "{link.name}"'
    message = f'update or delete on table "{parent}" violates {constraint} on table "{child}"'
    names = ", ".join(pair.referenced for pair in link.pairs)
    detail = f'Key ({names})=(%s) is {"" if restricts else "still "}referenced from table "{child}".'
    return sql.SQL(
        "SELECT concat_ws(', ', {keys}) INTO held FROM {parents}\n"
        "  WHERE EXISTS (SELECT FROM {child} AS c WHERE {refers}) LIMIT 1;\n"
        "  IF FOUND THEN\n"
        "    {refuse}\n"
        "  END IF;"
    ).format(
        keys=joined(sql.Identifier("g", pair.referenced) for pair in link.pairs),
        parents=parents(columns),
        child=rows(link.child.relation),
        refers=_referring(link),
        refuse=raising(link, "23001" if restricts else "23503", message, detail),
    )


def absence(link: Link) -> sql.Composable:
    """Return PL/pgSQL that raises the server's own error for a row whose parent is not there; `held` has the values."""
    child = link.child.relation.name
    message = f'insert or update on table "{child}" violates foreign key constraint "{link.name}"'
    names = ", ".join(pair.column for pair in link.pairs)
    return raising(
        link, "23503", message, f'Key ({names})=(%s) is not present in table "{link.parent.relation.name}".'
    )


def raising(link: Link, sqlstate: str, message: str, detail: str) -> sql.Composable:
    """Return a RAISE with the fields that the server gives of a foreign key; `%s` in the detail is variable `held`."""
    return sql.SQL(
        "RAISE EXCEPTION USING ERRCODE = {}, MESSAGE = {}, DETAIL = replace({}, '%s', held),\n"
        "      SCHEMA = {}, TABLE = {}, CONSTRAINT = {};"
    ).format(
        sql.Literal(sqlstate),
        sql.Literal(message),
        sql.Literal(detail),
        sql.Literal(link.child.relation.schema),
        sql.Literal(link.child.relation.name),
        sql.Literal(link.name),
    )


def _referring(link: Link) -> sql.Composable:
    parts = [refers(link, "g", "c")]
    if link.child.protection is not None:
        parts.append(is_live("c", link.child.protection))
    return joined(parts, " AND ")


def _stamps(link: Link) -> sql.Composable:
    child, parent = link.child.protection, link.parent.protection
    assert child is not None and parent is not None
    if child.kind is ColumnKind.BOOLEAN:
        stamp: sql.Composable = sql.SQL("true")
    else:
        form = "{}" if parent.kind is child.kind else IN_UTC
        known: sql.Composable = sql.Identifier("g", parent.column)
        if parent.kind is ColumnKind.BOOLEAN:
            known, form = sql.SQL("now()"), "{}" if child.kind is ColumnKind.TIMESTAMPTZ else IN_UTC
        stamp = sql.SQL(form).format(known)
    items = [_set(child.column, stamp)]
    if child.deleted_by is not None:
        by = sql.Identifier("g", parent.deleted_by) if parent.deleted_by else sql.SQL("SESSION_USER")
        items.append(_set(child.deleted_by, by))
    if child.deletion_id is not None:
        items.append(_set(child.deletion_id, sql.SQL("$2")))
    return joined(items)


def _set(column: str, value: sql.Composable) -> sql.Composable:
    return sql.SQL("{} = {}").format(sql.Identifier(column), value)


def _emptying(link: Link, columns: tuple[Column, ...], value: str) -> sql.Composable:
    """Set the referring columns to NULL or their defaults, and note in the journal what they were."""
    key = primary_key(link.child.relation)
    changes = joined(_set(name, sql.SQL(value)) for name in link.emptied)
    if key:
        return sql.SQL(
            "WITH old AS (\n"
            "    SELECT {columns} FROM {child} AS c JOIN {parents} ON {refers} FOR UPDATE OF c\n"
            "  ), emptied AS (\n"
            "    UPDATE {child} AS c SET {changes} FROM old WHERE {same}\n"
            "    RETURNING {returned}\n"
            "  )\n"
            "  INSERT INTO {schema}.journal (deletion_id, link, schema_name, table_name, key, was, became)\n"
            "  SELECT $2, {link}, {schema_name}, {table_name}, {key}, {was}, {became}\n"
            "  FROM old JOIN emptied AS e ON {again};"
        ).format(
            columns=joined(
                sql.Identifier("c", name)
                for name in dict.fromkeys([*(column.name for column in key), *link.emptied])
            ),
            child=rows(link.child.relation),
            parents=parents(columns),
            refers=_referring(link),
            changes=changes,
            same=joined(
                (sql.SQL("c.{0} = old.{0}").format(sql.Identifier(column.name)) for column in key),
                " AND ",
            ),
            schema=sql.Identifier(SCHEMA),
            link=sql.Literal(link.name),
            schema_name=sql.Literal(link.child.relation.schema),
            table_name=sql.Literal(link.child.relation.name),
            key=_object("old", (column.name for column in key)),
            was=_object("old", link.emptied),
            became=_object("e", link.emptied),
            returned=joined(
                sql.Identifier("c", name)
                for name in dict.fromkeys([*(column.name for column in key), *link.emptied])
            ),
            again=joined(
                (sql.SQL("e.{0} = old.{0}").format(sql.Identifier(column.name)) for column in key), " AND "
            ),
        )
    return sql.SQL("UPDATE {} AS c SET {} FROM {} WHERE {};").format(
        rows(link.child.relation), changes, parents(columns), _referring(link)
    )


def _object(alias: str, names: Iterable[str]) -> sql.Composable:
    items = (sql.SQL("{}, {}").format(sql.Literal(name), sql.Identifier(alias, name)) for name in names)
    return sql.SQL("jsonb_build_object({})").format(joined(items))
