"""SQL that puts back what SET NULL and SET DEFAULT took from rows, from the journal. Composes text; runs nothing."""

from psycopg import sql

from pgsoftproxy.db.link_sql import SCHEMA, declared, is_live, joined, operator
from pgsoftproxy.db.restore_sql import CHOSEN, LINKS, id_of, moment, source
from pgsoftproxy.model.links import Link, primary_key
from pgsoftproxy.model.policy import ColumnKind

JOURNAL = sql.SQL("{}.journal").format(sql.Identifier(SCHEMA))


def note_emptied(number: int, link: Link) -> sql.Composable | None:
    """Note the journal's entries of a link that chosen parents had emptied; None where it cannot have any."""
    parent, child = link.parent.protection, link.child.relation
    assert parent is not None
    key = primary_key(child)
    if not key or (parent.deletion_id is None and parent.kind is ColumnKind.BOOLEAN):
        return None
    ways = []
    if parent.deletion_id is not None:
        ways.append(sql.SQL("j.deletion_id = {}").format(id_of("p", parent)))
    if parent.kind is not ColumnKind.BOOLEAN:
        unknown = (
            sql.SQL("{} IS NULL AND ").format(sql.Identifier("p", parent.deletion_id))
            if parent.deletion_id
            else sql.SQL("")
        )
        ways.append(sql.SQL("({}j.at = {})").format(unknown, moment("p", parent)))
    equal = [
        sql.SQL("{} {} {}").format(
            sql.Identifier("p", pair.referenced),
            operator(pair),
            sql.Identifier("w" if pair.column in link.emptied else "c", pair.column),
        )
        for pair in link.pairs
    ]
    return sql.SQL(
        "INSERT INTO {links} SELECT DISTINCT {number}, j.ctid, j.key, j.was, j.became\n"
        "FROM {journal} AS j CROSS JOIN LATERAL jsonb_to_record(j.was) AS w({was})\n"
        "CROSS JOIN LATERAL jsonb_to_record(j.key) AS k({key})\n"
        "LEFT JOIN {child} ON {same}\n"
        "JOIN {parent} ON {equal} AND ({ways}) JOIN {chosen} AS x ON x.rel = p.tableoid AND x.tup = p.ctid\n"
        "WHERE j.link = {name} AND j.schema_name = {schema} AND j.table_name = {table}"
    ).format(
        links=LINKS,
        number=sql.Literal(number),
        journal=JOURNAL,
        was=declared(column for name in link.emptied if (column := child.column(name)) is not None),
        key=declared(key),
        child=source(child, "c"),
        same=_same_key(link),
        parent=source(link.parent.relation, "p"),
        equal=joined(equal, " AND "),
        ways=joined(ways, " OR "),
        chosen=CHOSEN,
        name=sql.Literal(link.name),
        schema=sql.Literal(child.schema),
        table=sql.Literal(child.name),
    )


def put_back(number: int, link: Link) -> sql.Composable:
    """Give live rows that still have what they became what they were; it returns the keys of these."""
    child = link.child.relation
    key = primary_key(child)
    current = sql.SQL("jsonb_build_object({})").format(
        joined(
            sql.SQL("{}, {}").format(sql.Literal(name), sql.Identifier("c", name)) for name in link.emptied
        )
    )
    rows = sql.SQL(
        "SELECT c.tableoid AS rel, c.ctid AS tup, l.key AS key, l.was AS was FROM {links} AS l\n"
        "CROSS JOIN LATERAL jsonb_to_record(l.key) AS k({columns}) JOIN {child} ON {same}\n"
        "WHERE l.link = {number} AND {live} AND {current} = l.became ORDER BY {order} FOR UPDATE OF c"
    ).format(
        links=LINKS,
        columns=declared(key),
        child=source(child, "c"),
        same=_same_key(link),
        number=sql.Literal(number),
        live=is_live("c", link.child.protection),
        current=current,
        order=joined(sql.Identifier("c", column.name) for column in key),
    )
    columns = [column for name in link.emptied if (column := child.column(name)) is not None]
    changes = (sql.SQL("{0} = w.{0}").format(sql.Identifier(column.name)) for column in columns)
    return sql.SQL(
        "UPDATE {child} SET {changes} FROM ({rows}) AS f CROSS JOIN LATERAL jsonb_to_record(f.was) AS w({was})\n"
        "WHERE t.tableoid = f.rel AND t.ctid = f.tup RETURNING f.key"
    ).format(child=source(child, "t"), changes=joined(changes), rows=rows, was=declared(columns))


def _same_key(link: Link) -> sql.Composable:
    return joined(
        (
            sql.SQL("c.{0} = k.{0}").format(sql.Identifier(column.name))
            for column in primary_key(link.child.relation)
        ),
        " AND ",
    )


FORGET_LINKS = sql.SQL("DELETE FROM {} AS j USING {} AS l WHERE j.ctid = l.entry").format(JOURNAL, LINKS)


def keys_of(number: int) -> sql.Composable:
    """Return the query of the keys of the rows that were noted for a link."""
    return sql.SQL("SELECT key FROM {} WHERE link = {} ORDER BY key").format(LINKS, sql.Literal(number))
