"""Views and materialized views that show deleted rows are made anew so that they keep them out. Pure.

What they become is what the proxy would have made of their CREATE. A view keeps its name, its columns, its options and
its privileges; a materialized view is dropped and made again, with its indexes, owner, privileges and comments.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pgsoftproxy.db import stored_ddl
from pgsoftproxy.model.catalog import VIEWS, Relation, RelationKind
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.model.steps import Kind, Remark, Statement, Step
from pgsoftproxy.rewrite.plan import Rewritten
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.rewrite.verify import PRINTED, is_guarded
from pgsoftproxy.schema.scene import Scene

OWN = "pgsoftproxy"


@dataclass(frozen=True, slots=True)
class Leaking:
    """A view that shows deleted rows; `create` is the CREATE that keeps them out, `why_not` why there is none."""

    relation: Relation
    create: str | None = None
    why_not: str = ""


def step_id(relation: Relation) -> str:
    """Return the id of the step that mends a view."""
    return f"stored:{relation.label}"


def stored_steps(scene: Scene) -> Iterator[Step]:
    """Yield what makes each view that shows deleted rows anew, those first that others read."""
    for leaking in leaking_views(scene):
        relation = leaking.relation
        if leaking.create is not None:
            yield Step(
                step_id(relation),
                Kind.STORED,
                "make it anew, so that it shows live rows only",
                relation.label,
                _made(relation, leaking.create),
                _made(relation, created(relation, scene)),
                "whoever reads it on a direct connection sees deleted rows",
                rows=scene.rows(relation),
                seconds=scene.index_seconds(relation) if relation.kind is RelationKind.MATVIEW else 0.0,
                holds=relation.kind is RelationKind.MATVIEW,
            )


def stored_remarks(scene: Scene) -> Iterator[Remark]:
    """Yield the views that go on showing deleted rows, with the reason."""
    for leaking in leaking_views(scene):
        if leaking.create is None:
            yield Remark(leaking.relation.label, f"it shows deleted rows; {leaking.why_not}")


def leaking_views(scene: Scene) -> Iterator[Leaking]:
    """Yield the views that show deleted rows, those first that others read; not those that are right once these are."""
    policy = scene.policy
    mended: dict[int, bool] = {}
    for relation in _by_depth(policy):
        if relation.schema == OWN or is_guarded(relation, policy):
            continue
        leaking = _judged(relation, policy, scene)
        yield leaking
        if leaking.create is not None:
            mended[relation.oid] = True
            policy = replace(policy)  # with nothing remembered of any view but these
            policy.memo.guarded.update(mended)


def created(relation: Relation, scene: Scene) -> str:
    """Return the CREATE of a view as it is."""
    options = scene.state.view_options.get(relation.oid, ())
    return stored_ddl.create(relation, options)


def _judged(relation: Relation, policy: Policy, scene: Scene) -> Leaking:
    readers = [one.label for one in policy.catalog.relations.values() if relation.oid in one.reads]
    if relation.kind is RelationKind.MATVIEW and readers:
        listed = ", ".join(f'"{label}"' for label in sorted(readers))
        return Leaking(relation, None, f"it cannot be dropped: {listed} read it")
    if relation.definition is None:
        return Leaking(relation, None, "its definition cannot be read")
    plan = rewrite(created(relation, scene), policy, PRINTED)
    if isinstance(plan, Rewritten) and not any(one.refusal for one in plan.statements):
        return Leaking(relation, plan.sql)
    refusal = next((one.refusal for one in plan.statements if one.refusal), None)
    return Leaking(relation, None, refusal.message if refusal else "the proxy could not guard it")


def _by_depth(policy: Policy) -> Iterator[Relation]:
    """Yield the views over protected tables, each after those that it reads."""
    done: set[int] = set()
    views = (policy.catalog.relations[oid] for oid in policy.exposing)
    todo = sorted((view for view in views if view.kind in VIEWS), key=lambda view: view.label, reverse=True)
    open_: set[int] = set()
    while todo:
        view = todo[-1]
        below = [oid for oid in view.reads if oid in policy.exposing and oid not in done | open_]
        unread = [policy.catalog.relations[oid] for oid in below]
        unread = [one for one in unread if one.kind in VIEWS]
        open_.add(view.oid)
        if unread and view.oid not in done:  # rules may make views read each other in a circle
            todo.extend(unread)
            continue
        todo.pop()
        if view.oid not in done:
            done.add(view.oid)
            yield view


def _made(relation: Relation, create: str) -> tuple[Statement, ...]:
    if relation.kind is RelationKind.MATVIEW:
        return (stored_ddl.made_again(relation, create),)
    return (stored_ddl.replaced(create),)
