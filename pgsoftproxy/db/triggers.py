"""All functions, triggers and indexes by which a database acts on links and keeps its rows."""

from collections.abc import Iterator
from functools import lru_cache

from psycopg import sql

from pgsoftproxy.db import trigger_texts as texts
from pgsoftproxy.db.definition import Definition, called, function, pairs, trigger
from pgsoftproxy.db.link_sql import is_deleted, is_live, joined, table
from pgsoftproxy.db.link_triggers import CACHED, Order, Parent, of_parent
from pgsoftproxy.db.restore_function import restore_function
from pgsoftproxy.model.catalog import Catalog, Relation, RelationKind
from pgsoftproxy.model.links import Link, Links, primary_key, short_name
from pgsoftproxy.model.policy import ColumnKind, Mode, Policy, Protection

BIGGEST_NAME = 63
KEEP = "pgsoftproxy_keep"


def definitions(policy: Policy, links: Links) -> tuple[Definition, ...]:
    """Return all that a database needs, in an order in which it can be created."""
    return tuple(_definitions(policy, links))


def _definitions(policy: Policy, links: Links) -> Iterator[Definition]:
    catalog = policy.catalog
    yield function("drain", "uuid, boolean", "void", texts.DRAIN)
    yield function("begin_statement", "", "trigger", texts.BEGIN_STATEMENT)
    yield function("keep", "", "trigger", texts.KEEP)
    yield function("keep_rows", "", "trigger", texts.KEEP_ROWS)
    singly = links.taken_singly()
    for own in links.by_parent.values():
        relation = own[0].parent.relation
        tangled = links.is_tangled(relation.oid)
        order = Order.TANGLED if tangled else Order.BELOW if relation.oid in singly else Order.SETS
        yield from of_parent(_parent(own, order, (catalog, links)), catalog.server_version)
    for protection in policy.protections.values():
        if protection.mode is Mode.ENFORCE and protection.relation.kind is not RelationKind.FOREIGN:
            yield from _of_protected(protection, _top(protection.relation, policy))
    restore = restore_function(policy, links)
    if restore is not None:
        yield restore


def _parent(own: tuple[Link, ...], order: Order, among: tuple[Catalog, Links]) -> Parent:
    catalog, links = among
    relation = own[0].parent.relation
    below = tuple(catalog.descendants(relation.oid))
    partitions = tuple(child for child in below if child.is_partition)
    if not relation.parents and len(partitions) == len(below):
        return Parent(own, order, partitions)
    above = tuple(catalog.ancestors(relation.oid))
    whole = above if relation.is_partition else ()
    return Parent(own, order, partitions, True, above, links.towards({relation.oid, *whole}))


def _top(relation: Relation, policy: Policy) -> Relation:
    """Return the highest table that this one is a partition of, as far as all between are protected."""
    while relation.is_partition:
        above = policy.protections.get(relation.parents[0]) if relation.parents else None
        if above is None or above.mode is not Mode.ENFORCE:
            break
        relation = above.relation
    return relation


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
def _of_protected(protection: Protection, top: Relation) -> tuple[Definition, ...]:
    return (*_keeping(protection.relation, top), *_restoring(protection))


def _keeping(relation: Relation, top: Relation) -> Iterator[Definition]:
    """Yield what keeps the rows of a protected table, of which `top` is the highest that it is a partition of.

    Rows may move between the partitions of a table. Where a table above is not protected, a statement on that would
    fire no statement's trigger here: there rows are kept one by one, and cannot move.
    """
    if top.kind is RelationKind.PARTITIONED and not top.is_partition:
        text = "AFTER DELETE ON {on} REFERENCING OLD TABLE AS o\nFOR EACH STATEMENT EXECUTE FUNCTION {call}"
        yield trigger(KEEP, relation, text, call=called("keep_rows"))
    elif relation.oid == top.oid:  # of one that is partitioned, each partition has it with that
        text = "BEFORE DELETE ON {on}\nFOR EACH ROW EXECUTE FUNCTION {call}"
        yield trigger(KEEP, relation, text, call=called("keep"))
    text = "BEFORE TRUNCATE ON {on}\nFOR EACH STATEMENT EXECUTE FUNCTION {call}"
    yield trigger("pgsoftproxy_keep_all", relation, text, call=called("keep"))


def _restoring(protection: Protection) -> Iterator[Definition]:
    """Yield what notes which rows are brought back."""
    relation = protection.relation
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
