"""All functions, triggers and indexes by which a database acts on links and keeps its rows."""

from collections.abc import Iterator
from functools import lru_cache

from psycopg import sql

from pgsoftproxy.db import trigger_texts as texts
from pgsoftproxy.db.definition import Definition, called, function, pairs, trigger
from pgsoftproxy.db.link_sql import is_deleted, is_live, joined, table
from pgsoftproxy.db.link_triggers import CACHED, of_links
from pgsoftproxy.model.catalog import RelationKind
from pgsoftproxy.model.links import Link, Links, primary_key, short_name
from pgsoftproxy.model.policy import ColumnKind, Mode, Policy, Protection

BIGGEST_NAME = 63


def definitions(policy: Policy, links: Links) -> tuple[Definition, ...]:
    """Return all that a database needs, in an order in which it can be created."""
    return tuple(_definitions(policy, links))


def _definitions(policy: Policy, links: Links) -> Iterator[Definition]:
    catalog = policy.catalog
    yield function("drain", "uuid, boolean", "void", texts.DRAIN)
    yield function("begin_statement", "", "trigger", texts.BEGIN_STATEMENT)
    yield function("keep", "", "trigger", texts.KEEP)
    for own in links.by_parent.values():
        parent = own[0].parent.relation.oid
        family = [child for child in catalog.descendants(parent) if child.is_partition]
        yield from of_links(own, links.is_tangled(parent), tuple(family), catalog.server_version)
    for protection in policy.protections.values():
        if protection.mode is Mode.ENFORCE and protection.relation.kind is not RelationKind.FOREIGN:
            yield from _of_protected(protection)


def key_columns(link: Link) -> tuple[str, ...] | None:
    """Return the columns of the unique index by which a deletion waits for new children; None if it is there.

    An UPDATE of a column of such an index takes the row lock that a DELETE takes, FOR UPDATE, for which the FOR KEY
    SHARE of the referring side waits, and the other way round. UPDATEs of other columns go on without waiting.
    """
    protection = link.parent.protection
    assert protection is not None  # or it would be no link
    relation = protection.relation
    for index in relation.unique_indexes:
        plain = index.valid and index.predicate is None and None not in index.columns
        if plain and protection.column in index.columns:
            return None
    columns = [column.name for column in primary_key(relation)] or [pair.referenced for pair in link.pairs]
    return tuple(dict.fromkeys([*columns, protection.column]))


def key_index(link: Link) -> str | None:
    """Return the SQL of that index, of a table that is not partitioned; None if it is there."""
    columns = key_columns(link)
    if columns is None:
        return None
    relation = link.parent.relation
    name = f"{relation.name[: BIGGEST_NAME - 20]}_pgsoftproxy_key"
    text = "CREATE UNIQUE INDEX CONCURRENTLY {} ON {} ({})"
    names = joined(sql.Identifier(column) for column in columns)
    return sql.SQL(text).format(sql.Identifier(name), table(relation), names).as_string(None)


@lru_cache(maxsize=CACHED)
def _of_protected(protection: Protection) -> tuple[Definition, ...]:
    return tuple(_keeping(protection))


def _keeping(protection: Protection) -> Iterator[Definition]:
    """Yield what keeps the rows of a protected table, and notes which are brought back."""
    relation = protection.relation
    for name, event, each in (("keep", "DELETE", "ROW"), ("keep_all", "TRUNCATE", "STATEMENT")):
        if relation.is_partition and each == "ROW":
            continue  # a row trigger of the partitioned table is one of each partition
        text = f"BEFORE {event} ON {{on}}\nFOR EACH {each} EXECUTE FUNCTION {{call}}"
        yield trigger(f"pgsoftproxy_{name}", relation, text, call=called("keep"))
    key = primary_key(relation)
    if not key or relation.is_partition:
        return
    stamped = protection.kind is not ColumnKind.BOOLEAN
    form = "{}" if protection.kind is ColumnKind.TIMESTAMPTZ else "{} AT TIME ZONE 'UTC'"
    null = sql.SQL("NULL")
    body = texts.RESTORED.format(
        key=pairs("old", key),
        at=sql.SQL(form).format(sql.Identifier("old", protection.column)) if stamped else null,
        by=sql.Identifier("old", protection.deleted_by) if protection.deleted_by else null,
        id=sql.Identifier("old", protection.deletion_id) if protection.deletion_id else null,
    )
    name = f"restored_{short_name(relation.name, relation.label)}"
    yield function(name, "", "trigger", body)
    yield trigger(
        "pgsoftproxy_restored",
        relation,
        "AFTER UPDATE OF {column} ON {on}\nFOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {call}",
        column=sql.Identifier(protection.column),
        when=joined([is_deleted("old", protection), is_live("new", protection)], " AND "),
        call=called(name),
    )
