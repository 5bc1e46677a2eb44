"""Prepare a statement again, under its name, ahead of the EXECUTE or Bind that finds it out of date.

Knows what must be sent for it, as SQL and as messages; must not know when a statement is out of date.

Theory. PREPARE is not transactional, and what it would replace must be deallocated first. So the new text is
prepared under another name before: if the server refuses it, the client gets that error, as it would from a
statement that PostgreSQL analyses anew, and what the server has under the client's name is still there.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pgsoftproxy.model.effects import Prepares
from pgsoftproxy.rewrite.plan import Edit, Kind, Rewritten, StatementPlan
from pgsoftproxy.rewrite.predicates import quote_identifier
from pgsoftproxy.session.replies import NOTHING, Owed, Owes
from pgsoftproxy.session.state import State
from pgsoftproxy.session.statements import Confirmable, Gone, Prepared
from pgsoftproxy.wire import frontend

PROBE = "_pgsoftproxy_again"
"""The name that a new text is tried under."""
CARRIER = b"_pgsoftproxy_carrier"
"""The name, of statement and portal, that carries SQL in messages of the extended protocol."""
PREPARABLE = frozenset({Kind.SELECT, Kind.INSERT, Kind.UPDATE, Kind.DELETE, Kind.MERGE})
NO_TYPES = b"\0\0"


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of SQL: `edits` map a position in it back into the client's PREPARE; `drops` is what it drops."""

    sql: str
    edits: tuple[Edit, ...] = ()
    drops: str | None = None
    changes: tuple[Confirmable, ...] = ()


@dataclass(frozen=True, slots=True)
class Again:
    """A statement `name` (as SQL's, and as the key of its name) that must be `new` instead of `old`."""

    name: str
    key: bytes
    old: Prepared
    new: Prepared


def steps(state: State, again: Again) -> tuple[Step, ...] | None:
    """Return the SQL that prepares a statement again, and expect the change; None if SQL cannot prepare it.

    PREPARE takes names of types, where a Parse gave numbers, and it takes queries only.
    """
    tail = _tail(state, again.new)
    if tail is None:
        return None
    sql, edits = tail
    name = quote_identifier(again.name)
    change = state.statements.expect(again.key, again.new, state.replies.segment)
    dropped = () if again.old.sent is None else (Step(f"DEALLOCATE {name}", drops=again.name),)
    return (
        _prepare(PROBE, sql, edits),
        Step(f"DEALLOCATE {PROBE}", drops=PROBE),
        *(replace(step, changes=(Gone(again.old),)) for step in dropped),
        replace(_prepare(name, sql, edits), changes=(change,)),
    )


def frames(state: State, again: Again) -> tuple[list[bytes], list[Owed]] | None:
    """Return the messages that prepare a statement again, and what is owed for them; None as in `steps`."""
    if again.new.types is not None:
        return _parse(state, again, again.new.types)
    wanted = steps(state, again)
    if wanted is None:
        return None
    sent: list[bytes] = []
    owed: list[Owed] = []
    for step in wanted:
        if step.drops is not None:
            key = step.drops.encode(state.codec, "replace")
            sent.append(frontend.close(b"S", key))
            owed.append(Owed(Owes.CLOSE, NOTHING, step.changes, hidden=True))
            continue
        _carry(state, step, (sent, owed))
    return sent, owed


def _parse(state: State, again: Again, types: bytes) -> tuple[list[bytes], list[Owed]]:
    assert again.new.sent is not None
    change = state.statements.expect(again.key, again.new, state.replies.segment)
    sent = [frontend.close(b"S", again.key), frontend.parse(again.key, again.new.sent, types)]
    closed = Owed(Owes.CLOSE, NOTHING, (Gone(again.old),), hidden=True)
    return sent, [closed, Owed(Owes.PARSE, again.new.script, (change,), hidden=True)]


def _carry(state: State, step: Step, out: tuple[list[bytes], list[Owed]]) -> None:
    sent, owed = out
    script = replace(NOTHING, edits=step.edits)
    # What an earlier error left of the carrier goes first.
    for what in (b"P", b"S"):
        sent.append(frontend.close(what, CARRIER))
        owed.append(Owed(Owes.CLOSE, hidden=True))
    sent.append(frontend.parse(CARRIER, step.sql.encode(state.codec)))
    sent.append(frontend.bind(CARRIER, CARRIER))
    sent.append(frontend.execute(CARRIER))
    kinds = (Owes.PARSE, Owes.BIND)
    owed.extend(Owed(kind, script, hidden=True) for kind in kinds)
    owed.append(Owed(Owes.EXECUTE, script, step.changes, hidden=True))
    for what in (b"P", b"S"):
        sent.append(frontend.close(what, CARRIER))
        owed.append(Owed(Owes.CLOSE, hidden=True))


def _tail(state: State, new: Prepared) -> tuple[str, tuple[Edit, ...]] | None:
    """Return what follows the name in the PREPARE of a statement, with the edits that lead back from it."""
    assert new.sent is not None
    sql = new.sent.decode(state.codec)
    edits = new.plan.edits if isinstance(new.plan, Rewritten) else ()
    if new.types is None:
        at = _named(new.plan.statements)
        return sql[at:], (Edit(0, at, ""), *edits)
    if new.types != NO_TYPES or [plan.kind for plan in new.plan.statements if plan.kind in PREPARABLE] == []:
        return None
    return " AS " + sql, (Edit(0, 0, " AS "), *edits)


def _named(statements: Iterable[StatementPlan]) -> int:
    return next(effect.tail for plan in statements for effect in plan.effects if isinstance(effect, Prepares))


def _prepare(name: str, tail: str, edits: tuple[Edit, ...]) -> Step:
    head = f"PREPARE {name}"
    return Step(head + tail, (edits[0]._replace(text=head + edits[0].text), *edits[1:]))
