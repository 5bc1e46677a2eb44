"""SQL of a restore: which deleted rows are chosen, what stands in their way, how they come back.

Composed with the driver's identifiers; no statement takes parameters. The chosen rows stand in a temporary table by
their place (tableoid and ctid), which cannot change while they are locked.
"""

from collections.abc import Iterable

from psycopg import sql

from pgsoftproxy.db.link_sql import IN_UTC, is_deleted, is_live, joined, refers, rows, table
from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.model.links import Link, primary_key
from pgsoftproxy.model.policy import ColumnKind, Protection
from pgsoftproxy.model.restore import Because, Selection

TEMPORARY = """
CREATE TEMPORARY TABLE pgsoftproxy_chosen (
    rel oid NOT NULL, tup tid NOT NULL, home oid NOT NULL, step int NOT NULL, because text NOT NULL,
    PRIMARY KEY (rel, tup)) ON COMMIT DROP;
CREATE TEMPORARY TABLE pgsoftproxy_conflicts (
    kind text NOT NULL, rel oid NOT NULL, tup tid NOT NULL, tab text NOT NULL, key jsonb, name text NOT NULL,
    other jsonb, restored boolean NOT NULL, message text NOT NULL) ON COMMIT DROP;
CREATE TEMPORARY TABLE pgsoftproxy_links (
    link int NOT NULL, entry tid NOT NULL, key jsonb NOT NULL, was jsonb NOT NULL, became jsonb NOT NULL
) ON COMMIT DROP;
"""
CHOSEN = sql.SQL("pg_temp.pgsoftproxy_chosen")
CONFLICTS = sql.SQL("pg_temp.pgsoftproxy_conflicts")
LINKS = sql.SQL("pg_temp.pgsoftproxy_links")
SINCE, UNTIL = ">=", "<"


def source(relation: Relation, alias: str) -> sql.Composable:
    """Return a FROM item of the rows that a table or its partitions hold, without inheritance children."""
    return sql.SQL("{} AS {}").format(rows(relation), sql.Identifier(alias))


def is_chosen(alias: str, also: str = "true") -> sql.Composable:
    """Return the predicate "this row comes back"."""
    return sql.SQL(
        "EXISTS (SELECT FROM {} AS x WHERE x.rel = {}.tableoid AND x.tup = {}.ctid AND {})"
    ).format(CHOSEN, sql.Identifier(alias), sql.Identifier(alias), sql.SQL(also))


def key_names(relation: Relation) -> tuple[str, ...]:
    """Return the columns by which a row is named and ordered: its primary key, or where it lies."""
    return tuple(column.name for column in primary_key(relation)) or ("ctid",)


def key_object(relation: Relation, alias: str) -> sql.Composable:
    """Return a row's key as JSON."""
    items: list[sql.Composable] = []
    for name in key_names(relation):
        text = "{}, {}::text" if name == "ctid" else "{}, {}"
        items.append(sql.SQL(text).format(sql.Literal(name), sql.Identifier(alias, name)))
    return sql.SQL("jsonb_build_object({})").format(joined(items))


def _in_key_order(relation: Relation, alias: str) -> sql.Composable:
    return joined(sql.Identifier(alias, name) for name in key_names(relation))


def home_of(relation: Relation) -> sql.Composable:
    """Return the constant by which the chosen rows of a table are told from those of others."""
    return sql.SQL("{}::regclass").format(sql.Literal(table(relation).as_string(None)))


def choose(
    protection: Protection, home: Relation, where: sql.Composable, why: tuple[sql.Composable, Because]
) -> sql.Composable:
    """Lock the deleted rows `r` for which a predicate holds, in key order, and choose them; `why` has the step."""
    relation = protection.relation
    return sql.SQL(
        "INSERT INTO {chosen} SELECT f.rel, f.tup, {home}, {step}, {because} FROM (\n"
        "  SELECT r.tableoid AS rel, r.ctid AS tup FROM {source} WHERE {deleted} AND NOT {known} AND {where}\n"
        "  ORDER BY {keys} FOR UPDATE OF r) AS f ON CONFLICT DO NOTHING"
    ).format(
        chosen=CHOSEN,
        home=home_of(home),
        step=why[0],
        because=sql.Literal(why[1].value),
        source=source(relation, "r"),
        deleted=is_deleted("r", protection),
        known=is_chosen("r"),
        where=where,
        keys=_in_key_order(relation, "r"),
    )


def asked(selection: Selection, protection: Protection) -> sql.Composable | None:
    """Return the predicate of a selection on rows `r` of one table; None if its columns cannot answer."""
    parts: list[sql.Composable | None] = []
    if selection.deletions:
        ids = joined(sql.SQL("{}::uuid").format(sql.Literal(one)) for one in selection.deletions)
        parts.append(is_of_deletion(protection, ids))
    for given, comparison in ((selection.since, SINCE), (selection.until, UNTIL)):
        if given is not None:
            bound = sql.SQL("{}::timestamptz").format(sql.Literal(given))
            parts.append(is_deleted_at(protection, comparison, bound))
    if selection.key:
        parts.append(has_key(protection.relation, "r", literals(selection.key)))
    if selection.where is not None:
        parts.append(sql.SQL("({}\n)").format(sql.SQL(selection.where)))
    known = [part for part in parts if part is not None]
    return joined(known, " AND ") if len(known) == len(parts) else None


