"""Run interleaved steps of several sessions, and record who waited for whom and what each was answered.

In the manner of PostgreSQL's isolationtester: a session's step is sent; either it is answered, or the server
says that it waits for another of these sessions. Knows connections and steps, not what they should answer.
"""

import select
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.oracle.client import Answer, Client

TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.002

Order = tuple[int, ...]
"""Whose turn it is: an index of a session for each step."""


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a session; `twin` is what the twin is asked where that is another one."""

    sql: str
    twin: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A step that waits (`answer` None) or that was answered, at once or after it had waited."""

    session: int
    step: int
    answer: Answer | None

    def __str__(self) -> str:
        place = f"s{self.session + 1}.{self.step + 1}"
        if self.answer is None:
            return f"{place} waits"
        shown = [
            f"{result.error['C']} {result.error['M']}" if result.error else f"{result.tag} {result.rows}"
            for result in self.answer.results
        ]
        return f"{place} {'; '.join(shown)} [{self.answer.status}]"


@dataclass(slots=True)
class Session:
    """One connection and how far its steps have come."""

    client: Client
    pid: int
    steps: Sequence[str] = ()
    sent: int = 0
    waiting: bool = False


class Side:
    """Sessions on one database, and a connection that watches what they wait for."""

    def __init__(self, connect: Callable[[], Client], monitor: Client) -> None:
        self._connect = connect
        self._monitor = monitor
        self._sessions: list[Session] = []

    def run(
        self, setups: Sequence[str], steps: Sequence[Sequence[str]], order: Order, protocol: str
    ) -> list[Event]:
        """Run the sessions' steps in this order, each after its setup; a turn of one that waits comes later."""
        while len(self._sessions) < len(steps):
            self._sessions.append(self._session())
        sessions = self._sessions[: len(steps)]
        for session, own, setup in zip(sessions, steps, setups, strict=True):
            session.steps, session.sent, session.waiting = own, 0, False
            session.client.query(setup)
        run = _Run(sessions, self._monitor, protocol)
        try:
            for turn in order:
                run.turn(turn)
            run.finish()
        except BaseException:
            self.close()
            raise
        return run.events

    def close(self) -> None:
        """Close the sessions; the next run opens new ones."""
        for session in self._sessions:
            session.client.close()
        self._sessions.clear()

    def _session(self) -> Session:
        client = self._connect()
        pid = client.query("SELECT pg_backend_pid()").results[0].rows[0][0]
        assert pid is not None
        return Session(client, int(pid))


class _Run:
    def __init__(self, sessions: list[Session], monitor: Client, protocol: str) -> None:
        self.events: list[Event] = []
        self._sessions = sessions
        self._monitor = monitor
        self._protocol = protocol
        self._later: list[int] = []
        pids = ",".join(str(session.pid) for session in sessions)
        self._blocked = (
            f"SELECT pid FROM unnest('{{{pids}}}'::int[]) AS pid"
            f" WHERE pg_catalog.pg_isolation_test_session_is_blocked(pid, '{{{pids}}}')"
        )

    def turn(self, number: int) -> None:
        """Have a session send its next step, now or when it does not wait any more."""
        self._later.append(number)
        self._catch_up()

    def finish(self) -> None:
        """Go on until every step is answered."""
        assert not self._later, f"steps that could never run: {self._shown()}"
        assert not any(session.waiting for session in self._sessions), f"waits for ever: {self._shown()}"

    def _catch_up(self) -> None:
        while True:
            ready = [number for number in self._later if not self._sessions[number].waiting]
            if not ready:
                return
            self._later.remove(ready[0])
            session = self._sessions[ready[0]]
            session.client.start(session.steps[session.sent], self._protocol)
            session.sent += 1
            session.waiting = True
            self._settle(new=ready[0])

    def _settle(self, new: int) -> None:
        """Return when each session has answered or waits for another, and nothing moves any more."""
        limit = time.monotonic() + TIMEOUT_SECONDS
        answered: list[Event] = []
        while time.monotonic() < limit:
            asked = {session.client.socket: number for number, session in self._asked()}
            readable = select.select(asked, [], [], POLL_SECONDS)[0]
            answered += [self._answered(asked[socket]) for socket in readable]
            blocked = self._waiting_pids()
            waits = [session.pid in blocked for _, session in self._asked()]
            # A circle of sessions is a deadlock, which the server is about to break.
            if all(waits) and len(waits) < len(self._sessions):
                if self._sessions[new].waiting:
                    answered.append(Event(new, self._sessions[new].sent - 1, None))
                # Those that stopped waiting answer in no certain order.
                self.events += sorted(answered, key=lambda event: (event.session != new, event.session))
                return
        raise AssertionError(f"neither answered nor waiting for one of the sessions: {self._shown()}")

    def _asked(self) -> Iterator[tuple[int, Session]]:
        return ((number, session) for number, session in enumerate(self._sessions) if session.waiting)

    def _answered(self, number: int) -> Event:
        session = self._sessions[number]
        session.waiting = False
        return Event(number, session.sent - 1, session.client.finish())

    def _waiting_pids(self) -> set[int]:
        if not any(session.waiting for session in self._sessions):
            return set()
        answer = self._monitor.query(self._blocked)
        assert answer.error is None, answer.error
        return {int(row[0]) for row in answer.results[0].rows if row[0]}

    def _shown(self) -> str:
        return "; ".join(str(event) for event in self.events)


def orders(lengths: Sequence[int]) -> Iterator[Order]:
    """Yield every order of the sessions' steps, in which each session keeps its own."""
    if not any(lengths):
        yield ()
        return
    for number, length in enumerate(lengths):
        if length:
            rest = [*lengths[:number], length - 1, *lengths[number + 1 :]]
            for order in orders(rest):
                yield (number, *order)
