"""Keys that count deleted rows: unique indexes become partial ones of the same name, on live rows. Pure.

The partial index is built beside the full one, under a name of its own; then one short transaction drops the full one
and hands its name on. Exclusion constraints cannot be built beside: they are rebuilt under a lock, if asked for.
"""

from collections.abc import Iterator

from pgsoftproxy.db import ddl
from pgsoftproxy.db.ddl import NewIndex
from pgsoftproxy.model.catalog import Relation, RelationKind, UniqueIndex
from pgsoftproxy.model.links import short_name
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.model.present import IndexState
from pgsoftproxy.model.steps import Kind, Remark, Statement, Step
from pgsoftproxy.rewrite.rules.live_index import is_live_only
from pgsoftproxy.schema.indexes import building, dropping, has_foreign_partition, partition_index
from pgsoftproxy.schema.scene import Scene
from pgsoftproxy.schema.upserts import upserts_by

WHY = "deleted rows keep their keys from being used again as long as the index counts them"
DEFERRALS = (" DEFERRABLE INITIALLY DEFERRED", " DEFERRABLE")


def unique_steps(scene: Scene) -> Iterator[Step]:
    """Yield what makes each unique key count live rows only, and exclusion constraints likewise."""
    for protection, index in _counting(scene):
        if index.excludes:
            yield _exclusion(scene, protection, index)
        elif obstacle(scene, protection, index) is None:
            yield from _replacement(scene, protection, index)


def unique_remarks(scene: Scene, *, exclusions: bool) -> Iterator[Remark]:
    """Yield the keys that go on counting deleted rows, with the reason."""
    for protection, index in _counting(scene):
        why = obstacle(scene, protection, index)
        if index.excludes and not exclusions:
            why = "rebuilding it locks the table: --exclusions does it"
        if why is not None:
            kind = "exclusion constraint" if index.excludes else "unique index"
            yield Remark(protection.label, f'{kind} "{index.name}" counts deleted rows; {why}')


def _counting(scene: Scene) -> Iterator[tuple[Protection, IndexState]]:
    for protection in scene.protections():
        for index in scene.state.indexes.get(protection.relation.oid, ()):
            ours = index.name.startswith("pgsoftproxy_")
            is_key = (index.unique or index.excludes) and not index.primary and index.valid and not ours
            if not is_key or index.parent is not None or protection.column in index.columns:
                continue
            if not is_live_only(UniqueIndex(index.name, index.columns, index.predicate), protection):
                yield protection, index


def obstacle(scene: Scene, protection: Protection, index: IndexState) -> str | None:
    """Return why a key cannot be replaced, None if it can."""
    if index.excludes:
        return None
    relation = protection.relation
    if index.referenced_by:
        keys = ", ".join(f'"{name}"' for name in index.referenced_by)
        return f"foreign keys refer to it: {keys}"
    if index.deferrable:
        return "it is deferrable, as no index can be"
    if index.marked:
        return "the table is clustered on it, or it is the replica identity"
    if index.body is None:
        return "its definition cannot be read"
    if has_foreign_partition(scene, relation):
        return "a partition is a foreign table"
    upserting = [
        one.label for one in scene.state.upserting if upserts_by(one, relation, index, protection.column)
    ]
    if upserting:
        listed = ", ".join(f'"{label}"' for label in upserting)
        return f"functions upsert by it, and would fail: {listed}; `audit` prints them with the predicate"
    return None


def _replacement(scene: Scene, protection: Protection, index: IndexState) -> Iterator[Step]:
    relation = protection.relation
    new = _new(relation, index, "live", ddl.live_predicate(protection, index.predicate))
    statements = tuple(building(new, scene))
    what = f'"{index.name}"'
    if statements:
        yield Step(
            f"unique_build:{relation.label}:{index.name}",
            Kind.UNIQUE,
            f"build a unique index on live rows beside {what}",
            relation.label,
            statements,
            dropping(new, scene),
            WHY,
            rows=scene.rows(relation),
            seconds=scene.index_seconds(relation),
        )
    yield Step(
        f"unique:{relation.label}:{index.name}",
        Kind.UNIQUE,
        f"put it in the place of {what}",
        relation.label,
        tuple(_swap(scene, new, index)),
        tuple(_back(scene, protection, index)),
        WHY,
        rows=scene.rows(relation),
    )


def _new(relation: Relation, index: IndexState, use: str, predicate: str | None) -> NewIndex:
    name = f"pgsoftproxy_{use}_{short_name(index.name, f'{relation.label}.{index.name}')}"
    assert index.body is not None  # `obstacle` has seen to it
    return NewIndex(relation, name, index.body, predicate, unique=True, tablespace=index.tablespace)


