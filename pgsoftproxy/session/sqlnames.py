"""SQL's PREPARE, EXECUTE and DEALLOCATE, which share their names with the protocol's Parse, Bind and Close.

Decides whether an EXECUTE may run what the server has under a name, or must have it prepared again. Must not
know messages.
"""

from dataclasses import dataclass, replace

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.context import Context
from pgsoftproxy.model.effects import Deallocates, DiscardsAll, Executes, Prepares
from pgsoftproxy.model.names import NAME_BYTES
from pgsoftproxy.rewrite.plan import Kind, Plan, Refused, Retag, StatementPlan
from pgsoftproxy.session.again import Again
from pgsoftproxy.session.state import State
from pgsoftproxy.session.statements import WAIT, Confirmable, Prepared, Script, Waits, sent_text
from pgsoftproxy.session.variables import plain

SOFT_DELETE = Retag("UPDATE", "DELETE")
UNENCODABLE = Refusal("22P05", "the rewritten statement has characters that client_encoding lacks")
NO_STATEMENT = StatementPlan(Kind.EXECUTE)
"""What an empty text does."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A statement with what it executes by name taken into account, and what must be prepared again ahead of it."""

    plan: StatementPlan
    again: Again | None = None


def executed(statement: StatementPlan) -> Executes | None:
    """Return the EXECUTE of a statement, if it is one or has one inside."""
    return next((effect for effect in statement.effects if isinstance(effect, Executes)), None)


def resolve(state: State, statement: StatementPlan, context: Context) -> Resolved | Refusal | Waits:
    """Return the statement with what it executes by name taken into account, or why it must not run.

    What EXECUTE runs was rewritten when it was prepared; if it would be rewritten otherwise now, it is prepared again.
    """
    effect = executed(statement)
    if effect is None:
        return Resolved(statement)
    key = key_of(state, effect.name)
    found = state.statements.find(key, state.replies.segment)
    if isinstance(found, Waits):
        return WAIT
    if found is None:
        return missing(effect.name)
    for directive in effect.directives:
        context = context.after(directive)
    new = renewed(state, found, plain(context))
    if isinstance(new, Refusal):
        return new
    if len(new.plan.statements) > 1:
        return stale(effect.name)  # a batch that SQL's PREPARE would not take; the server refuses its Parse
    inner = new.plan.statements[0] if new.plan.statements else NO_STATEMENT
    if executed(inner) is not None:
        return stale(effect.name)  # an EXECUTE that the protocol prepared: a chain that nobody needs
    again = None if new is found else Again(effect.name, key, found, new)
    return Resolved(_executing(statement, inner), again)


def renewed(state: State, found: Prepared, context: Context) -> Prepared | Refusal:
    """Return what a name should stand for in this context: `found` if the server has that, else what to send for it."""
    version = state.policy.version
    try:
        found.transcribe(state.codec)
    except UnicodeError:
        return UNENCODABLE
    if found.version == version and found.context == context and found.there:
        found.context = context  # compared by identity first
        return found
    new = _prepared(state, (found.text, found.types), context)
    if isinstance(new.plan, Refused):
        return new.plan.refusal
    if new.sent is None:
        return UNENCODABLE
    if new.sent != found.sent:
        return new
    found.plan, found.script, found.context, found.version = new.plan, new.script, context, version
    return found


def changes(state: State, statement: StatementPlan, context: Context) -> tuple[Confirmable, ...]:
    """Expect the names that a statement that is being sent changes."""
    found: list[Confirmable] = []
    segment = state.replies.segment
    for effect in statement.effects:
        match effect:
            case Prepares():
                # `body` is text of the client's, so it can be encoded again.
                prepared = _prepared(state, (effect.body.encode(state.codec), None), plain(context))
                found.append(state.statements.expect(key_of(state, effect.name), prepared, segment))
            case Deallocates():
                only = None if effect.name is None else key_of(state, effect.name)
                found.extend(state.statements.expect_none(segment, only))
            case DiscardsAll():
                found.extend(state.statements.expect_none(segment))
                found.extend(state.portals.expect_none(segment))
            case _:
                pass
    return tuple(found)


def missing(name: str) -> Refusal:
    """Return the server's own error for a prepared statement that is not there.

    A name that only the server knows was made where the proxy could not see its text (inside a function).
    """
    shown = f'prepared statement "{name}"' if name else "unnamed prepared statement"
    return Refusal("26000", f"{shown} does not exist")


def stale(name: str) -> Refusal:
    """Return the error for a statement that was prepared under what is not in force any more, and cannot be again."""
    return Refusal(
        "0A000",
        f'prepared statement "{name}" was prepared under another visibility, search_path or policy',
        hint="Use it by the protocol that it was prepared by, or prepare it again.",
    )


def key_of(state: State, name: str) -> bytes:
    """Return the key of a name that SQL gives."""
    return name.encode(state.codec, "replace")[:NAME_BYTES]


def _plan(state: State, text: bytes, context: Context) -> Plan:
    return state.planner.plan(text, state.codec, state.policy, context)


def _executing(statement: StatementPlan, inner: StatementPlan) -> StatementPlan:
    # `inner` is the plan of a Parse's text, or of a PREPARE statement: that one's own effect is not repeated.
    effects = [effect for effect in inner.effects if not isinstance(effect, Prepares)]
    return replace(
        statement,
        # A COPY can be prepared by the protocol, and is then answered as such.
        kind=Kind.COPY if inner.kind is Kind.COPY else statement.kind,
        effects=(*statement.effects, *effects),
        translations=(*statement.translations, *inner.translations),
        retag=inner.retag or (SOFT_DELETE if inner.deletes else None),
        guarded=inner.guarded,
        observed=inner.observed,
        by_hand=inner.by_hand,
        hard=inner.hard,
        removed=inner.removed,
        restores=inner.restores,
        deletes=inner.deletes if statement.kind is Kind.EXECUTE else None,
        bypass=inner.bypass,
    )


def _prepared(state: State, given: tuple[bytes, bytes | None], context: Context) -> Prepared:
    text, types = given
    plan = _plan(state, text, context)
    try:
        sent = sent_text(plan, text, state.codec)
    except UnicodeEncodeError:
        sent = None
    if types is None:
        # The protocol may bind it: its replies are then those of what it prepares, not of the PREPARE.
        script = Script.of(plan, tuple(_executing(NO_STATEMENT, statement) for statement in plan.statements))
    else:
        script = state.script_of(plan)
    return Prepared(text, types, plan, script, context, state.policy.version, sent, state.codec)
