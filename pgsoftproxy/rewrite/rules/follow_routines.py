"""What the routines that a statement calls leave changed: search_path and role are in doubt then, or the catalog."""

from collections.abc import Iterator

from pgsoftproxy.model.context import UNCERTAIN_PATH, UNKNOWN_USER
from pgsoftproxy.model.effects import ChangesCatalog, SetsVariable, Variable
from pgsoftproxy.model.encodings import UNKNOWN_CODEC
from pgsoftproxy.model.routines import Routine
from pgsoftproxy.rewrite.bodies import definition_of
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.routines import body_changes, changes_of, moves_relations
from pgsoftproxy.rewrite.rules.refuse_opaque import may_mean, of_rows
from pgsoftproxy.rewrite.scope import Findings
from pgsoftproxy.rewrite.tree import Node, strings

_DOUBTS = {
    Variable.SEARCH_PATH: SetsVariable(Variable.SEARCH_PATH, UNCERTAIN_PATH),
    Variable.USER: SetsVariable(Variable.USER, UNKNOWN_USER),
    Variable.ENCODING: SetsVariable(Variable.ENCODING, UNKNOWN_CODEC),
}


def follow_routines(
    tag: str, statement: Node, found: Findings, surroundings: Surroundings
) -> tuple[SetsVariable | ChangesCatalog, ...]:
    """Return the effects of what a statement calls, or a DO block does, inside the server."""
    policy = surroundings.policy
    catalog = policy.catalog
    calls = found.calls or policy.calling or catalog.row_routines
    if not policy.names or (tag != "DoStmt" and not calls):
        return ()
    changes: set[Variable] = set()
    moved: tuple[ChangesCatalog, ...] = ()
    for routine in _called(found, surroundings):
        changes |= changes_of(routine, policy)
        if moves_relations(routine, policy):
            moved = (ChangesCatalog(uncovers=True),)
    if tag == "DoStmt":
        for language, text in definition_of(statement):
            if text is not None:
                changes |= body_changes(text, language, policy)
    return (*(effect for variable, effect in _DOUBTS.items() if variable in changes), *moved)


def _called(found: Findings, surroundings: Surroundings) -> Iterator[Routine]:
    catalog = surroundings.policy.catalog
    names = [strings(call["funcname"]) for call in found.calls]
    if catalog.row_routines:
        names += [[name] for name in of_rows(found) if name in catalog.row_routines]
    for name in names:
        for routine in catalog.routines_by_name.get(name[-1], ()):
            if may_mean(name, routine, surroundings):
                yield routine
    for reference in found.references:
        relation = surroundings.relation(reference.node)
        view = surroundings.policy.calling.get(relation.oid) if relation is not None else None
        for oid in view.routines if view is not None else ():
            if oid in catalog.routines:
                yield catalog.routines[oid]