def is_of_deletion(protection: Protection, ids: sql.Composable) -> sql.Composable | None:
    """Return the predicate "row `r` went in one of these deletions"; None if that is not noted."""
    if protection.deletion_id is None:
        return None
    return sql.SQL("{} IN ({})").format(id_of("r", protection), ids)


def is_deleted_at(protection: Protection, comparison: str, bound: sql.Composable) -> sql.Composable | None:
    """Return the predicate "row `r` was deleted since, or until"; None if that is not noted."""
    if protection.kind is ColumnKind.BOOLEAN:
        return None
    return sql.SQL("{} {} {}").format(moment("r", protection), sql.SQL(comparison), bound)


def has_key(relation: Relation, alias: str, values: Iterable[sql.Composable]) -> sql.Composable:
    """Return the predicate "this row has that primary key"; there must be a text for each of its columns."""
    return joined(
        (
            sql.SQL("{} = {}").format(sql.Identifier(alias, column.name), value)
            for column, value in zip(primary_key(relation), typed_key(relation, values), strict=True)
        ),
        " AND ",
    )


def typed_key(relation: Relation, values: Iterable[sql.Composable]) -> list[sql.Composable]:
    """Return the values of a primary key in the types of its columns."""
    return [
        sql.SQL("CAST({} AS {})").format(value, sql.SQL(column.type_name))
        for column, value in zip(primary_key(relation), values, strict=True)
    ]


def literals(values: Iterable[str]) -> list[sql.Composable]:
    """Return texts as constants."""
    return [sql.Literal(value) for value in values]


def moment(alias: str, protection: Protection) -> sql.Composable:
    """Return when a row was deleted as timestamptz; its column must not be a boolean."""
    form = "{}" if protection.kind is ColumnKind.TIMESTAMPTZ else IN_UTC
    return sql.SQL(form).format(sql.Identifier(alias, protection.column))


def id_of(alias: str, protection: Protection) -> sql.Composable:
    """Return a row's deletion id as uuid; its table must have a column for it, which may be of another type."""
    column = protection.relation.column(protection.deletion_id or "")
    assert column is not None  # a protection's column is one of its relation
    name = sql.Identifier(alias, column.name)
    return name if column.type_name == "uuid" else sql.SQL("CAST({} AS uuid)").format(name)


def same_deletion(parent: tuple[str, Protection], child: tuple[str, Protection]) -> sql.Composable | None:
    """Return the predicate "one deletion took both"; None if what the tables note cannot tell."""
    ways = []
    (above, over), (below, under) = parent, child
    by_stamp = ColumnKind.BOOLEAN not in {over.kind, under.kind}
    if over.deletion_id and under.deletion_id:
        ids = id_of(above, over), id_of(below, under)
        ways.append(sql.SQL("{} = {}").format(*ids))
        guard: sql.Composable = sql.SQL("{} IS NULL AND ").format(ids[0])
    else:
        guard = sql.SQL("")
    if by_stamp:
        column = under.relation.column(under.column)
        assert column is not None  # a protection's column is one of its relation
        stamp = sql.Identifier(above, over.column)
        form = "{}" if over.kind is under.kind else IN_UTC
        ways.append(
            sql.SQL("({}{} = CAST({} AS {}))").format(
                guard,
                sql.Identifier(below, under.column),
                sql.SQL(form).format(stamp),
                sql.SQL(column.type_name),
            )
        )
    return sql.SQL("({})").format(joined(ways, " OR ")) if ways else None


def below(link: Link, step: sql.Composable) -> sql.Composable | None:
    """Return the predicate "row `r` went with a row that was chosen in this step"; None if that cannot be told."""
    parent, child = link.parent.protection, link.child.protection
    assert parent is not None and child is not None
    same = same_deletion(("p", parent), ("r", child))
    if same is None:
        return None
    return sql.SQL(
        "EXISTS (SELECT FROM {} JOIN {} AS x ON x.rel = p.tableoid AND x.tup = p.ctid WHERE x.step = {} AND {} AND {})"
    ).format(source(parent.relation, "p"), CHOSEN, step, refers(link, "p", "r"), same)


