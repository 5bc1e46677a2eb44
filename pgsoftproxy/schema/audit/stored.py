"""Stored SQL that runs past the proxy: functions, triggers, rules. Pure over what was read of them."""

from collections.abc import Callable, Iterable, Iterator

from pgsoftproxy.db.ddl import name_of
from pgsoftproxy.model.evidence import Event, RuleEvidence, TriggerEvidence
from pgsoftproxy.model.policy import Mode
from pgsoftproxy.model.routines import Routine
from pgsoftproxy.rewrite.conduct import Conduct, Deed, conduct_of, conduct_of_rule
from pgsoftproxy.rewrite.predicates import quote_identifier
from pgsoftproxy.rewrite.routines import is_allowed
from pgsoftproxy.schema.audit.finding import Found, ObjectKind, Subject
from pgsoftproxy.schema.audit.ground import OURS, Ground

Check = Callable[[Ground], Iterator[Found]]
WRITE_ANEW = "CREATE OR REPLACE it with {}, or allow it by name: [routines] allow"
REMOVES = 'it removes rows of "{}" for good'
MEETS = 'it reads or changes rows of "{}" without asking whether they are deleted'
HIDES = "what it does to protected tables cannot be told: {}"
GUARDED = 'a condition "deletion column IS NULL" on each reference'
SOFT = "an UPDATE of the deletion column"


def routine_leaks(ground: Ground) -> Iterator[Found]:
    """Yield functions and procedures that meet deleted rows."""
    yield from _routines(ground, Deed.MEETS)


def routine_destroys(ground: Ground) -> Iterator[Found]:
    """Yield functions and procedures that remove protected rows."""
    yield from _routines(ground, Deed.REMOVES)


def routine_unreadable(ground: Ground) -> Iterator[Found]:
    """Yield functions, trigger functions too, that run what nobody can read beforehand."""
    yield from _routines(ground, Deed.HIDES)
    for routine in ground.evidence.trigger_functions.values():
        for deed in _of(routine, Deed.HIDES, ground):
            yield Found(_routine(routine, ground), HIDES.format(deed.what), "look at it", is_sql=False)


def trigger_leaks(ground: Ground) -> Iterator[Found]:
    """Yield triggers whose function meets deleted rows."""
    yield from _triggers(ground, Deed.MEETS)


def trigger_destroys(ground: Ground) -> Iterator[Found]:
    """Yield triggers whose function removes protected rows."""
    yield from _triggers(ground, Deed.REMOVES)


def trigger_never_fires(ground: Ground) -> Iterator[Found]:
    """Yield triggers of protected tables that are for DELETE: a soft delete is an UPDATE."""
    for trigger in ground.evidence.triggers:
        if Event.DELETE in trigger.events and _is_enforced(trigger.relation, ground):
            why = "it is for DELETE, and a DELETE through the proxy is an UPDATE: it does not fire"
            mend = f"add a trigger for UPDATE of the deletion column; it is now: {trigger.definition}"
            yield Found(_trigger(trigger, ground), why, mend, is_sql=False)


def rule_leaks(ground: Ground) -> Iterator[Found]:
    """Yield rules whose actions meet deleted rows."""
    yield from _rules(ground, Deed.MEETS)


def rule_destroys(ground: Ground) -> Iterator[Found]:
    """Yield rules whose actions remove protected rows."""
    yield from _rules(ground, Deed.REMOVES)


def rule_interferes(ground: Ground) -> Iterator[Found]:
    """Yield rules of protected tables for UPDATE or DELETE, which a soft delete sets off or passes by."""
    for rule in ground.evidence.rules:
        if not _is_enforced(rule.relation, ground):
            continue
        if rule.event is Event.UPDATE:
            why = "it rewrites the UPDATE that a soft delete is"
        elif rule.event is Event.DELETE:
            why = "it is for DELETE, and a DELETE through the proxy is an UPDATE: it does not apply"
        else:
            continue
        yield Found(_rule(rule, ground), why, _dropped(rule, ground))


def _routines(ground: Ground, deed: Deed) -> Iterator[Found]:
    for routine in ground.catalog.routines.values():
        if routine.schema == OURS or is_allowed(routine, ground.policy):
            continue
        found = _of(routine, deed, ground)
        if found:
            yield Found(_routine(routine, ground), *_told(found))


def _triggers(ground: Ground, deed: Deed) -> Iterator[Found]:
    for trigger in ground.evidence.triggers:
        routine = ground.evidence.trigger_functions.get(trigger.function)
        if routine is None or is_allowed(routine, ground.policy):
            continue
        found = _of(routine, deed, ground)
        if found:
            why, mend, is_sql = _told(found)
            why = f'function "{routine.label}", which it calls: {why}'
            yield Found(_trigger(trigger, ground), why, mend, is_sql)


def _rules(ground: Ground, deed: Deed) -> Iterator[Found]:
    for rule in ground.evidence.rules:
        found = _only(conduct_of_rule(rule.definition, ground.policy), deed)
        if found:
            why, _, _ = _told(found)
            yield Found(_rule(rule, ground), why, _dropped(rule, ground))


def _of(routine: Routine, deed: Deed, ground: Ground) -> list[Conduct]:
    signature = ground.evidence.signatures.get(routine.oid)
    return _only(conduct_of(routine, signature, ground.policy), deed)


def _only(found: Iterable[Conduct], deed: Deed) -> list[Conduct]:
    """Return those of one kind; what removes rows of a table is not said to meet them besides."""
    every = list(found)
    removed = {one.what for one in every if one.deed is Deed.REMOVES}
    return [one for one in every if one.deed is deed and (deed is not Deed.MEETS or one.what not in removed)]


def _told(found: list[Conduct]) -> tuple[str, str, bool]:
    """Return why, how to mend it, and that this is no SQL."""
    labels = '", "'.join(sorted({one.what for one in found}))
    sure = "" if all(one.certain for one in found) else "; its body was read by words only"
    deed = found[0].deed
    if deed is Deed.HIDES:
        return (
            HIDES.format(labels.replace('"', "")),
            "look at it, and allow it by name: [routines] allow",
            False,
        )
    if deed is Deed.REMOVES:
        return REMOVES.format(labels) + sure, WRITE_ANEW.format(SOFT), False
    return MEETS.format(labels) + sure, WRITE_ANEW.format(GUARDED), False


def _routine(routine: Routine, ground: Ground) -> Subject:
    return Subject(ObjectKind.FUNCTION, f"{routine.label}({ground.evidence.arguments.get(routine.oid, '')})")


def _trigger(trigger: TriggerEvidence, ground: Ground) -> Subject:
    return Subject(ObjectKind.TRIGGER, f"{ground.catalog.relations[trigger.relation].label}:{trigger.name}")


def _rule(rule: RuleEvidence, ground: Ground) -> Subject:
    return Subject(ObjectKind.RULE, f"{ground.catalog.relations[rule.relation].label}:{rule.name}")


def _dropped(rule: RuleEvidence, ground: Ground) -> str:
    relation = ground.catalog.relations[rule.relation]
    return f"DROP RULE {quote_identifier(rule.name)} ON {name_of(relation)};"


def _is_enforced(oid: int, ground: Ground) -> bool:
    protection = ground.policy.protections.get(oid)
    return protection is not None and protection.mode is Mode.ENFORCE
