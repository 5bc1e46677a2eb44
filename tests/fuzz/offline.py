"""A session alone with a conversation, whole or broken, and what must hold of it whatever was said.

Knows the session as its relay does, and what docs/architecture.md promises; no server runs.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from unittest import mock

from pgsoftproxy.errors import UpstreamLost
from pgsoftproxy.kernel import Scanner
from pgsoftproxy.model.context import Context
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.rewrite.cache import Planner
from pgsoftproxy.rewrite.plan import Plan, Rewritten, StatementPlan
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.session import texts
from pgsoftproxy.session.core import Core
from pgsoftproxy.session.phase import Need, Phase
from pgsoftproxy.session.session import Session, SessionLimits
from pgsoftproxy.session.shelves import Shelves
from pgsoftproxy.session.texts import REFUSAL_TEXT
from tests.fuzz.books import after_declined_requests, client_rest, server_rest
from tests.fuzz.transcript import CLIENT, Turn, split
from tests.playbook import Heard, drain
from tests.rewrite import example

LARGE_TEXT = 300
"""Texts from this length on are planned apart, so that short conversations get there."""
POLICY = example.policy(180_000)
LIMITS = (SessionLimits(), SessionLimits(statement_bytes=200, pipeline=3), SessionLimits(pipeline=20))

SESSIONS_OWN = re.compile(re.escape(REFUSAL_TEXT) + rb'|(?:DEALLOCATE|PREPARE) (?:"(?:[^"]|"")*"|[^ ;(]+)')

Pieces = Callable[[bytes], Iterator[bytes]]


class Planned(Planner):
    """A planner that remembers which texts may go to the server."""

    def __init__(self) -> None:
        super().__init__(self._remembering, 1 << 24, lambda: 0.0, lambda seconds: None)
        self.allowed: set[bytes] = set()
        self.shelves = Shelves(at_once=True)

    def plan(self, text: bytes, encoding: str, policy: Policy, context: Context) -> Plan:
        """Plan a text, of which another may have made the plan."""
        plan = super().plan(text, encoding, policy, context)
        self._remember(text.decode(encoding, "replace"), plan)
        return plan

    def _remembering(self, sql: str, policy: Policy, context: Context) -> Plan:
        plan = rewrite(sql, policy, context)
        self._remember(sql, plan)
        return plan

    def _remember(self, sql: str, plan: Plan) -> None:
        sent = plan.sql if isinstance(plan, Rewritten) else sql
        for codec in ("utf-8", "latin-1"):
            self.allowed.add(sent.encode(codec, "replace"))


@dataclass
class Outcome:
    """What a session made of a conversation: all bytes for either side, what it reported, and where it stands."""

    to_client: bytes
    to_upstream: bytes
    phase: Phase
    ended_by: str
    statements: list[StatementPlan]


def pieces_of(rng: Random, how: str) -> Pieces:
    """Return how bytes are cut: `whole`, `bytes`, or any way."""

    def cut(data: bytes) -> Iterator[bytes]:
        size = len(data) or 1
        while data:
            if how == "bytes":
                size = 1
            elif how == "random":
                size = rng.choice((1, 2, 5, 6, 17, 100, 4096))
            yield data[:size]
            data = data[size:]

    return cut


class Offline:
    """One run of a session, or of its core alone, through the turns of a conversation."""

    def __init__(self, planner: Planned, limits: SessionLimits, *, lazy: bool, alone: bool = False) -> None:
        self.heard = Heard()
        self.session: Core = (
            Core(planner, self.heard, limits)
            if alone
            else Session(planner, self.heard, limits, shelves=planner.shelves)
        )
        self._planner = planner
        self._lazy = lazy
        self._out = [bytearray(), bytearray()]
        self._said = [bytearray(), bytearray()]
        self._cancelled = False

    def run(self, turns: tuple[Turn, ...], pieces: Pieces, end: str) -> Outcome:
        """Hold the conversation, end it (`client` or `server` hangs up first), and check what must hold."""
        session = self.session
        with mock.patch.object(texts, "LARGE_TEXT", LARGE_TEXT):
            for turn in turns:
                # A server answers what it was sent: a session that holds a message back may say the next before it.
                told = (turn.data,) if turn.side == CLIENT else split(turn.data)
                for piece in (piece for part in told for piece in pieces(part)):
                    if self._over:
                        break
                    if turn.side != CLIENT and session.phase in (Phase.STARTUP, Phase.CONNECTING):
                        continue  # there is no server yet
                    self._feed(turn.side, piece)
                    self._said[turn.side != CLIENT] += piece
                    self._served(at_once=not self._lazy)
                self._served(at_once=True)
                if turn.side != CLIENT and not self._over:
                    consistent(session)
            phase = session.phase
            self._account()
            self._end(end)
        statements = [statement for statement, _, _ in self.heard.statements]
        outcome = Outcome(bytes(self._out[0]), bytes(self._out[1]), phase, end, statements)
        check_frames(outcome.to_client, whole=not session_cut(session))
        check_texts(outcome.to_upstream, self._planner.allowed)
        return outcome

    def _feed(self, side: str, piece: bytes) -> None:
        """Give bytes to the session as a wire does: what flows goes on without it."""
        session = self.session
        if isinstance(session, Session) and not session.lane.open:
            scanner, may_flow = session.streams()[side != CLIENT]
            if scanner.flows() and may_flow():
                data = bytearray(scanner.data + piece)
                upto = scanner.carry(data, len(data))
                self._out[side == CLIENT] += data[:upto]
                if scanner.flows():
                    return
                piece = bytes(data[upto:])
        if side == CLIENT:
            session.from_client(piece)
        else:
            session.from_upstream(piece)

    @property
    def _over(self) -> bool:
        return self._cancelled or self.session.need is Need.CLOSE

    def _served(self, *, at_once: bool) -> None:
        """Do what the session needs, as the relay does; a lazy one does it when the turn is over."""
        session = self.session
        while True:
            need = session.need
            if need is Need.NOTHING or need is Need.CLOSE or self._cancelled or not at_once:
                break
            if need is Need.CONNECT:
                session.connected(POLICY)
            elif need is Need.CATALOG:
                session.catalog_refreshed(POLICY)
            elif need is Need.PLAN:
                job = session.plan_job()
                job.run()
                session.planned(job)
            else:
                self._cancelled = True
        for kept, new in zip(self._out, drain(session), strict=True):
            kept += new

    def _account(self) -> None:
        """Check that what was said went on or waits; only a session that is over may leave out what it likes."""
        session = self.session
        if isinstance(session, Session):
            session.leave_lane()
        kept = client_rest(bytes(self._said[0]), bytes(self._out[1]))
        owed = server_rest(bytes(self._said[1]), bytes(self._out[0]))
        if session.phase is Phase.READY and session._doom is None and not session._client_side.left:
            assert kept == _kept(session._from_client), "all that was said went on or waits"
            assert owed == _kept(session._from_upstream), "all that was answered went on or waits"

    def _end(self, end: str) -> None:
        session = self.session
        if not self._over and end == "client":
            session.client_closed()
            self._served(at_once=True)
        if not self._over:
            session.fail(UpstreamLost("the upstream server closed the connection unexpectedly"))
            self._served(at_once=True)
        assert self._over, "it ends"


def _kept(scanner: Scanner) -> bytes:
    return b"".join((scanner.data, *scanner._more))


def session_cut(session: Core) -> bool:
    """Tell whether the last frame to the client was cut off, by a server that ended within it."""
    return session._from_upstream.inside


def consistent(session: Core) -> None:
    """Check the books of a session between two turns: what is not owed is not remembered as pending either."""
    state = session._state
    replies = state.replies
    if session.phase is not Phase.READY:
        return
    assert min(replies.copies, replies.effects, replies.unsettled, replies.copy_ends) >= 0
    assert replies.unsettled == sum(entry.settles for entry in replies.queue)
    assert replies.effects == sum(entry.effects for entry in replies.queue)
    if not replies.queue:
        assert (replies.copies, replies.copying) == (0, False)
        assert not state.statements.pending and not state.portals.pending
    assert len(replies.queue) <= state.limits.pipeline + 2


def check_frames(data: bytes, *, whole: bool) -> None:
    """Check that bytes for a client are frames, with no second FATAL and nothing behind one."""
    data = after_declined_requests(data)
    while data:
        end = 1 + int.from_bytes(data[1:5], "big")
        if not whole and (len(data) < 5 or len(data) < end):
            return
        assert 5 <= end <= len(data), f"no frame: {data[:60]!r}"
        if data[:1] == b"E" and b"\0VFATAL\0" in data[:end]:
            assert end == len(data), f"behind a FATAL: {data[end : end + 60]!r}"
        data = data[end:]


def check_texts(data: bytes, allowed: set[bytes]) -> None:
    """Check that the server, which cuts frames by itself, finds no text but what a plan sent."""
    at = int.from_bytes(data[:4], "big")  # the startup packet
    while at + 5 <= len(data):
        end = at + 1 + int.from_bytes(data[at + 1 : at + 5], "big")
        kind, body = data[at : at + 1], data[at + 5 : end]
        if end > len(data):
            return
        if kind == b"Q":
            assert body[-1:] == b"\0" and planned(body[:-1], allowed), body
        elif kind == b"P":
            assert planned(body.split(b"\0")[1], allowed), body
        assert kind != b"F"
        at = end


def planned(text: bytes, allowed: set[bytes]) -> bool:
    """Tell whether a text is a plan's, or one in which only what a session may put in or out was exchanged.

    That is a refusal in the place of an EXECUTE, and ahead of one what prepares its statement again.
    """
    if text in allowed:
        return True
    rest = [piece.strip(b"; \n") for piece in SESSIONS_OWN.split(text)]
    return len(rest) > 1 and all(any(piece in one for one in allowed) for piece in rest if piece)
