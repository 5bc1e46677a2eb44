"""What the sessions of a process may take: how many, for how long. `Bounds.now` is what a reload replaces.

Values, and the words in which they are refused. Must not know who counts or watches.
"""

from dataclasses import dataclass, field

from pgsoftproxy.errors import ProxyError
from pgsoftproxy.ops.metrics import RefusedBecause
from pgsoftproxy.session.limits import SessionLimits

SHORTEST_TICK = 0.05
LONGEST_TICK = 1.0
TICKS = 8
"""A time-out is noticed late by one part in so many, or by LONGEST_TICK if that is less."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; 0 means for ever, but for `login`."""

    login: float = 60.0
    idle: float = 0.0
    idle_in_transaction: float = 0.0
    query: float = 0.0

    @property
    def tick(self) -> float:
        """Return how often sessions are looked at."""
        shortest = min((seconds for seconds in self.watched if seconds), default=LONGEST_TICK * TICKS)
        return min(LONGEST_TICK, max(SHORTEST_TICK, shortest / TICKS))

    @property
    def watched(self) -> tuple[float, ...]:
        """Return those for which somebody looks at the sessions now and then."""
        return self.idle, self.idle_in_transaction, self.query


@dataclass(frozen=True, slots=True)
class Connections:
    """How many sessions there may be at once; 0 means as many as come, but for `all`."""

    all: int = 1000
    user: int = 0
    database: int = 0
    address: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """One state of the configuration."""

    connections: Connections = field(default_factory=Connections)
    timeouts: Timeouts = field(default_factory=Timeouts)
    session: SessionLimits = field(default_factory=SessionLimits)


class Bounds:
    """The limits in force."""

    def __init__(self, now: Limits | None = None) -> None:
        self.now = now or Limits()


@dataclass(frozen=True, slots=True)
class Visit:
    """Who wants a session, by what is counted."""

    user: str
    database: str
    address: str | None
    """None for who comes by a socket in the file system."""


class Admission:
    """Count sessions by user, database and address; say who is one too many."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._visits: dict[object, Visit] = {}
        self._counts: dict[tuple[RefusedBecause, str], int] = {}

    def __len__(self) -> int:
        return len(self._visits)

    def admit(self, session: object, visit: Visit) -> tuple[RefusedBecause, ProxyError] | None:
        """Count a session in, unless it is already, or return why not."""
        if session in self._visits:
            return None
        most = self._bounds.now.connections
        if len(self) >= most.all:
            return RefusedBecause.LIMIT, too_many()
        for reason, name in _keys(visit):
            limit = _limit(most, reason)
            if limit and self._counts.get((reason, name), 0) >= limit:
                return reason, _too_many_of(reason, name)
        self._visits[session] = visit
        for key in _keys(visit):
            self._counts[key] = self._counts.get(key, 0) + 1
        return None

    def left(self, session: object) -> None:
        """Count a session out; harmless if it never was counted in."""
        visit = self._visits.pop(session, None)
        for key in _keys(visit) if visit is not None else ():
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]  # names that clients make up must not pile up


def too_many() -> ProxyError:
    """Return the error for one connection more than the process takes."""
    return ProxyError("sorry, too many clients already", hint=_hint("connections"), sqlstate="53300")


def _keys(visit: Visit) -> tuple[tuple[RefusedBecause, str], ...]:
    keys = (RefusedBecause.USER_LIMIT, visit.user), (RefusedBecause.DATABASE_LIMIT, visit.database)
    return keys if visit.address is None else (*keys, (RefusedBecause.ADDRESS_LIMIT, visit.address))


def _limit(most: Connections, reason: RefusedBecause) -> int:
    if reason is RefusedBecause.USER_LIMIT:
        return most.user
    return most.database if reason is RefusedBecause.DATABASE_LIMIT else most.address


def _too_many_of(reason: RefusedBecause, name: str) -> ProxyError:
    # The first two are the server's own words, for CONNECTION LIMIT; it has none for addresses.
    if reason is RefusedBecause.USER_LIMIT:
        message, key = f'too many connections for role "{name}"', "connections_per_user"
    elif reason is RefusedBecause.DATABASE_LIMIT:
        message, key = f'too many connections for database "{name}"', "connections_per_database"
    else:
        message, key = f'too many connections from address "{name}"', "connections_per_address"
    return ProxyError(message, hint=_hint(key), sqlstate="53300")


def _hint(key: str) -> str:
    return f"The limit is limits.{key} of the proxy's configuration."
