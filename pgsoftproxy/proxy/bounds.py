"""What sessions may take: how many, for how long; and who is one too many. `Bounds.now` is what a reload replaces.

Owns the counts of this process, and the words of refusals. Must not know sockets, nor who watches the time.
"""

from dataclasses import dataclass, field
from typing import Protocol

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


class Elsewhere(Protocol):
    """How many sessions other processes have that share the limits; while it is held, none of them counts."""

    def __enter__(self) -> object:
        """Let nobody else count."""

    def __exit__(self, *_: object) -> None:
        """Let others count."""

    def count(self, key: str) -> int:
        """Return how many the others have under a key."""

    def note(self, key: str, count: int) -> None:
        """Tell the others how many there are here."""


class Nowhere:
    """No other process."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def count(self, _key: str) -> int:
        """Return 0."""
        return 0

    def note(self, key: str, count: int) -> None:
        """Do nothing."""


NOWHERE = Nowhere()


class Admission:
    """Count sessions by user, database and address; say who is one too many."""

    def __init__(self, bounds: Bounds, elsewhere: Elsewhere = NOWHERE) -> None:
        self._bounds = bounds
        self._elsewhere = elsewhere
        self._visits: dict[object, Visit] = {}
        self._counts: dict[_Key, int] = {}

    def __len__(self) -> int:
        return len(self._visits)

    def admit(self, session: object, visit: Visit) -> tuple[RefusedBecause, ProxyError] | None:
        """Count a session in, unless it is already, or return why not."""
        if session in self._visits:
            return None
        with self._elsewhere:
            for key in _keys(visit):
                limit = _limit(self._bounds.now.connections, key[0])
                if limit and self._counts.get(key, 0) + self._elsewhere.count(_name(key)) >= limit:
                    return key[0], _too_many_of(*key)
            self._visits[session] = visit
            self._count(visit, 1)
        return None

    def left(self, session: object) -> None:
        """Count a session out; harmless if it never was counted in."""
        visit = self._visits.pop(session, None)
        if visit is not None:
            with self._elsewhere:
                self._count(visit, -1)

    def _count(self, visit: Visit, step: int) -> None:
        for key in _keys(visit):
            count = self._counts[key] = self._counts.get(key, 0) + step
            if not count:
                del self._counts[key]  # names that clients make up must not pile up
            self._elsewhere.note(_name(key), count)


def too_many() -> ProxyError:
    """Return the error for one connection more than there may be."""
    return ProxyError("sorry, too many clients already", hint=_hint("connections"), sqlstate="53300")


_Key = tuple[RefusedBecause, str]


def _keys(visit: Visit) -> list[_Key]:
    keys = [(RefusedBecause.LIMIT, ""), (RefusedBecause.USER_LIMIT, visit.user)]
    if visit.database:  # physical replication has none
        keys.append((RefusedBecause.DATABASE_LIMIT, visit.database))
    if visit.address is not None:
        keys.append((RefusedBecause.ADDRESS_LIMIT, visit.address))
    return keys


def _name(key: _Key) -> str:
    return f"{key[0].value} {key[1]}"


def _limit(most: Connections, reason: RefusedBecause) -> int:
    match reason:
        case RefusedBecause.USER_LIMIT:
            return most.user
        case RefusedBecause.DATABASE_LIMIT:
            return most.database
        case RefusedBecause.ADDRESS_LIMIT:
            return most.address
        case _:
            return most.all


def _too_many_of(reason: RefusedBecause, name: str) -> ProxyError:
    # The server's own words, for CONNECTION LIMIT of a role or database; it has none for addresses.
    match reason:
        case RefusedBecause.USER_LIMIT:
            message, key = f'too many connections for role "{name}"', "connections_per_user"
        case RefusedBecause.DATABASE_LIMIT:
            message, key = f'too many connections for database "{name}"', "connections_per_database"
        case RefusedBecause.ADDRESS_LIMIT:
            message, key = f'too many connections from address "{name}"', "connections_per_address"
        case _:
            return too_many()
    return ProxyError(message, hint=_hint(key), sqlstate="53300")


def _hint(key: str) -> str:
    return f"The limit is limits.{key} of the proxy's configuration."
