"""The use of a prepared statement: it follows what is in force now, not when it was prepared.

Decides whether what the server has under a name may be used, must be prepared again, or is refused. Sends ahead
of the frame that uses it; must not know that frame.
"""

from collections.abc import Callable
from typing import Final

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.names import NAME_BYTES
from pgsoftproxy.rewrite.plan import Kind
from pgsoftproxy.session import sqlnames
from pgsoftproxy.session.again import Again, frames
from pgsoftproxy.session.replies import NOTHING, Owed, Owes
from pgsoftproxy.session.state import State
from pgsoftproxy.session.statements import Prepared, Script, Waits
from pgsoftproxy.session.texts import REFUSAL_TEXT, Planned, plan_text, refuse
from pgsoftproxy.wire import frontend

REFUSED_NAME: Final = b"_pgsoftproxy_refused"
"""The name under which a refusing Parse is sent ahead of a use; it never succeeds, so none ever exists."""


def prepare(state: State, planned: Planned, given: tuple[bytes, bytes]) -> Prepared:
    """Return the prepared statement of a Parse that gave this text and these parameter types."""
    text, types = given
    context, version = state.tracker.context, state.policy.version
    return Prepared(text, types, planned.plan, planned.script, context, version, planned.sent, state.codec)


class Uses:
    """Look up prepared statements of one session; `send` sends a frame ahead of the one at hand."""

    def __init__(self, state: State, send: Callable[[bytes], None]) -> None:
        self._state = state
        self._send = send

    def script(self, name: bytes) -> Script | Waits:
        """Return the script of a prepared statement, made current if it was not."""
        state = self._state
        found = state.statements.find(name[:NAME_BYTES], state.replies.segment)
        if isinstance(found, Waits):
            return found
        if found is None:
            return self.refuse(sqlnames.missing(name.decode(state.codec, "replace")))
        if found.version == state.policy.version and found.context is state.tracker.context and found.there:
            return found.script
        return self._renewed(name, found)

    def refuse(self, refusal: Refusal, kind: Kind = Kind.INVALID) -> Script:
        """Send, ahead of the frame at hand, a Parse that fails with this refusal: the frame is then skipped."""
        script = refuse(refusal, kind).script
        self._send(frontend.parse(REFUSED_NAME, REFUSAL_TEXT))
        self._state.replies.push(Owed(Owes.PARSE, script, hidden=True))
        return NOTHING

    def prepare_again(self, again: Again) -> None:
        """Send, ahead of the frame at hand, what prepares a statement again."""
        wanted = frames(self._state, again)
        if wanted is None:
            self.refuse(sqlnames.stale(again.name))
            return
        sent, owed = wanted
        self._send(b"".join(sent))
        for entry in owed:
            self._state.replies.push(entry)

    def _renewed(self, name: bytes, found: Prepared) -> Script:
        """Plan a prepared statement for what is in force now; if that sends another text, prepare it again."""
        state = self._state
        try:
            found.transcribe(state.codec)
        except UnicodeError:
            return self.refuse(sqlnames.UNENCODABLE)
        plan_text(state, found.text)  # a long text is planned apart
        new = sqlnames.renewed(state, found, state.tracker.context)
        if isinstance(new, Refusal):
            return self.refuse(new)
        if new is not found:
            shown = name.decode(state.codec, "replace")
            self.prepare_again(Again(shown, name[:NAME_BYTES], found, new))
        return new.script
