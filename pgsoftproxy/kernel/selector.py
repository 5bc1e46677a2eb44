"""What the event loop waits by: an epoll that lets wires have their turn at once, and tells the loop of all else.

While there is nothing but bytes that a lane carries, the loop does not even wake. Must not know sessions.
"""

import time
from selectors import EVENT_READ, EVENT_WRITE, EpollSelector, SelectorKey
from typing import Any

from pgsoftproxy.kernel import uncompiled as cython

if cython.compiled:
    import cython  # type: ignore[import-untyped,no-redef]
    from cython.cimports.pgsoftproxy.kernel.epoll import (  # type: ignore[import-untyped]
        epoll_event,
        epoll_wait,
    )
    from cython.cimports.posix.time import (  # type: ignore[import-untyped]
        CLOCK_MONOTONIC,
        clock_gettime,
        timespec,
    )

MOST_EVENTS = 128
IN = cython.declare(cython.uint, 1)
OUT = cython.declare(cython.uint, 4)


@cython.cfunc
@cython.inline
def _now() -> cython.double:
    """Return the time of asyncio's own clock."""
    if cython.compiled:
        moment = cython.declare(timespec)
        clock_gettime(CLOCK_MONOTONIC, cython.address(moment))
        found: cython.double = moment.tv_sec + moment.tv_nsec * 1e-9
        return found
    else:
        return time.monotonic()


class Selector(EpollSelector):
    """An epoll selector; `wires` holds, by file descriptor, what reads without the loop where it can."""

    def __init__(self) -> None:
        super().__init__()
        self.wires: dict[int, Any] = {}
        # The base class has both, as the standard library's own loops rely on, and does not declare them.
        mine: Any = self
        self._poll = Poll(self.fileno(), self.wires, mine._selector, mine._fd_to_key)

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Wait, so many seconds at most, until the loop has something to do; return its keys that are ready."""
        return self._poll.wait(timeout)


class Poll:
    """What waits: in C, where this is compiled."""

    def __init__(self, fd: int, wires: dict[int, Any], epoll: Any, keys: Any) -> None:
        self._fd = fd
        self._wires = wires
        self._epoll = epoll
        self._keys = keys

    def wait(self, timeout: float | None) -> list[tuple[SelectorKey, int]]:
        """Return what is ready for the loop."""
        deadline: cython.double = 0.0
        left: cython.double = -1.0
        ready: list[Any] = []
        if timeout is not None:
            left = max(0.0, timeout)
            deadline = _now() + left
        while True:
            # Rounded up: who is woken too early only waits again.
            milliseconds: cython.int = -1 if left < 0 else 0 if left == 0 else int(left * 1e3) + 1
            if not self._turn(milliseconds, ready) or milliseconds == 0:
                return ready
            if left > 0:
                left = deadline - _now()
                if left <= 0:
                    return ready

    def _turn(self, milliseconds: cython.int, ready: list[Any]) -> cython.bint:
        """Wait once; return whether the loop need not wake: wires had what there was, and nobody else ran."""
        if cython.compiled:
            events = cython.declare(epoll_event[128])
            number: cython.int
            found: cython.int
            with cython.nogil:
                found = epoll_wait(self._fd, events, 128, milliseconds)
            swift: cython.bint = found > 0
            for number in range(found):
                if not self._one(events[number].data.fd, events[number].events, ready):
                    swift = False
            return swift
        else:
            try:
                seen = self._epoll.poll(None if milliseconds < 0 else milliseconds / 1e3, MOST_EVENTS)
            except InterruptedError:
                return False
            return bool(seen) and all([self._one(fd, event, ready) for fd, event in seen])

    def _one(self, fd: cython.int, event: cython.uint, ready: list[Any]) -> cython.bint:
        wire = self._wires.get(fd)
        if wire is not None and not event & OUT:
            return bool(wire.readable())
        key: Any = self._keys.get(fd)
        if key is not None:
            mask = (EVENT_WRITE if event & ~IN else 0) | (EVENT_READ if event & ~OUT else 0)
            ready.append((key, mask & key.events))
        return False
