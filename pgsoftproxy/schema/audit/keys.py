"""Unique keys and exclusion constraints that count deleted rows. Pure."""

from collections.abc import Iterator

from pgsoftproxy.db import ddl
from pgsoftproxy.db.ddl import live_predicate
from pgsoftproxy.model.catalog import RelationKind, UniqueIndex
from pgsoftproxy.model.links import primary_key, short_name
from pgsoftproxy.model.policy import Protection, Upsert
from pgsoftproxy.model.present import IndexState
from pgsoftproxy.rewrite.predicates import quote_identifier
from pgsoftproxy.rewrite.rules.live_index import is_live_only
from pgsoftproxy.schema.audit.finding import By, Found, Mend, ObjectKind, Subject
from pgsoftproxy.schema.audit.ground import Ground
from pgsoftproxy.schema.unique import obstacle

NULLS_EQUAL = "NULLS NOT DISTINCT"
OWN_PREFIX = "pgsoftproxy_"


def unique_counts_deleted(ground: Ground) -> Iterator[Found]:
    """Yield unique constraints and indexes, primary keys apart, that keep the keys of deleted rows taken."""
    for protection, index in _counting(ground):
        if index.unique and not index.excludes and protection.upsert is Upsert.ERROR:
            why = "the key of a deleted row cannot be used again: an INSERT of it fails (23505)"
            subject = _subject(protection, index)
            mend = ground.mend(f"unique_build:{subject.name}", f"unique:{subject.name}")
            yield Found(subject, why, mend or _otherwise(ground, protection, index))


def exclusion_counts_deleted(ground: Ground) -> Iterator[Found]:
    """Yield exclusion constraints by which deleted rows stand in the way of live ones."""
    for protection, index in _counting(ground):
        if index.excludes:
            why = "a deleted row still excludes live ones: an INSERT beside it fails (23P01)"
            subject = _subject(protection, index)
            mend = ground.mend(f"exclusion:{subject.name}")
            live = live_predicate(protection, index.predicate)
            yield Found(subject, why, mend or Mend(f"drop it and add it again with WHERE ({live})"))


def unique_misses_live(ground: Ground) -> Iterator[Found]:
    """Yield unique keys with the deletion column among others: as NULLs differ, two live rows may be equal in it."""
    for protection in ground.protections():
        primary = {column.name for column in primary_key(protection.relation)}
        for index in ground.state.indexes.get(protection.relation.oid, ()):
            nulls = protection.nullable and NULLS_EQUAL not in (index.body or NULLS_EQUAL)
            holds = protection.column in index.columns and not (primary and primary <= set(index.columns))
            if (
                index.unique
                and index.valid
                and holds
                and nulls
                and index.parent is None
                and not index.primary
            ):
                others = ", ".join(f'"{name}"' for name in index.columns if name != protection.column)
                live = live_predicate(protection, index.predicate)
                why = f"NULLs differ from each other, so that any number of live rows may have the same {others}"
                mend = _without(protection, index) or Mend(f"make it a unique index on {others} WHERE {live}")
                yield Found(_subject(protection, index), why, mend)


def _counting(ground: Ground) -> Iterator[tuple[Protection, IndexState]]:
    for protection in ground.protections():
        for index in ground.state.indexes.get(protection.relation.oid, ()):
            is_key = (index.unique or index.excludes) and not index.primary and index.valid
            ours = index.name.startswith(OWN_PREFIX) or protection.column in index.columns
            live = is_live_only(UniqueIndex(index.name, index.columns, index.predicate), protection)
            if is_key and index.parent is None and not ours and not live:
                yield protection, index


def _subject(protection: Protection, index: IndexState) -> Subject:
    kind = ObjectKind.CONSTRAINT if index.constraint is not None else ObjectKind.INDEX
    return Subject(kind, f"{protection.label}:{index.name}")


def _without(protection: Protection, index: IndexState) -> Mend | None:
    """Return the SQL that makes the key one of live rows, without the deletion column, under its own name."""
    others = [name for name in index.columns if name is not None and name != protection.column]
    if None in index.columns or not others or index.referenced_by or not _is_plain(index):
        return None
    relation = protection.relation
    if relation.kind is RelationKind.PARTITIONED:
        return None
    name = f"pgsoftproxy_live_{short_name(index.name, f'{relation.label}.{index.name}')}"
    new = ddl.NewIndex(
        relation, name, ddl.columns_body(others), live_predicate(protection, index.predicate), True
    )
    dropped = (
        ddl.drop_constraint(relation, index.constraint)
        if index.constraint is not None
        else ddl.drop_index(relation.schema, index.name)
    )
    statements = (ddl.create_index(new), dropped, ddl.rename_index(relation.schema, name, index.name))
    return Mend("\n".join(f"{statement.sql};" for statement in statements), By.SQL)


def _is_plain(index: IndexState) -> bool:
    """Tell whether an index is on columns alone, without classes, order or options that would be lost."""
    listed = ", ".join(quote_identifier(name) for name in index.columns if name is not None)
    return index.body == f"btree ({listed})"


def _otherwise(ground: Ground, protection: Protection, index: IndexState) -> Mend:
    """Return what is to be done by hand where `migrate` has no step."""
    why = obstacle(ground.scene, protection, index) or "no step of migrate makes it so"
    live = live_predicate(protection, index.predicate)
    return Mend(f"{why}. Then make it a unique index on live rows: ... WHERE {live}")
