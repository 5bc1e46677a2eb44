"""Indexes that are built while the table is in use: on partitions one by one, and resumed where it stopped. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pgsoftproxy.db import ddl
from pgsoftproxy.db.ddl import NewIndex
from pgsoftproxy.db.triggers import key_columns
from pgsoftproxy.model.catalog import Relation, RelationKind
from pgsoftproxy.model.links import Link, short_name
from pgsoftproxy.model.policy import ColumnKind, Protection
from pgsoftproxy.model.present import IndexState
from pgsoftproxy.model.steps import Kind, Remark, Statement, Step
from pgsoftproxy.schema.scene import Scene


def index_steps(scene: Scene) -> Iterator[Step]:
    """Yield the indexes that links and deleted rows are looked up by."""
    for wanted in _wanted(scene):
        if not has_foreign_partition(scene, wanted.new.relation):
            yield from _step(scene, wanted)


def index_remarks(scene: Scene) -> Iterator[Remark]:
    """Yield the indexes that cannot be built, with the reason."""
    for wanted in _wanted(scene):
        if has_foreign_partition(scene, wanted.new.relation):
            why = "a partition is a foreign table, which can have no index"
            yield Remark(wanted.new.relation.label, f"no {wanted.title}: {why}; {wanted.why}")


def building(new: NewIndex, scene: Scene) -> Iterator[Statement]:
    """Yield what builds an index, from what there is of it."""
    found = scene.state.index(new.relation.oid, new.name)
    if found is not None and found.valid:
        return
    if new.relation.kind is not RelationKind.PARTITIONED:
        if found is not None:  # left by a CREATE INDEX CONCURRENTLY that was cut short
            yield ddl.drop_index(new.relation.schema, new.name)
        yield ddl.create_index(new)
        return
    if found is None:
        yield ddl.create_index(new, only=True)
    for part in scene.partitions(new.relation):
        child = partition_index(new, part)
        there = scene.state.index(part.oid, child.name)
        yield from building(child, scene)
        if found is None or there is None or there.parent != found.oid:
            yield ddl.attach_index(new, child)


def dropping(new: NewIndex, scene: Scene) -> tuple[Statement, ...]:
    """Return what drops an index, also one that is only half built."""
    if new.relation.kind is not RelationKind.PARTITIONED:
        return (ddl.drop_index(new.relation.schema, new.name),)
    parts = (
        statement
        for part in scene.partitions(new.relation)
        for statement in dropping(partition_index(new, part), scene)
    )
    return (ddl.drop_index(new.relation.schema, new.name, concurrently=False), *parts)


def partition_index(new: NewIndex, part: Relation) -> NewIndex:
    """Return the index of a partition that becomes part of an index."""
    name = f"pgsoftproxy_{short_name(part.name, f'{part.label} {new.name}')}"
    return replace(new, relation=part, name=name)


def has_foreign_partition(scene: Scene, relation: Relation) -> bool:
    """Tell whether an index of the table would need one on a foreign table, which cannot have any."""
    return any(child.kind is RelationKind.FOREIGN for child in scene.catalog.descendants(relation.oid))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An index that is not there, or not whole."""

    new: NewIndex
    title: str
    why: str


def _wanted(scene: Scene) -> Iterator[_Wanted]:
    yield from _key_indexes(scene)
    for protection in scene.protections():
        if not protection.relation.is_partition:
            yield from _of_deleted(scene, protection)
    yield from _of_links(scene)


def _step(scene: Scene, wanted: _Wanted) -> Iterator[Step]:
    new, title, why = wanted.new, wanted.title, wanted.why
    statements = tuple(building(new, scene))
    if not statements:
        return
    yield Step(
        f"index:{new.relation.label}:{new.name}",
        Kind.INDEX,
        title,
        new.relation.label,
        statements,
        dropping(new, scene),
        why,
        rows=scene.rows(new.relation),
        seconds=scene.index_seconds(new.relation),
    )


def _key_indexes(scene: Scene) -> Iterator[_Wanted]:
    for links in scene.links.by_parent.values():
        columns = key_columns(links[0])
        relation = links[0].parent.relation
        if columns is None or relation.kind is RelationKind.FOREIGN:
            continue
        name = f"pgsoftproxy_key_{short_name(relation.name, relation.label)}"
        new = NewIndex(relation, name, ddl.columns_body(columns), unique=True)
        why = "deleting a parent and adding a child to it wait for each other by it, and nothing else does"
        yield _Wanted(new, f"unique index ({', '.join(columns)})", why)


def _of_deleted(scene: Scene, protection: Protection) -> Iterator[_Wanted]:
    relation = protection.relation
    deleted = ddl.is_deleted_bare(protection)
    if not _leads(scene, relation, [protection.column], deleted):
        name = f"pgsoftproxy_deleted_{short_name(relation.name, relation.label)}"
        new = NewIndex(relation, name, ddl.columns_body([protection.column]), deleted)
        what = "flag" if protection.kind is ColumnKind.BOOLEAN else "time"
        why = f"purge and restore find deleted rows by their {what}; live rows take no place in it"
        yield _Wanted(new, f"index of deleted rows ({protection.column})", why)
    name_of_id = protection.deletion_id
    if name_of_id is not None and not _leads(scene, relation, [name_of_id], ddl.is_set(name_of_id)):
        name = f"pgsoftproxy_deletion_{short_name(relation.name, relation.label)}"
        new = NewIndex(relation, name, ddl.columns_body([name_of_id]), ddl.is_set(name_of_id))
        why = "restore finds the rows of one deletion by it"
        yield _Wanted(new, f"index of deleted rows ({name_of_id})", why)


def _of_links(scene: Scene) -> Iterator[_Wanted]:
    seen: set[tuple[int, frozenset[str]]] = set()
    for link in scene.links:
        relation = link.child.relation
        columns = _referring_columns(link)
        known = (relation.oid, frozenset(columns))
        looked_up = link.acts or link.checks
        if not looked_up or known in seen or relation.is_partition or relation.kind is RelationKind.FOREIGN:
            continue
        seen.add(known)
        live = ddl.is_live_bare(link.child.protection) if link.child.protection else None
        if _leads(scene, relation, columns, live):
            continue
        new = NewIndex(relation, f"pgsoftproxy_link_{link.key}", ddl.columns_body(columns))
        why = f'deleting a row of "{link.parent.relation.label}" looks for the rows that refer to it'
        yield _Wanted(new, f"index ({', '.join(columns)})", why)


def _referring_columns(link: Link) -> list[str]:
    columns = [pair.column for pair in link.pairs]
    return columns if link.type_column is None else [link.type_column, *columns]


def _leads(scene: Scene, relation: Relation, columns: list[str], predicate: str | None) -> bool:
    """Tell whether an index finds rows by these columns, at least those that the predicate lets in."""

    def serves(index: IndexState) -> bool:
        leading = set(index.columns[: len(columns)]) == set(columns)
        whole = index.predicate is None or (predicate is not None and _same(index.predicate, predicate))
        method = (index.body or "").startswith(("btree ", "hash "))
        return leading and whole and method and index.valid

    return any(serves(index) for index in scene.state.indexes.get(relation.oid, ()))


def _same(printed: str, composed: str) -> bool:
    """Compare a predicate as the catalog prints it with one of ours; quotes and parentheses may differ."""
    strip = str.maketrans("", "", '"() ')
    return printed.translate(strip) == composed.translate(strip)