def _swap(scene: Scene, new: NewIndex, index: IndexState) -> Iterator[Statement]:
    relation = new.relation
    if index.constraint is not None:
        yield ddl.drop_constraint(relation, index.constraint)
    else:
        yield ddl.drop_index(relation.schema, index.name, concurrently=False)
    yield from _renaming(scene, new, index)
    if index.comment is not None:
        yield ddl.comment_on_index(relation.schema, index.name, index.comment)


def _renaming(scene: Scene, new: NewIndex, index: IndexState) -> Iterator[Statement]:
    yield ddl.rename_index(new.relation.schema, new.name, index.name)
    for part, old in _parts(scene, new.relation, index):
        yield from _renaming(scene, partition_index(new, part), old)


def _parts(scene: Scene, relation: Relation, index: IndexState) -> Iterator[tuple[Relation, IndexState]]:
    """Yield each partition with its part of the index."""
    if relation.kind is RelationKind.PARTITIONED:
        for part in scene.partitions(relation):
            for old in scene.state.indexes.get(part.oid, ()):
                if old.parent == index.oid:
                    yield part, old


def _back(scene: Scene, protection: Protection, index: IndexState) -> Iterator[Statement]:
    """Yield what makes the full index again; it fails where a deleted row has the key of another."""
    relation = protection.relation
    full = _new(relation, index, "full", index.predicate)
    yield from _rebuilding(scene, full, whole=index.constraint is None)
    yield ddl.drop_index(relation.schema, index.name, concurrently=False)
    if index.constraint is None:
        yield from _renaming(scene, full, index)
    else:
        yield from _constraining(scene, full, index)
    if index.comment is not None and index.constraint is not None:
        yield ddl.comment_on_constraint(relation, index.constraint, index.comment)
    elif index.comment is not None:
        yield ddl.comment_on_index(relation.schema, index.name, index.comment)


def _rebuilding(scene: Scene, full: NewIndex, *, whole: bool) -> Iterator[Statement]:
    """Build an index whatever is left of an attempt before; not `whole`: only those of single partitions."""
    relation = full.relation
    if relation.kind is not RelationKind.PARTITIONED:
        yield ddl.drop_index(relation.schema, full.name)
        yield ddl.create_index(full)
        return
    if whole:
        yield ddl.drop_index(relation.schema, full.name, concurrently=False)
        yield ddl.create_index(full, only=True)
    for part in scene.partitions(relation):
        child = partition_index(full, part)
        yield from _rebuilding(scene, child, whole=whole)
        if whole:
            yield ddl.attach_index(full, child)


def _constraining(scene: Scene, full: NewIndex, index: IndexState) -> Iterator[Statement]:
    """Make constraints of the partitions' indexes first: the partitioned table's constraint takes them up."""
    assert index.constraint is not None and index.definition is not None
    if full.relation.kind is not RelationKind.PARTITIONED:
        yield ddl.constraint_from_index(full.relation, index.constraint, full.name)
        return
    for part, old in _parts(scene, full.relation, index):
        yield from _constraining(scene, partition_index(full, part), old)
    yield ddl.add_constraint(full.relation, index.constraint, index.definition)


def _exclusion(scene: Scene, protection: Protection, index: IndexState) -> Step:
    relation = protection.relation
    assert index.constraint is not None and index.definition is not None
    drop = ddl.drop_constraint(relation, index.constraint)
    add = ddl.add_constraint(relation, index.constraint, _on_live_rows(protection, index))
    again = ddl.add_constraint(relation, index.constraint, index.definition)
    comment = (
        (ddl.comment_on_constraint(relation, index.constraint, index.comment),)
        if index.comment is not None
        else ()
    )
    return Step(
        f"exclusion:{relation.label}:{index.name}",
        Kind.EXCLUSION,
        f'rebuild exclusion constraint "{index.name}" on live rows',
        relation.label,
        (drop, add, *comment),
        (drop, again, *comment),
        "deleted rows exclude live ones as long as it counts them; it cannot be built concurrently",
        rows=scene.rows(relation),
        seconds=scene.index_seconds(relation),
        holds=True,
    )


def _on_live_rows(protection: Protection, index: IndexState) -> str:
    definition = index.definition or ""
    deferral = next((suffix for suffix in DEFERRALS if definition.endswith(suffix)), "")
    head = definition.removesuffix(deferral)
    if index.predicate is not None:
        head = head.removesuffix(f" WHERE ({index.predicate})")
    return f"{head} WHERE ({ddl.live_predicate(protection, index.predicate)}){deferral}"
