"""What running a routine or a body would do to protected tables, as far as its words and dependencies tell.

A body that the server has parsed, and whose every reference is proven to be guarded, does nothing to them. Pure over
a policy; what is found out is kept in the policy's memo, so that each routine is read once, when a
statement first calls it or another that does. Must not know statements or what is done about a finding.
"""

from collections import deque
from collections.abc import Iterable

from pgsoftproxy.model.catalog import Relation, RelationKind
from pgsoftproxy.model.effects import Variable
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.model.reach import STATISTICS, ViewCalls
from pgsoftproxy.model.routines import COMPILED, OPAQUE, READABLE, RESTORE, Finding, Routine, RoutineClass
from pgsoftproxy.rewrite.bodies import Body, Word, read_body
from pgsoftproxy.rewrite.body_settings import NAMING, REPLICATION_ROLE
from pgsoftproxy.rewrite.verify import is_guarded, proves

REMOVING = frozenset({"delete", "merge", "truncate"})
MOVING = frozenset({"drop", "alter"})
Own = tuple[tuple[Finding, ...], tuple[int, ...], frozenset[Variable]]
"""What a routine does itself, the oids of the routines that it may call, and the variables that it may change."""


def findings_of(routine: Routine, policy: Policy) -> tuple[Finding, ...]:
    """Return what a call of a routine would do, at most one finding of each class and mode, the nearest first."""
    known = policy.memo.findings.get(routine.oid)
    if known is None:
        known = policy.memo.findings[routine.oid] = _follow((routine.oid,), policy)
    return known


def body_findings(text: str | None, language: str, policy: Policy) -> tuple[Finding, ...]:
    """Return what a body would do that is not a routine yet."""
    if language in COMPILED or text is None:
        return ()
    if language not in READABLE:
        return (Finding(RoutineClass.OPAQUE, f"language {language}"),)
    found, calls, _ = _read(read_body(text, language), RoutineClass.BODIES, policy)
    return _first_of_each((*found, *_follow(calls, policy)))


def view_findings(view: ViewCalls, policy: Policy) -> tuple[Finding, ...]:
    """Return what reading a view would do by the routines that it calls."""
    text = [] if view.runs_text is None else [Finding(RoutineClass.OPAQUE, f"{view.runs_text}()")]
    return _first_of_each((*text, *_follow(view.routines, policy)))


def is_allowed(routine: Routine, policy: Policy) -> bool:
    """Tell whether the configuration allows a routine by name."""
    return (routine.schema, routine.name) in policy.routines.allow and not routine.restores


def changes_of(routine: Routine, policy: Policy) -> frozenset[Variable]:
    """Return which of the variables that names depend on a call may have changed when it is over."""
    known = policy.memo.changes.get(routine.oid)
    if known is None:
        known = policy.memo.changes[routine.oid] = _changes((routine.oid,), policy)
    return known


def body_changes(text: str, language: str, policy: Policy) -> frozenset[Variable]:
    """Return the same of a body that is not a routine."""
    _, calls, changes = _read(read_body(text, language), RoutineClass.BODIES, policy)
    return changes | _changes(calls, policy)


def moves_relations(routine: Routine, policy: Policy) -> bool:
    """Tell whether a call may drop, rename or move what a name that matters means."""
    known = policy.memo.moves.get(routine.oid)
    if known is None:
        known = policy.memo.moves[routine.oid] = _moves(routine, policy)
    return known


def _moves(routine: Routine, policy: Policy) -> bool:
    seen: set[int] = set()
    todo = [routine.oid]
    while todo:
        one = policy.catalog.routines.get(todo.pop())
        if one is None or one.oid in seen:
            continue
        seen.add(one.oid)
        words = read_body(one.body, one.language).words if one.body is not None else ()
        names = {word.name for word in words}
        known = (policy.names.keys(), policy.catalog.routines_by_name.keys(), {"schema"})
        if names & MOVING and any(names & some for some in known):
            return True
        todo.extend(_own(one, policy)[1])
    return False


def _changes(oids: Iterable[int], policy: Policy) -> frozenset[Variable]:
    found: frozenset[Variable] = frozenset()
    seen: set[int] = set()
    todo = list(oids)
    while todo:
        routine = policy.catalog.routines.get(todo.pop())
        if routine is not None and routine.oid not in seen:
            seen.add(routine.oid)
            _, calls, changes = _own(routine, policy)
            found |= changes
            todo.extend(calls)
    return found


def _follow(oids: Iterable[int], policy: Policy) -> tuple[Finding, ...]:
    routines = policy.catalog.routines
    chains: dict[int, tuple[str, ...]] = {}
    todo: deque[tuple[int, tuple[str, ...]]] = deque((oid, ()) for oid in oids)
    found: list[Finding] = []
    while todo:
        oid, above = todo.popleft()
        routine = routines.get(oid)
        if routine is None or oid in chains or is_allowed(routine, policy):
            continue
        chains[oid] = chain = (*above, routine.label)
        own, calls, _ = _own(routine, policy)
        found.extend(Finding(item.kind, item.what, chain, item.observed) for item in own)
        todo.extend((called, chain) for called in calls)
    return _first_of_each(found)


