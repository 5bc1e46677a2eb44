"""SQL's PREPARE, EXECUTE and DEALLOCATE, which share their names with the protocol's Parse, Bind and Close.

Decides whether an EXECUTE may run what the server has under a name; must not know messages.
"""

from dataclasses import replace

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.context import Context
from pgsoftproxy.model.effects import Deallocates, DiscardsAll, Executes, Prepares
from pgsoftproxy.rewrite.plan import Kind, Plan, Retag, StatementPlan
from pgsoftproxy.session.state import State
from pgsoftproxy.session.statements import NAME_BYTES, WAIT, Confirmable, Prepared, Script, Waits, sent_text
from pgsoftproxy.session.variables import plain

SOFT_DELETE = Retag("UPDATE", "DELETE")
NO_STATEMENT = StatementPlan(Kind.EXECUTE)
"""What an empty text does."""


def resolve(state: State, statement: StatementPlan, context: Context) -> StatementPlan | Refusal | Waits:
    """Return the statement with what it executes by name taken into account, or why it must not run.

    What EXECUTE runs was rewritten when it was prepared; if it would be rewritten otherwise now, it is refused.
    """
    for effect in statement.effects:
        if isinstance(effect, Executes):
            found = state.statements.find(_key(state, effect.name), state.replies.segment)
            if isinstance(found, Waits):
                return WAIT
            if found is None:
                return missing(effect.name)
            inner = _current(state, found, plain(context))
            if inner is None:
                return stale(effect.name)
            statement = _executing(statement, inner)
    return statement


def changes(state: State, statement: StatementPlan, context: Context) -> tuple[Confirmable, ...]:
    """Expect the names that a statement that is being sent changes."""
    found: list[Confirmable] = []
    segment = state.replies.segment
    for effect in statement.effects:
        match effect:
            case Prepares():
                name, prepared = _key(state, effect.name), _prepared(state, effect, plain(context))
                found.append(state.statements.expect(name, prepared, segment))
            case Deallocates():
                only = None if effect.name is None else _key(state, effect.name)
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
    """Return the error for a statement that was prepared under what is not in force any more."""
    return Refusal(
        "0A000",
        f'prepared statement "{name}" was prepared under another visibility, search_path or policy',
        hint="DEALLOCATE it and PREPARE it again.",
    )


def _key(state: State, name: str) -> bytes:
    return name.encode(state.codec, "replace")[:NAME_BYTES]


def _plan(state: State, text: bytes, context: Context) -> Plan:
    return state.planner.plan(text, state.codec, state.policy, context)


def _current(state: State, prepared: Prepared, context: Context) -> StatementPlan | None:
    """Return the plan of what the server has under the name, None if it would not be sent like that now."""
    plan = prepared.plan
    if prepared.version != state.policy.version or prepared.context != context:
        plan = _plan(state, prepared.text, context)
    try:
        sent = sent_text(plan, prepared.text, state.codec)
    except UnicodeEncodeError:
        return None
    if sent is None or sent != prepared.sent or len(plan.statements) > 1:
        return None
    return plan.statements[0] if plan.statements else NO_STATEMENT


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
        deletes=inner.deletes if statement.kind is Kind.EXECUTE else None,
        bypass=inner.bypass,
    )


def _prepared(state: State, effect: Prepares, context: Context) -> Prepared:
    # `body` is text of the client's, so it can be encoded again.
    text = effect.body.encode(state.codec)
    plan = _plan(state, text, context)
    try:
        sent = sent_text(plan, text, state.codec)
    except UnicodeEncodeError:
        sent = None
    # The protocol may bind it: its replies are then those of what it prepares, not of the PREPARE.
    bound = tuple(_executing(NO_STATEMENT, statement) for statement in plan.statements)
    script = Script.of(plan, bound)
    return Prepared(text, None, plan, script, context, state.policy.version, sent)
