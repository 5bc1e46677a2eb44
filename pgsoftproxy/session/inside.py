"""Read the catalog on the client's own upstream connection, inside the transaction that has changed it.

Owns what is sent for it and the answers, none of which reaches the client. Must not know what the texts say, nor
what the rows mean.

Theory. Begun when nothing is owed and an explicit transaction is open, in the extended protocol and under names of
its own: a Query would destroy the client's unnamed statement and portal, while a Sync ends nothing inside an
explicit transaction, even in the middle of a client's pipeline. All of it happens below a savepoint and is rolled
back, so that settings and locks are as before; where it fails, the rolling back is sent again on its own.
"""

from dataclasses import dataclass
from typing import Final

from pgsoftproxy.errors import UpstreamProtocolError
from pgsoftproxy.kernel import Scanner
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.session.answers import ends_session
from pgsoftproxy.session.phase import Need
from pgsoftproxy.session.state import State
from pgsoftproxy.wire import backend, frontend

NAME: Final = b"_pgsoftproxy_catalog"
"""Of statement, portal and savepoint; the latter is the only one that a client could see, if it looked just then."""

ATTEMPTS = 3
"""How often a transaction's catalog is tried to be read, and how often what failed is tried to be undone."""

_BINARY = b"\0\0" + b"\0\0" + b"\0\1\0\1"
_SAVEPOINT = b"SAVEPOINT " + NAME
_UNDO = (b"ROLLBACK TO SAVEPOINT " + NAME, b"RELEASE SAVEPOINT " + NAME)


@dataclass(frozen=True, slots=True)
class CatalogTexts:
    """The statements that read a catalog: the settings to read it under, and the query whose rows are kept."""

    settings: bytes
    query: bytes


class InsideReader:
    """Read one session's catalog inside its transaction; `rows` is what came, None if it cannot be read."""

    def __init__(self, state: State, scanner: Scanner, texts: CatalogTexts | None) -> None:
        self._state = state
        self._scanner = scanner
        self._texts = texts
        self._undoing = 0
        self._failed = False
        self._gave_up = False  # on the frame that waits
        self.active = False
        self.rows: list[bytes] = []

    def may_begin(self) -> bool:
        """Tell whether the catalog can be read once all that is owed has come; once no, where it has just failed."""
        state = self._state
        if self._gave_up:
            self._gave_up = False
            return False
        return (
            self._texts is not None
            and state.tracker.foreseen.explicit
            and not state.replies.skipping
            and not state.transaction_failed
            and state.readings_failed < ATTEMPTS
        )

    def begin(self) -> None:
        """Send what reads the catalog; nothing may be owed."""
        assert self._texts is not None
        self.active = True
        self._failed = False
        self._undoing = 0
        self.rows = []
        self._scanner.rules = backend.READING_RULES
        steps = (_SAVEPOINT, self._texts.settings, self._texts.query, *_UNDO)
        self._state.to_upstream.append(b"".join(map(_run, steps)) + frontend.SYNC_FRAME)

    def take(self, policy: Policy | None, base: Policy) -> None:
        """Put in force what was compiled from the rows, None if that could not be done."""
        state = self._state
        self.rows = []
        if policy is None:
            self._fail()
        elif base is state.shared:
            state.set_private(policy)
        # Else all sessions got another policy meanwhile, so that it must be read again.

    def handle(self, kind: int) -> bool:
        """Handle one of the server's messages while the reading is active; return whether it is one of its answers."""
        scanner = self._scanner
        match kind:
            case backend.PARAMETER_STATUS:
                return False
            case backend.ERROR:
                fields = backend.error_fields(scanner.body())
                if ends_session(fields):
                    return False
                self._failed = True
            case backend.DATA_ROW:
                self._take_row(scanner.body())
            case backend.READY:
                self._swallow()
                self._ready(backend.transaction_status(scanner.body()))
                return True
            case backend.COPY_IN | backend.COPY_OUT | backend.COPY_BOTH | backend.EMPTY_QUERY:
                raise UpstreamProtocolError(
                    "the upstream server answered the reading of its catalog by a COPY"
                )
            case _:
                pass
        self._swallow()
        return True

    def _take_row(self, body: bytes) -> None:
        if int.from_bytes(body[:2], "big") == 1:
            self.rows.append(body[6:])  # the only column; the settings' own row has several

    def _ready(self, status: int) -> None:
        if status == backend.FAILED:
            self._undoing += 1
            if self._undoing <= ATTEMPTS:
                undo = b"".join(map(_run, _UNDO))
                self._state.to_upstream.append(_CLOSE + undo + frontend.SYNC_FRAME)
                return
            self._state.transaction_failed = True
        self.active = False
        self._scanner.rules = backend.READY_RULES
        if self._failed:
            self.rows = []
            self._fail()
        else:
            self._state.need = Need.COMPILE

    def _fail(self) -> None:
        self._state.readings_failed += 1
        self._gave_up = True

    def _swallow(self) -> None:
        run = self._scanner.drop()
        if run:
            self._state.to_client.append(run)


_CLOSE = frontend.close(b"S", NAME) + frontend.close(b"P", NAME)


def _run(text: bytes) -> bytes:
    return frontend.parse(NAME, text) + frontend.bind(NAME, NAME, _BINARY) + frontend.execute(NAME) + _CLOSE