def _first_of_each(found: Iterable[Finding]) -> tuple[Finding, ...]:
    first: dict[tuple[RoutineClass, bool], Finding] = {}
    for finding in found:
        first.setdefault((finding.kind, finding.observed), finding)
    return tuple(first.values())


def _own(routine: Routine, policy: Policy) -> Own:
    known = policy.memo.own.get(routine.oid)
    if known is None:
        known = policy.memo.own[routine.oid] = _judge(routine, policy)
    return known


def _judge(routine: Routine, policy: Policy) -> Own:
    if routine.restores:
        return (Finding(RoutineClass.RESTORING, RESTORE),), (), frozenset()
    found: list[Finding] = []
    calls = list(routine.calls)
    changes: frozenset[Variable] = frozenset()
    if routine.runs_text is not None:
        found.append(Finding(RoutineClass.OPAQUE, routine.runs_text))
    proven = is_proven(routine, policy)
    for schema, name in routine.reads:
        if not proven or _is_unseen(schema, name, policy):
            found.extend(_named(Word(name, schema), RoutineClass.EXISTING, policy))
    if routine.body is not None:
        body = read_body(routine.body, routine.language)
        words, called, changes = _read(body, RoutineClass.EXISTING, policy)
        found.extend(words)
        calls.extend(called)
    elif routine.language not in COMPILED:
        found.append(Finding(RoutineClass.OPAQUE, f"language {routine.language}"))
        changes = NAMING
    if is_allowed(routine, policy) and routine.body is not None:
        changes = body.changes  # whoever allows it has seen what text it runs
    return tuple(found), tuple(dict.fromkeys(calls)), changes


def is_proven(routine: Routine, policy: Policy) -> bool:
    """Tell whether the body of a routine that the server has parsed deals with live rows only."""
    if routine.definition is None or not routine.reads:
        return False
    for schema, name in routine.reads:  # what it reads first: the proof asks what is known of views
        relation = policy.catalog.find(schema, name)
        if relation is not None and relation.kind is RelationKind.VIEW and relation.oid in policy.exposing:
            is_guarded(relation, policy)
    return proves(routine.definition, policy)


def _is_unseen(schema: str, name: str, policy: Policy) -> bool:
    """Tell whether a relation leads to protected rows by what a proof of guards does not look at."""
    relation = policy.catalog.find(schema, name)
    return relation is None or relation.oid in policy.destroying


def _read(body: Body, kind: RoutineClass, policy: Policy) -> Own:
    found: list[Finding] = []
    calls: list[int] = []
    removes = any(word.name in REMOVING for word in body.words)
    for word in sorted(body.words, key=lambda word: (word.name, word.qualifier or "", word.called)):
        found.extend(_named(word, kind, policy, removes=removes))
        if word.name in OPAQUE and word.called and not _is_allowed_word(word, policy):
            found.append(Finding(RoutineClass.OPAQUE, f"{word.name}()"))
        for relation in policy.names.get(word.name, ()) if policy.calling else ():
            view = policy.calling.get(relation.oid)
            if view is not None:
                calls.extend(view.routines)
                if view.runs_text is not None:
                    found.append(Finding(RoutineClass.OPAQUE, f"{view.runs_text}()"))
        for routine in policy.catalog.routines_by_name.get(word.name, ()):
            elsewhere = routine.restores and word.qualifier not in {None, routine.schema}
            if (word.called and not elsewhere) or routine.takes_row:
                calls.append(routine.oid)
    if body.runs_text:
        found.append(Finding(RoutineClass.OPAQUE, "EXECUTE of a computed text"))
    if body.disarms:
        found.append(Finding(RoutineClass.DISARMING, REPLICATION_ROLE))
    return tuple(found), tuple(calls), NAMING if body.runs_text else body.changes


def _is_allowed_word(word: Word, policy: Policy) -> bool:
    return any(
        name == word.name and word.qualifier in {None, schema} for schema, name in policy.routines.allow
    )


def _named(word: Word, kind: RoutineClass, policy: Policy, *, removes: bool = True) -> list[Finding]:
    """Return the finding that a word makes if it may be the name of a relation of the policy.

    A relation that is only dangerous to delete from counts where the body `removes` rows of whatever it may be.
    """
    candidates = policy.names.get(word.name)
    if candidates is None:
        return []
    if word.qualifier is not None:
        exact = policy.catalog.find(word.qualifier, word.name)
        if exact is not None:
            if exact not in candidates:
                return []
            candidates = (exact,)
    if not candidates:
        return [Finding(kind, f"pg_catalog.{word.name}")] if word.name in STATISTICS else []
    # A view that only calls routines is followed by its calls.
    candidates = tuple(
        found for found in candidates if _shows(found, policy) or (removes and found.oid in policy.destroying)
    )
    if not candidates:
        return []
    hidden: Relation | None = next((found for found in candidates if not policy.is_observed(found)), None)
    if hidden is not None:
        return [Finding(kind, hidden.label)]
    return [Finding(kind, candidates[0].label, observed=True)]


def _shows(relation: Relation, policy: Policy) -> bool:
    return any(relation.oid in oids for oids in (policy.protections, policy.exposing, policy.broken))
