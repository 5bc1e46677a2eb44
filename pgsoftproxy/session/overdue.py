"""A query that took too long: what the cancel request that stops it may hit, and the words in which that is told.

Theory. A cancel request hits whatever the server runs when it arrives. Between `begin` and the moment at which the
server has closed the connection that brought it, the session sends nothing; so it can hit only what was owed at
`begin`: the segment that was overdue, or, if that ended by itself meanwhile, one that the client had sent behind it.
"""

from itertools import takewhile

from pgsoftproxy.errors import UpstreamProtocolError
from pgsoftproxy.session import answers
from pgsoftproxy.session.replies import Owed, Owes
from pgsoftproxy.session.state import State
from pgsoftproxy.wire import backend
from pgsoftproxy.wire.backend import Fields

CANCELED = b"57014"
WORDS = b"canceling statement due to statement timeout"
_ENDS = frozenset({Owes.QUERY, Owes.SYNC})


def begin(state: State) -> None:
    """Note what is owed now, of which the first segment is overdue."""
    queue = tuple(state.replies.queue)
    before = len(tuple(takewhile(lambda entry: entry.kind not in _ENDS, queue)))
    state.overdue, state.behind = queue[: before + 1], queue[before + 1 :]


def judge(state: State, entry: Owed, fields: Fields) -> Fields:
    """Return an error's fields, in the words of a time-out if it is what the cancel request has led to.

    Raises UpstreamProtocolError if that has hit another query, about which the client must not be told a half-truth.
    """
    if answers.value_of(fields, backend.SQLSTATE) != CANCELED:
        return fields
    owed, behind = entry in state.overdue, entry in state.behind
    state.overdue = state.behind = ()
    if behind:
        raise UpstreamProtocolError(
            "terminating connection due to a query timeout",
            hint="The query ended while it was being cancelled, and the cancel hit the next one in the pipeline.",
            sqlstate="57014",
        )
    return [(code, WORDS if owed and code == backend.MESSAGE else value) for code, value in fields]