def above(link: Link) -> sql.Composable:
    """Return the predicate "a chosen row refers to row `r`, and to no live one"."""
    assert link.parent.protection is not None
    live = sql.SQL("EXISTS (SELECT FROM {} WHERE {} AND ({} OR {}))").format(
        source(link.parent.relation, "p"),
        refers(link, "p", "c"),
        is_live("p", link.parent.protection),
        is_chosen("p"),
    )
    return sql.SQL("EXISTS (SELECT FROM {} WHERE {} AND {} AND NOT {})").format(
        source(link.child.relation, "c"), refers(link, "r", "c"), is_chosen("c"), live
    )


def lock_live_parents(link: Link) -> sql.Composable:
    """Keep the live parents of chosen rows from being deleted, in key order."""
    relation = link.parent.relation
    return sql.SQL(
        "SELECT FROM (SELECT FROM {} WHERE {} AND EXISTS (SELECT FROM {} WHERE {} AND {})\n"
        "ORDER BY {} FOR KEY SHARE OF p) AS locked"
    ).format(
        source(relation, "p"),
        is_live("p", link.parent.protection),
        source(link.child.relation, "c"),
        refers(link, "p", "c"),
        is_chosen("c"),
        _in_key_order(relation, "p"),
    )


def note_orphans(link: Link) -> sql.Composable:
    """Note each chosen row whose parent is neither live nor chosen."""
    child, parent = link.child.relation, link.parent
    given: list[sql.Composable] = [
        sql.SQL("{} IS NOT NULL").format(sql.Identifier("c", pair.column)) for pair in link.pairs
    ]
    if link.type_column is not None:
        type_column = sql.Identifier("c", link.type_column)
        given.append(sql.SQL("{}::text = {}").format(type_column, sql.Literal(link.type_value)))
    values = joined(
        sql.SQL("{}, {}").format(sql.Literal(pair.referenced), sql.Identifier("c", pair.column))
        for pair in link.pairs
    )
    return sql.SQL(
        "INSERT INTO {conflicts} SELECT 'parent', c.tableoid, c.ctid, {label}, {key}, {name},\n"
        "  jsonb_build_object({values}), false, {message}\n"
        "FROM {child} WHERE {chosen} AND {given} AND NOT EXISTS (\n"
        "  SELECT FROM {parent} WHERE {refers} AND ({live} OR {comes}))"
    ).format(
        conflicts=CONFLICTS,
        label=sql.Literal(child.label),
        key=key_object(child, "c"),
        name=sql.Literal(link.name),
        values=values,
        message=sql.Literal(f"no live row of {parent.relation.label}"),
        child=source(child, "c"),
        chosen=is_chosen("c"),
        given=joined(given, " AND "),
        parent=source(parent.relation, "p"),
        refers=refers(link, "p", "c"),
        live=is_live("p", parent.protection),
        comes=is_chosen("p"),
    )


def cleared_columns(protection: Protection) -> list[tuple[str, str]]:
    """Return the columns that a restore changes, each with its value."""
    live = "false" if protection.kind is ColumnKind.BOOLEAN else "NULL"
    found = [(protection.column, live)]
    for name in (protection.deleted_by, protection.deletion_id):
        column = protection.relation.column(name) if name else None
        if column is not None:
            found.append((column.name, "DEFAULT" if column.not_null else "NULL"))
    return found


def bring_back(group: Iterable[Protection], only: str = "true") -> sql.Composable:
    """Bring back the chosen rows of the tables of one group, in one statement; it returns an array of counts.

    Triggers fire at its end, so that in a cycle each table's rows find those of the others live. The rows stay
    chosen, at their new places.
    """
    steps: list[sql.Composable] = []
    counts: list[sql.Composable] = []
    for number, protection in enumerate(group):
        changes = (
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.SQL(value))
            for name, value in cleared_columns(protection)
        )
        done = sql.Identifier(f"u{number}")
        steps.append(
            sql.SQL(
                "{} AS (UPDATE {} SET {} FROM {} AS x\n"
                "  WHERE x.rel = r.tableoid AND x.tup = r.ctid AND {} AND {}\n"
                "  RETURNING x.rel AS was_rel, x.tup AS was_tup, r.tableoid AS rel, r.ctid AS tup),\n"
                "{} AS (UPDATE {} AS m SET rel = u.rel, tup = u.tup FROM {} AS u\n"
                "  WHERE m.rel = u.was_rel AND m.tup = u.was_tup)"
            ).format(
                done,
                source(protection.relation, "r"),
                joined(changes),
                CHOSEN,
                is_deleted("r", protection),
                sql.SQL(only),
                sql.Identifier(f"m{number}"),
                CHOSEN,
                done,
            )
        )
        counts.append(sql.SQL("(SELECT count(*) FROM {})").format(done))
    return sql.SQL("WITH {}\nSELECT ARRAY[{}]").format(joined(steps, ",\n"), joined(counts))


def drop_conflicting() -> sql.Composable:
    """Leave out the rows that are in conflict."""
    return sql.SQL("DELETE FROM {} AS m USING {} AS x WHERE m.rel = x.rel AND m.tup = x.tup").format(
        CHOSEN, CONFLICTS
    )
