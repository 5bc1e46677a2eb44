"""The plan that takes a migration back: what the database remembers of it, and what carries our mark. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from pgsoftproxy.db import ddl
from pgsoftproxy.model.present import Applied, SchemaState
from pgsoftproxy.model.steps import UNDONE, Kind, Plan, Remark, Step
from pgsoftproxy.schema.equipment import SCHEMA_ID, stale_functions, stale_triggers
from pgsoftproxy.schema.scene import Scene

EVERY = frozenset(Kind)
NEEDS_COLUMN = frozenset({Kind.UNIQUE, Kind.EXCLUSION, Kind.RLS, Kind.VIEW, Kind.STORED})
"""What would silently go, or stand in the way, if the deletion column went."""
WHY = "takes back what was done before"


def plan_down(scene: Scene, kinds: frozenset[Kind] = EVERY) -> Plan:
    """Return the steps that take back what was done, the last first, and what must stay."""
    state = scene.state
    steps = [_undoing(one) for one in reversed(state.applied) if one.kind in kinds and one.id != SCHEMA_ID]
    if Kind.TRIGGER in kinds:
        steps += _unequipping(scene)
    left = [one for one in state.applied if one.kind not in kinds and one.id != SCHEMA_ID]
    kept, remarks = [], []
    for step in steps:
        if step.kind is Kind.COLUMN and any(
            one.table == step.table and one.kind in NEEDS_COLUMN for one in left
        ):
            remarks.append(Remark(step.table, f"{step.title}: not yet, for other steps on the table need it"))
        else:
            kept.append(step)
    kept.sort(key=lambda step: UNDONE.index(step.kind))
    if Kind.SCHEMA in kinds and not left and not remarks and (Kind.TRIGGER in kinds or not state.triggers):
        kept += _schema(state)
        if state.noted:
            remarks.append(
                Remark("pgsoftproxy", "journal and ledger hold rows and are kept: drop them by hand")
            )
    return Plan(tuple(kept), tuple(remarks))


def _undoing(applied: Applied) -> Step:
    title = f"undo: {applied.title}"
    return Step(applied.id, applied.kind, title, applied.table, applied.down, (), WHY)


def _unequipping(scene: Scene) -> Iterator[Step]:
    for step in (*stale_triggers(scene, set()), *stale_functions(scene.state, set())):
        yield replace(step, why=WHY)


def _schema(state: SchemaState) -> Iterator[Step]:
    if any(one.id == SCHEMA_ID for one in state.applied):
        statements = ddl.drop_schema(history=state.noted)
        title = "drop schema pgsoftproxy" if not state.noted else "drop tables of schema pgsoftproxy"
        yield Step(SCHEMA_ID, Kind.SCHEMA, title, "pgsoftproxy", statements, (), WHY, recorded=False)
