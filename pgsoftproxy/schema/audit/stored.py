"""Stored SQL that runs past the proxy: functions, triggers, rules. Pure over what was read of them."""

from collections.abc import Callable, Iterable, Iterator
from typing import assert_never

from pgsoftproxy.db.ddl import name_of
from pgsoftproxy.model.evidence import Event, RuleEvidence, TriggerEvidence
from pgsoftproxy.model.policy import Mode
from pgsoftproxy.model.routines import Routine
from pgsoftproxy.rewrite.anew import routine_anew
from pgsoftproxy.rewrite.conduct import Conduct, Deed, conduct_of, conduct_of_rule
from pgsoftproxy.rewrite.predicates import is_live, quote_identifier
from pgsoftproxy.rewrite.routines import is_allowed
from pgsoftproxy.schema.audit.finding import By, Found, Mend, ObjectKind, Subject
from pgsoftproxy.schema.audit.ground import OURS, Ground

Check = Callable[[Ground], Iterator[Found]]
WRITE_ANEW = "CREATE OR REPLACE it with {}, or allow it by name: [routines] allow"
REMOVES = 'it removes rows of "{}" for good'
MEETS = 'it reads or changes rows of "{}" without asking whether they are deleted'
HIDES = "what it does to protected tables cannot be told: {}"
GUARDED = 'a condition "deletion column IS NULL" on each reference'
SOFT = "an UPDATE of the deletion column"


def routines(deed: Deed, ground: Ground) -> Iterator[Found]:
    """Yield functions and procedures that do such a deed."""
    for routine in ground.catalog.routines.values():
        if routine.schema == OURS or is_allowed(routine, ground.policy):
            continue
        found = _of(routine, deed, ground)
        if found:
            yield Found(_routine(routine, ground), *_told(found, routine, ground))


def triggers(deed: Deed, ground: Ground) -> Iterator[Found]:
    """Yield triggers whose function does such a deed."""
    for trigger in ground.evidence.triggers:
        routine = ground.evidence.trigger_functions.get(trigger.function)
        if routine is None or is_allowed(routine, ground.policy):
            continue
        found = _of(routine, deed, ground)
        if found:
            why, mend = _told(found, routine, ground)
            why = f'function "{routine.label}", which it calls: {why}'
            yield Found(_trigger(trigger, ground), why, mend)


def rules(deed: Deed, ground: Ground) -> Iterator[Found]:
    """Yield rules whose actions do such a deed."""
    for rule in ground.evidence.rules:
        found = _only(conduct_of_rule(rule.definition, ground.policy), deed)
        if found:
            yield Found(_rule(rule, ground), _why(found), _dropped(rule, ground))


def routine_unreadable(ground: Ground) -> Iterator[Found]:
    """Yield functions, trigger functions too, that run what nobody can read beforehand."""
    yield from routines(Deed.HIDES, ground)
    for routine in ground.evidence.trigger_functions.values():
        for deed in _of(routine, Deed.HIDES, ground):
            yield Found(_routine(routine, ground), HIDES.format(deed.what), Mend("look at it"))


def trigger_never_fires(ground: Ground) -> Iterator[Found]:
    """Yield triggers of protected tables that are for DELETE: a soft delete is an UPDATE."""
    for trigger in ground.evidence.triggers:
        if (
            Event.DELETE in trigger.events
            and _is_enforced(trigger.relation, ground)
            and not _has_twin(trigger, ground)
        ):
            why = "it is for DELETE, and a DELETE through the proxy is an UPDATE: it does not fire"
            yield Found(_trigger(trigger, ground), why, _fired_by_update(trigger, ground))


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


def _of(routine: Routine, deed: Deed, ground: Ground) -> list[Conduct]:
    signature = ground.evidence.signatures.get(routine.oid)
    return _only(conduct_of(routine, signature, ground.policy), deed)


def _only(found: Iterable[Conduct], deed: Deed) -> list[Conduct]:
    """Return those of one kind; what removes rows of a table is not said to meet them besides."""
    every = list(found)
    removed = {one.what for one in every if one.deed is Deed.REMOVES}
    return [one for one in every if one.deed is deed and (deed is not Deed.MEETS or one.what not in removed)]


def _told(found: list[Conduct], routine: Routine, ground: Ground) -> tuple[str, Mend]:
    """Return why, and how to mend it."""
    why, deed = _why(found), found[0].deed
    if deed is Deed.HIDES:
        return why, Mend("look at it, and allow it by name: [routines] allow")
    definition = ground.evidence.definitions.get(routine.oid)
    signature = ground.evidence.signatures.get(routine.oid)
    anew = definition and routine_anew(routine, definition, signature, ground.policy)
    if anew:
        return why, Mend(f"{anew.rstrip()};", By.SQL)
    return why, Mend(WRITE_ANEW.format(SOFT if deed is Deed.REMOVES else GUARDED))


def _why(found: list[Conduct]) -> str:
    labels = '", "'.join(sorted({one.what for one in found}))
    sure = "" if all(one.certain for one in found) else "; its body was read by words only"
    match found[0].deed:
        case Deed.HIDES:
            return HIDES.format(labels.replace('"', ""))
        case Deed.REMOVES:
            return REMOVES.format(labels) + sure
        case Deed.MEETS:
            return MEETS.format(labels) + sure
        case unknown:
            assert_never(unknown)


def _fired_by_update(trigger: TriggerEvidence, ground: Ground) -> Mend:
    """Return the SQL of a twin that a soft delete fires: of an AFTER trigger of rows, whose answer is ignored."""
    protection = ground.policy.protections[trigger.relation]
    if not trigger.after_row or " WHEN (" in trigger.definition:
        return Mend(f"add a trigger for UPDATE of the deletion column; it is now: {trigger.definition}")
    call = trigger.definition.rpartition(" EXECUTE FUNCTION ")[2]
    column = quote_identifier(protection.column)
    old, new = (is_live(f"{row}.{column}", protection) for row in ("OLD", "NEW"))
    return Mend(
        f"CREATE TRIGGER {quote_identifier(f'{trigger.name}_soft')} AFTER UPDATE OF {column} "
        f"ON {name_of(protection.relation)}\nFOR EACH ROW WHEN ({old} AND NOT ({new})) EXECUTE FUNCTION {call};",
        By.SQL,
    )


def _has_twin(trigger: TriggerEvidence, ground: Ground) -> bool:
    """Tell whether another trigger of the table calls the same function after an UPDATE."""
    return any(
        other.relation == trigger.relation
        and other.function == trigger.function
        and Event.UPDATE in other.events
        for other in ground.evidence.triggers
    )


def _routine(routine: Routine, ground: Ground) -> Subject:
    return Subject(ObjectKind.FUNCTION, f"{routine.label}({ground.evidence.arguments.get(routine.oid, '')})")


def _trigger(trigger: TriggerEvidence, ground: Ground) -> Subject:
    return Subject(ObjectKind.TRIGGER, f"{ground.catalog.relations[trigger.relation].label}:{trigger.name}")


def _rule(rule: RuleEvidence, ground: Ground) -> Subject:
    return Subject(ObjectKind.RULE, f"{ground.catalog.relations[rule.relation].label}:{rule.name}")


def _dropped(rule: RuleEvidence, ground: Ground) -> Mend:
    relation = ground.catalog.relations[rule.relation]
    return Mend(f"DROP RULE {quote_identifier(rule.name)} ON {name_of(relation)};", By.SQL)


def _is_enforced(oid: int, ground: Ground) -> bool:
    protection = ground.policy.protections.get(oid)
    return protection is not None and protection.mode is Mode.ENFORCE
