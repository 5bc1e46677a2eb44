"""Schema pgsoftproxy, its functions and triggers: the difference between those wanted and those there. Pure."""

from collections.abc import Iterator

from pgsoftproxy.db import ddl
from pgsoftproxy.db.definition import Definition
from pgsoftproxy.db.triggers import definitions
from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.model.present import FunctionState, SchemaState, TriggerState
from pgsoftproxy.model.steps import Kind, Lock, Statement, Step
from pgsoftproxy.schema.scene import Scene

SCHEMA_ID = "schema:pgsoftproxy"
TABLES = frozenset({"queue", "journal", "ledger", "steps"})


def schema_step(state: SchemaState) -> Iterator[Step]:
    """Yield the step that creates schema pgsoftproxy, unless all its tables are there."""
    if state.own >= TABLES:
        return
    yield Step(
        SCHEMA_ID,
        Kind.SCHEMA,
        "schema pgsoftproxy with its tables",
        "pgsoftproxy",
        (Statement(ddl.OWN_TABLES.strip()),),
        ddl.drop_schema(history=state.noted),
        "what deletions still have to do, what they emptied, what was brought back, what this command did",
    )


def equipment_steps(scene: Scene) -> Iterator[Step]:
    """Yield the functions that are missing or not current, then the triggers, table by table, then what is stale."""
    wanted = definitions(scene.policy, scene.links)
    functions = [one for one in wanted if one.relation is None]
    yield from _functions(functions, scene.state)
    triggers = [one for one in wanted if one.relation is not None]
    tables = {one.relation.oid: one.relation for one in triggers if one.relation is not None}
    for relation in sorted(tables.values(), key=lambda relation: relation.label):
        mine = [one for one in triggers if one.relation is not None and one.relation.oid == relation.oid]
        yield from _triggers(relation, mine, scene)
    yield from stale_triggers(scene, {(one.relation.oid, one.name) for one in triggers if one.relation})
    yield from stale_functions(scene.state, {one.name for one in functions})


def _functions(wanted: list[Definition], state: SchemaState) -> Iterator[Step]:
    due = [one for one in wanted if not _is_current(one, state)]
    if due:
        yield Step(
            "function:pgsoftproxy",
            Kind.TRIGGER,
            f"{len(due)} function{'s' if len(due) > 1 else ''} of schema pgsoftproxy",
            "pgsoftproxy",
            tuple(Statement(one.create) for one in due),
            tuple(_before(one, state.functions.get(one.name)) for one in reversed(due)),
            "what the triggers call",
            recorded=False,
        )


def _is_current(wanted: Definition, state: SchemaState) -> bool:
    found = state.functions.get(wanted.name)
    return found is not None and found.mark == wanted.mark


def _before(one: Definition, found: FunctionState | None) -> Statement:
    return Statement(one.drop if found is None else found.definition)


def _triggers(relation: Relation, wanted: list[Definition], scene: Scene) -> Iterator[Step]:
    there = {found.name: found for found in scene.state.triggers if found.relation == relation.oid}
    up: list[Statement] = []
    down: list[Statement] = []
    for one in wanted:
        found = there.get(one.name)
        if found is not None and found.mark == one.mark and found.enabled:
            continue
        if found is not None:
            up.append(Statement(one.drop, Lock.ACCESS_EXCLUSIVE))
            down[:0] = _again(relation, found)
        up.append(Statement(one.create, Lock.SHARE_ROW_EXCLUSIVE))
        down.insert(0, Statement(one.drop, Lock.ACCESS_EXCLUSIVE))
    if up:
        count = sum(statement.lock is Lock.SHARE_ROW_EXCLUSIVE for statement in up)
        yield Step(
            f"trigger:{relation.label}",
            Kind.TRIGGER,
            f"{count} trigger{'s' if count > 1 else ''}",
            relation.label,
            tuple(up),
            tuple(down),
            "rows are kept, deletions follow the keys, live rows refer to live rows: for every connection",
            rows=scene.rows(relation),
            recorded=False,
        )


def _again(relation: Relation, found: TriggerState) -> tuple[Statement, ...]:
    return (
        Statement(found.definition, Lock.SHARE_ROW_EXCLUSIVE),
        ddl.comment_on_trigger(relation, found.name, found.mark),
    )


def stale_triggers(scene: Scene, wanted: set[tuple[int, str]]) -> Iterator[Step]:
    """Yield the removal of triggers of ours that are not wanted."""
    for found in scene.state.triggers:
        relation = scene.catalog.relations.get(found.relation)
        if (found.relation, found.name) in wanted or relation is None:
            continue
        yield Step(
            f"stale_trigger:{relation.label}:{found.name}",
            Kind.TRIGGER,
            f'drop trigger "{found.name}"',
            relation.label,
            (ddl.drop_trigger(relation, found.name),),
            _again(relation, found),
            "nothing in the configuration or the schema asks for it any more",
            recorded=False,
        )


def stale_functions(state: SchemaState, wanted: set[str]) -> Iterator[Step]:
    """Yield the removal of functions of schema pgsoftproxy that are not wanted."""
    stale = [found for name, found in state.functions.items() if name not in wanted]
    if stale:
        yield Step(
            "stale_function:pgsoftproxy",
            Kind.TRIGGER,
            f"drop {len(stale)} function{'s' if len(stale) > 1 else ''}",
            "pgsoftproxy",
            tuple(ddl.drop_function(found.name, found.arguments) for found in stale),
            tuple(Statement(found.definition) for found in stale),
            "no trigger calls them any more",
            recorded=False,
        )
