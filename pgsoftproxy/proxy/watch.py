"""Who has waited too long: one look at each session now and then, instead of a timer for each message.

Owns what counts as getting on, and what each time-out leads to. Must not know messages or sockets.

Theory. A session has got on when its `progress` is another than at the last look. What has not, has stood still since
before the look at which that was first seen; so nobody is timed out early, and nobody late by more than two looks.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Protocol

from pgsoftproxy.errors import ProxyError, UpstreamUnavailable
from pgsoftproxy.ops.metrics import TimedOut
from pgsoftproxy.proxy.bounds import Bounds, Timeouts
from pgsoftproxy.proxy.upstream import Upstream
from pgsoftproxy.session.session import Session
from pgsoftproxy.wire import frontend

AT_ONCE = 500
"""How many sessions are looked at before others have their turn."""

WORDS = {
    TimedOut.IDLE: ("terminating connection due to idle-session timeout", "57P05"),
    TimedOut.IDLE_IN_TRANSACTION: ("terminating connection due to idle-in-transaction timeout", "25P03"),
    TimedOut.QUERY: ("terminating connection due to a query timeout", "57014"),
}


class Watched(Protocol):
    """A session that is looked at."""

    def look(self, now: float) -> None:
        """Do what must be done by now."""


class Watch:
    """What the last look at one session saw."""

    __slots__ = ("_progress", "_since")

    def __init__(self) -> None:
        self._progress: object = None
        self._since = 0.0

    def look(self, session: Session, now: float, timeouts: Timeouts) -> TimedOut | None:
        """Return which time-out has run off."""
        progress = session.progress
        if progress != self._progress:
            self._progress, self._since = progress, now
            return None
        kind, limit = _due(session, timeouts)
        if not limit or now - self._since < limit:
            return None
        self._since = now  # who can only be asked to stop is asked again
        return kind


def _due(session: Session, timeouts: Timeouts) -> tuple[TimedOut, float]:
    if not session.ready_once or session.busy:
        return TimedOut.IDLE, 0.0
    if session.owes:
        return TimedOut.QUERY, timeouts.query if session.stoppable else 0.0
    if session.in_transaction:
        return TimedOut.IDLE_IN_TRANSACTION, timeouts.idle_in_transaction
    return TimedOut.IDLE, timeouts.idle if session.idle else 0.0


def ended_by(kind: TimedOut) -> ProxyError:
    """Return the error that ends a session, in the server's words where it has any."""
    message, sqlstate = WORDS[kind]
    return ProxyError(message, sqlstate=sqlstate)


async def heard(upstream: Upstream, key: bytes) -> bool:
    """Ask the server to stop what it is at for a session; tell whether it has surely heard of it."""
    try:
        return await upstream.deliver(frontend.cancel_request(key))
    except UpstreamUnavailable:
        return False


async def keep_watching(sessions: Callable[[], Collection[Watched]], bounds: Bounds) -> None:
    """Look at every session each tick; never returns."""
    clock = asyncio.get_running_loop().time
    while True:
        timeouts = bounds.now.timeouts
        await asyncio.sleep(timeouts.tick)
        if not any(timeouts.watched):
            continue
        for number, session in enumerate(tuple(sessions())):
            session.look(clock())
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
