"""Relations through which deleted rows can be read: views, materialized views, parents. Pure."""

from collections.abc import Iterator

from pgsoftproxy.model.catalog import TABLES, Relation, RelationKind
from pgsoftproxy.rewrite.verify import is_guarded
from pgsoftproxy.schema.audit.finding import By, Found, Mend
from pgsoftproxy.schema.audit.ground import OURS, Ground, about
from pgsoftproxy.schema.stored import leaking_views, step_id


def view_leaks(ground: Ground) -> Iterator[Found]:
    """Yield views over protected tables that do not keep deleted rows out themselves."""
    for relation in _unguarded(ground, RelationKind.VIEW):
        label = ground.policy.exposing[relation.oid]
        why = f'whoever reads it on a direct connection sees deleted rows of "{label}"'
        yield about(relation, why, _anew(relation, ground))


def matview_leaks(ground: Ground) -> Iterator[Found]:
    """Yield materialized views whose definition does not keep deleted rows out."""
    for relation in _unguarded(ground, RelationKind.MATVIEW):
        label = ground.policy.exposing[relation.oid]
        why = f'it holds rows of "{label}" that were deleted, and shows them to whoever may read it'
        yield about(relation, why, _anew(relation, ground))


def parent_leaks(ground: Ground) -> Iterator[Found]:
    """Yield unprotected tables of which a protected one is a partition or child."""
    for oid, label in ground.policy.exposing.items():
        relation = ground.catalog.relations[oid]
        if relation.kind in TABLES:
            why = f'reading it reads rows of "{label}", deleted ones too; the proxy refuses it'
            yield about(relation, why, Mend(f'[tables."{relation.label}"]', By.CONFIGURATION))


def _unguarded(ground: Ground, kind: RelationKind) -> Iterator[Relation]:
    for oid in ground.policy.exposing:
        relation = ground.catalog.relations[oid]
        if relation.kind is kind and relation.schema != OURS and not is_guarded(relation, ground.policy):
            yield relation


def _anew(relation: Relation, ground: Ground) -> Mend:
    """Return the step that makes a view anew, after those of the views that it reads."""
    known = {leaking.relation.oid: leaking for leaking in leaking_views(ground.scene)}
    below, todo = {relation.oid}, [relation]
    while todo:
        found = [oid for oid in todo.pop().reads if oid in ground.policy.exposing and oid not in below]
        below.update(found)
        todo.extend(ground.catalog.relations[oid] for oid in found)
    hopeless = [known[oid] for oid in below if oid in known and known[oid].create is None]
    if hopeless:
        told = "; ".join(f'"{one.relation.label}": {one.why_not}' for one in hopeless)
        return Mend(f"write it anew over live rows, for no step can do it: {told}")
    mend = ground.mend(*(step_id(ground.catalog.relations[oid]) for oid in below))
    return mend or Mend("write it anew over live rows")
