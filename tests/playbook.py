"""Conversations as scripts: what each side sends, what the session must make of it, at every cut of the bytes.

    play(Opening(), [
        Client(frontend.query(b"SELECT 1")), Upstream(frontend.query(b"SELECT 1")),
        Server(rows(b"SELECT 1"), ready()), ToClient(rows(b"SELECT 1"), ready()),
    ])

Each input is followed by what must have come out by then, no more and no less. `play` runs the script whole,
byte by byte, and once for every place at which one of the inputs can be cut in two.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.model.who import Who
from pgsoftproxy.rewrite.cache import Planner
from pgsoftproxy.rewrite.plan import REFUSAL_SQL, Kind, StatementPlan
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.session.core import Core
from pgsoftproxy.session.session import CatalogTexts, Session, SessionLimits
from pgsoftproxy.session.shelves import Shelves
from pgsoftproxy.wire import backend, frontend
from tests.rewrite import example

REFUSAL = REFUSAL_SQL.encode()
SYNC = frontend.SYNC_FRAME
FLUSH = frontend.FLUSH_FRAME
TERMINATE = frontend.message(frontend.TERMINATE, b"")
COPY_DONE = frontend.message(frontend.COPY_DONE, b"")
PARSED = backend.message(backend.PARSE_COMPLETE, b"")
BOUND = backend.message(backend.BIND_COMPLETE, b"")
CLOSED = backend.message(backend.CLOSE_COMPLETE, b"")
NO_DATA = backend.message(backend.NO_DATA, b"")
SUSPENDED = backend.message(backend.PORTAL_SUSPENDED, b"")
EMPTY = backend.message(backend.EMPTY_QUERY, b"")
ROW_DESCRIPTION = backend.message(backend.ROW_DESCRIPTION, b"\0\1n\0" + bytes(18))
PARAMETERS = backend.message(backend.PARAMETER_DESCRIPTION, b"\0\0")
DATA_ROW = backend.message(backend.DATA_ROW, b"\0\1\0\0\0\0011")
COPY_IN = backend.message(backend.COPY_IN, b"\0\0\0")
COPY_OUT = backend.message(backend.COPY_OUT, b"\0\0\0")
AUTHENTICATED = backend.message(backend.AUTHENTICATION, bytes(4))
READ, GUARDED = b"SELECT id FROM app.users", b"SELECT id FROM app.users WHERE app.users.deleted_at IS NULL"
SHOW_ALL, SHOW_LIVE = b"SET pgsoftproxy.visibility = 'all'", b"SET pgsoftproxy.visibility = 'live'"


@dataclass(frozen=True)
class Step:
    """Bytes that go in or must come out."""

    data: bytes

    def __init__(self, *frames: bytes) -> None:
        object.__setattr__(self, "data", b"".join(frames))


class Client(Step):
    """The client sends."""


class Server(Step):
    """The upstream server sends."""


class Upstream(Step):
    """The session sends to the upstream server."""


class ToClient(Step):
    """The session sends to the client."""


@dataclass(frozen=True)
class Call(Step):
    """The relay calls the session."""

    call: Callable[[Session], None]

    def __init__(self, call: Callable[[Session], None]) -> None:
        Step.__init__(self)
        object.__setattr__(self, "call", call)


@dataclass
class Heard:
    """An observer that remembers."""

    statements: list[tuple[StatementPlan, str, int | None]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    refusals: list[tuple[Refusal, StatementPlan, str, str]] = field(default_factory=list)
    bypasses: list[tuple[VisibilityMode, str]] = field(default_factory=list)
    hard_deletes: list[tuple[Kind, str]] = field(default_factory=list)
    restored_by: list[tuple[str | None, Who]] = field(default_factory=list)
    hints: list[bytes] = field(default_factory=list)

    def statement(self, plan: StatementPlan, role: str, outcome_tag_rows: int | None) -> None:
        """Remember."""
        self.statements.append((plan, role, outcome_tag_rows))

    def cells(self, plans: tuple[StatementPlan, ...]) -> None:
        """Want to be told of each statement."""

    def error(self, sqlstate: str) -> None:
        """Remember."""
        self.errors.append(sqlstate)

    def refused(self, refusal: Refusal, plan: StatementPlan, who: Who) -> None:
        """Remember."""
        self.refusals.append((refusal, plan, who.user, who.database))

    def bypass(self, plan: StatementPlan, who: Who) -> None:
        """Remember."""
        assert plan.bypass is not None
        self.bypasses.append((plan.bypass, who.user))

    def hard_delete(self, plan: StatementPlan, who: Who) -> None:
        """Remember."""
        self.hard_deletes.append((plan.kind, who.user))

    def restored(self, plan: StatementPlan, who: Who) -> None:
        """Remember."""
        self.restored_by.append((plan.restores, who))

    def hinted(self, plan: StatementPlan, text: bytes) -> None:
        """Remember."""
        self.hints.append(text)


def planner() -> Planner:
    """Return a planner with the real rewriter."""
    return Planner(rewrite, 1 << 20, lambda: 0.0, lambda seconds: None)


def fresh(
    heard: Heard | None = None,
    limits: SessionLimits | None = None,
    texts: CatalogTexts | None = None,
    shelves: Shelves | None = None,
) -> Session:
    """Return a session to which nothing was said yet."""
    return Session(planner(), heard or Heard(), limits or SessionLimits(), texts, shelves)


def drain(session: Core) -> tuple[bytes, bytes]:
    """Take what the session has for the client and for the upstream server."""
    out = b"".join(session.to_client), b"".join(session.to_upstream)
    session.to_client.clear()
    session.to_upstream.clear()
    return out


def startup(parameters: dict[str, str] | None = None, version: tuple[int, int] = (3, 0)) -> bytes:
    """Build a StartupMessage of user `web`."""
    pairs = {"user": "web", "search_path": "app, public", **(parameters or {})}
    encoded = tuple((name.encode(), value.encode()) for name, value in pairs.items())
    return frontend.startup(version[0] << 16 | version[1], encoded)


@dataclass(frozen=True)
class Opening:
    """How to open a session: the startup parameters, and the settings that the server reports."""

    parameters: dict[str, str] = field(default_factory=dict)
    reported: dict[str, str] = field(default_factory=dict)
    limits: SessionLimits = field(default_factory=SessionLimits)
    policy: Policy = field(default_factory=example.policy)
    texts: CatalogTexts | None = None
    shelves: Shelves = field(default_factory=lambda: Shelves(at_once=True))
    """Shared by all its sessions: from the second one on, what is plain takes the lane."""

    def __call__(self, heard: Heard | None = None) -> Session:
        """Return a session that is ready for its first statement."""
        session = fresh(heard, self.limits, self.texts, self.shelves)
        self.open(session)
        return session

    def open(self, session: Core) -> None:
        """Lead a session to where it is ready for its first statement."""
        session.from_client(startup(self.parameters))
        session.connected(self.policy)
        statuses = [status(name, value) for name, value in self.reported.items()]
        session.from_upstream(b"".join((AUTHENTICATED, *statuses, ready())))
        drain(session)
        assert session.idle


SUPPORT = Opening({"user": "support"})
"""Of a role that may see deleted rows."""


def play(opening: Callable[[], Session], steps: Sequence[Step]) -> Session:
    """Run a script at every cut of its inputs; return the session of the uncut run."""
    whole = _run(opening(), steps, lambda number, data: [data])
    _run(opening(), steps, lambda number, data: [data[at : at + 1] for at in range(len(data))])
    for cut_step, step in enumerate(steps):
        if not isinstance(step, Client | Server):
            continue
        for cut in range(1, len(step.data)):

            def pieces(number: int, data: bytes, cut_step: int = cut_step, cut: int = cut) -> list[bytes]:
                return [data[:cut], data[cut:]] if number == cut_step else [data]

            _run(opening(), steps, pieces)
    return whole


def _run(session: Session, steps: Sequence[Step], pieces: Callable[[int, bytes], list[bytes]]) -> Session:
    at = 0
    while at < len(steps):
        step = steps[at]
        output = [b"", b""]
        for went_out in _feed(session, step, pieces(at, step.data)):
            output = [old + new for old, new in zip(output, went_out, strict=True)]
        at += 1
        expected = [b"", b""]
        while at < len(steps) and isinstance(steps[at], ToClient | Upstream):
            expected[isinstance(steps[at], Upstream)] += steps[at].data
            at += 1
        assert output == expected, f"to client and upstream, after {step}"
    return session


def _feed(session: Session, step: Step, pieces: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    if isinstance(step, Call):
        step.call(session)
        yield drain(session)
        return
    assert isinstance(step, Client | Server), "a script starts with an input"
    feed = session.from_client if isinstance(step, Client) else session.from_upstream
    for piece in pieces:
        feed(piece)
        yield drain(session)


def ready(state: bytes = b"I") -> bytes:
    """Build a ReadyForQuery."""
    return backend.message(backend.READY, state)


def complete(tag: bytes) -> bytes:
    """Build a CommandComplete."""
    return backend.command_complete(tag)


def rows(count: int = 1) -> bytes:
    """Build the reply of a Query's SELECT of so many rows."""
    return ROW_DESCRIPTION + DATA_ROW * count + complete(b"SELECT %d" % count)


