"""SQL that finds the rows whose key in a unique index is taken by another row. Composes text; runs nothing.

The predicate and the expressions of an index are evaluated over the chosen rows as they will be. What a query cannot
tell (generated columns, NULLS NOT DISTINCT, exclusion constraints) the server says when the rows come back.
"""

from collections.abc import Iterable

from psycopg import sql

from pgsoftproxy.db.link_sql import joined
from pgsoftproxy.db.restore_sql import CONFLICTS, cleared_columns, is_chosen, key_object, source
from pgsoftproxy.model.catalog import Relation, UniqueIndex
from pgsoftproxy.model.policy import Protection


def note_taken_keys(protection: Protection, index: UniqueIndex) -> sql.Composable | None:
    """Note each chosen row whose key another row has or will have; None where a query cannot tell."""
    relation = protection.relation
    generated = {column.name for column in relation.columns if column.generated}
    if not index.valid or index.expressions is None or generated & set(index.columns):
        return None
    cleared = {protection.column, protection.deleted_by, protection.deletion_id}
    if index.predicate is None and not index.expressions and not cleared & set(index.columns):
        return None  # whole rows have stood beside each other all the time
    expressions = iter(index.expressions)
    keys = [sql.Identifier(name) if name else sql.SQL(next(expressions)) for name in index.columns]
    coming = _coming(protection)
    standing = sql.SQL(
        "(SELECT r.*, r.tableoid AS pgsoftproxy_rel, r.ctid AS pgsoftproxy_tup, {} AS pgsoftproxy_key,\n"
        "  false AS pgsoftproxy_comes FROM {} WHERE NOT {})"
    ).format(key_object(relation, "r"), source(relation, "r"), is_chosen("r"))
    return sql.SQL(
        "INSERT INTO {conflicts} SELECT 'unique', a.rel, a.tup, {label}, a.key, {name}, b.key, b.comes, ''\n"
        "FROM {coming} AS a JOIN (SELECT * FROM {standing} AS s UNION ALL SELECT * FROM {coming} AS u) AS b\n"
        "ON {equal} AND (a.rel, a.tup::text) IS DISTINCT FROM (b.rel, b.tup::text)"
    ).format(
        conflicts=CONFLICTS,
        label=sql.Literal(relation.label),
        name=sql.Literal(index.name),
        coming=_keyed(relation, coming, keys, index),
        standing=_keyed(relation, standing, keys, index),
        equal=joined((sql.SQL(f"a.k{n} = b.k{n}") for n in range(len(keys))), " AND "),
    )


def _coming(protection: Protection) -> sql.Composable:
    """Return the chosen rows of a table as they will be."""
    cleared = dict(cleared_columns(protection))
    columns: list[sql.Composable] = []
    for column in protection.relation.columns:
        if column.name in cleared and cleared[column.name] != "DEFAULT":
            value: sql.Composable = sql.SQL("CAST({} AS {})").format(
                sql.SQL(cleared[column.name]), sql.SQL(column.type_name)
            )
        else:
            value = sql.Identifier("r", column.name)
        columns.append(sql.SQL("{} AS {}").format(value, sql.Identifier(column.name)))
    return sql.SQL(
        "(SELECT {}, r.tableoid AS pgsoftproxy_rel, r.ctid AS pgsoftproxy_tup, {} AS pgsoftproxy_key,\n"
        "  true AS pgsoftproxy_comes FROM {} WHERE {})"
    ).format(
        joined(columns),
        key_object(protection.relation, "r"),
        source(protection.relation, "r"),
        is_chosen("r"),
    )


def _keyed(
    relation: Relation, rows: sql.Composable, keys: Iterable[sql.Composable], index: UniqueIndex
) -> sql.Composable:
    columns = joined(sql.SQL(f"{{}} AS k{n}").format(key) for n, key in enumerate(keys))
    return sql.SQL(
        "(SELECT pgsoftproxy_rel AS rel, pgsoftproxy_tup AS tup, pgsoftproxy_key AS key,\n"
        "  pgsoftproxy_comes AS comes, {} FROM {} AS {} WHERE {})"
    ).format(columns, rows, sql.Identifier(relation.name), sql.SQL(index.predicate or "true"))
