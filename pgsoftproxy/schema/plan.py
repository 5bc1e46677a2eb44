"""The plan of a migration: the difference between what a configuration asks for and what a database has. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from pgsoftproxy.model.catalog import Catalog
from pgsoftproxy.model.context import Grant
from pgsoftproxy.model.links import KeyRule, find_links
from pgsoftproxy.model.policy import Problem, TableRule, compile_policy
from pgsoftproxy.model.present import SchemaState
from pgsoftproxy.model.routines import RoutineRules
from pgsoftproxy.model.steps import OPTIONAL, Kind, Plan, Remark, Step
from pgsoftproxy.schema.columns import MissingColumn, column_steps, missing_columns, with_columns
from pgsoftproxy.schema.direct import row_security_remarks, row_security_steps, view_remarks, view_steps
from pgsoftproxy.schema.equipment import equipment_steps, schema_step
from pgsoftproxy.schema.indexes import index_remarks, index_steps
from pgsoftproxy.schema.privileges import revoke_steps
from pgsoftproxy.schema.scene import Scene
from pgsoftproxy.schema.stored import stored_remarks, stored_steps
from pgsoftproxy.schema.unique import unique_remarks, unique_steps

ALL = frozenset(Kind) - frozenset(OPTIONAL)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the configuration asks for."""

    rules: tuple[TableRule, ...]
    grants: Mapping[str, Grant]
    keys: tuple[KeyRule, ...] = ()
    routines: RoutineRules = field(default_factory=RoutineRules)


def plan(
    wanted: Wanted, catalog: Catalog, state: SchemaState, kinds: frozenset[Kind] = ALL
) -> tuple[Plan, tuple[Problem, ...]]:
    """Return the steps of these kinds that are due, and what no step can mend."""
    scene, problems, columns = set_scene(wanted, catalog, state)
    steps = [step for step in (*column_steps(columns, state), *_steps(scene)) if step.kind in kinds]
    steps.sort(key=lambda step: list(Kind).index(step.kind))
    if steps:  # whatever is done is recorded there
        steps[:0] = schema_step(state)
    return Plan(tuple(steps), tuple(_remarks(scene, kinds))), problems


def set_scene(
    wanted: Wanted, catalog: Catalog, state: SchemaState
) -> tuple[Scene, tuple[Problem, ...], tuple[MissingColumn, ...]]:
    """Compile the policy as it will be once the missing columns are there."""
    columns = missing_columns(wanted.rules, catalog)
    policy, problems = compile_policy(wanted.rules, wanted.grants, with_columns(catalog, columns))
    policy = replace(policy, routines=wanted.routines)
    links, unknown = find_links(policy, wanted.keys)
    return Scene(policy, links, state), (*problems, *unknown), columns


def _steps(scene: Scene) -> Iterator[Step]:
    yield from index_steps(scene)
    yield from unique_steps(scene)
    yield from equipment_steps(scene)
    yield from revoke_steps(scene)
    yield from row_security_steps(scene)
    yield from view_steps(scene)
    yield from stored_steps(scene)


def _remarks(scene: Scene, kinds: frozenset[Kind]) -> Iterator[Remark]:
    if Kind.INDEX in kinds:
        yield from index_remarks(scene)
    yield from unique_remarks(scene, exclusions=Kind.EXCLUSION in kinds)
    if Kind.RLS in kinds:
        yield from row_security_remarks(scene)
    if Kind.VIEW in kinds:
        yield from view_remarks(scene)
    if Kind.STORED in kinds:
        yield from stored_remarks(scene)