def status(name: str, value: str) -> bytes:
    """Build a ParameterStatus."""
    return backend.message(backend.PARAMETER_STATUS, name.encode() + b"\0" + value.encode() + b"\0")


def error(sqlstate: bytes, message: bytes = b"wrong", severity: bytes = b"ERROR", **more: bytes) -> bytes:
    """Build an ErrorResponse; further fields by their letter."""
    fields = [(ord("S"), severity), (ord("V"), severity), (ord("C"), sqlstate), (ord("M"), message)]
    return backend.error(fields + [(ord(letter), value) for letter, value in more.items()])


def refused() -> bytes:
    """Build the server's answer to REFUSAL_SQL."""
    return error(b"42883", b"function pg_catalog.pgsoftproxy_refuses() does not exist", P=b"8")


def refusal(sqlstate: str, message: str, hint: str | None = None, position: int | None = None) -> bytes:
    """Build the ErrorResponse that a client gets for a refusal."""
    return backend.refusal(Refusal(sqlstate, message, hint, position=position), b"ERROR", "utf-8")


def fatal(sqlstate: str, message: str, hint: str | None = None) -> bytes:
    """Build the ErrorResponse by which the session ends."""
    return backend.refusal(Refusal(sqlstate, message, hint), b"FATAL", "utf-8")


def ask(session: Core, *frames: bytes) -> bytes:
    """Send as the client; return what goes upstream."""
    session.from_client(b"".join(frames))
    return drain(session)[1]


def answer(session: Core, *frames: bytes) -> bytes:
    """Send as the server; return what goes to the client."""
    session.from_upstream(b"".join(frames))
    return drain(session)[0]
