"""What a session keeps beyond its transaction, where a pooler may give that session to somebody else.

Judged is only what could change whose rows another client reads: names, rights, visibility, and statements and
cursors that were planned under them. What a pooler follows itself (client_encoding, TimeZone and the like) may be set.
"""

from collections.abc import Iterable

from pgsoftproxy.model.effects import Effect, SetsVariable, Variable
from pgsoftproxy.model.routines import Action
from pgsoftproxy.model.statements import StatementClass
from pgsoftproxy.rewrite.plan import Warned
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rules.apply_choice import apply_choice
from pgsoftproxy.rewrite.rules.follow_session import executed_name
from pgsoftproxy.rewrite.rules.follow_temporary import makes_temporary
from pgsoftproxy.rewrite.tree import Node, tagged, unwrapped

HOLD = 0x20
"""CURSOR_OPT_HOLD of the server's parsenodes.h."""
LOCAL_HINT = "Use SET LOCAL in a transaction, or a comment before the statement."


def end_with_transaction(
    statement: Node, effects: Iterable[Effect], surroundings: Surroundings
) -> tuple[Warned, ...]:
    """Return what to tell of a statement that leaves something behind; raises StatementRefused if it may not."""
    if surroundings.policy.statements.session_state is Action.ALLOW:
        return ()
    left = _left_behind(statement, effects, surroundings)
    if left is None:
        return ()
    what, hint = left
    message = f"{what} would outlive its transaction, after which the session may be another client's"
    return apply_choice(StatementClass.SESSION_STATE, surroundings, message, hint)


def _left_behind(
    statement: Node, effects: Iterable[Effect], surroundings: Surroundings
) -> tuple[str, str] | None:
    for effect in effects:
        if isinstance(effect, SetsVariable) and _outlives(effect):
            return f"a change of {effect.variable.value}", LOCAL_HINT
    tag, fields = tagged(statement)
    if tag == "PrepareStmt" or executed_name(tag, fields) is not None:
        return "a prepared statement", "Send the statement itself, with parameters."
    if tag == "DeclareCursorStmt" and fields.get("options", 0) & HOLD:
        return "a cursor WITH HOLD", "Leave out WITH HOLD, and fetch within the transaction."
    if tag == "ListenStmt":
        return "LISTEN", "Listen on a connection without such a pooler."
    if makes_temporary(statement, surroundings) and not _dropped_on_commit(statement):
        return "a temporary relation", "Make a temporary table ON COMMIT DROP."
    return None


def _outlives(effect: SetsVariable) -> bool:
    # What goes back to the session's default is as a pooler wants it; encodings it follows itself.
    return not effect.local and effect.value is not None and effect.variable is not Variable.ENCODING


def _dropped_on_commit(statement: Node) -> bool:
    _, fields = unwrapped(statement)
    into = fields.get("into") or fields.get("intoClause") or {}
    return "ONCOMMIT_DROP" in {fields.get("oncommit"), into.get("onCommit")}
