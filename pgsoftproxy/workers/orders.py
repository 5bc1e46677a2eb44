"""What a worker can be told, and its end of the socket to the supervisor.

One JSON object a line each way: an order with its number; an answer with the same number. What a
worker says unasked has a number, too. Must not know sessions.
"""

import contextlib
import json
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from threading import Lock, Thread
from typing import Any, Protocol, assert_never

from pgsoftproxy.workers.tally import Part

START = 0
"""The number of the answer that nobody asked for: what hindered the start, an empty list if nothing did."""
LEAVING = -1
"""The number by which a worker says that it takes no more clients."""


class Order(Enum):
    """What the supervisor wants."""

    FIGURES = "figures"
    ACCEPT = "accept"
    LEAVE = "leave"
    CHECK = "check"
    APPLY = "apply"
    DRAIN = "drain"
    FORCE = "force"


@dataclass(frozen=True, slots=True)
class Message:
    """An order, its number, whose share of the port it is about, and the text of a configuration."""

    number: int
    order: Order
    slot: int = 0
    text: str = ""

    def encode(self) -> bytes:
        """Return the line that says so."""
        order = {"number": self.number, "order": self.order.value, "slot": self.slot, "text": self.text}
        return json.dumps(order).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker is given: its number, every worker's share of the port, the way to the supervisor, the counts."""

    slot: int
    shares: tuple[tuple[socket.socket, ...], ...]
    channel: socket.socket
    tally: Part


class Obedient(Protocol):
    """A worker: what it does when it is told."""

    def figures(self) -> Any:
        """Return its metrics; called on a thread of its own."""

    def accept(self, slot: int) -> None:
        """Take clients of this share of the port."""

    def leave(self, slot: int) -> None:
        """Take no more of them; somebody else does."""

    async def check(self, text: str) -> list[str]:
        """Return what is wrong with a configuration."""

    def apply(self) -> None:
        """Put in force what was checked last."""

    def drain(self) -> None:
        """End in order."""

    def force(self) -> None:
        """End now."""


class Orders:
    """Listens to the supervisor on a thread, so that a scrape never delays a statement."""

    def __init__(self, channel: socket.socket, worker: Obedient) -> None:
        self._channel = channel
        self._worker = worker
        self._lock = Lock()

    def listen(
        self,
        soon: Callable[..., object],
        begin: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        """Obey from now on; `soon` calls on the loop from another thread, `begin` starts a task there."""
        Thread(target=self._read, args=(soon, begin), name="orders", daemon=True).start()

    def answer(self, number: int, value: object) -> None:
        """Answer an order; the supervisor may be gone."""
        line = json.dumps({"number": number, "answer": value}).encode() + b"\n"
        with self._lock, contextlib.suppress(OSError):
            self._channel.sendall(line)

    def _read(
        self,
        soon: Callable[..., object],
        begin: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        with self._channel.makefile("rb") as lines, contextlib.suppress(RuntimeError):  # the loop has ended
            for line in lines:
                message = _decoded(line)
                if message.order is Order.FIGURES:
                    self.answer(message.number, self._worker.figures())
                else:
                    soon(self._obey, message, begin)
            # Without a supervisor nobody would end this process or start another.
            soon(self._worker.drain)

    def _obey(self, message: Message, begin: Callable[[Coroutine[Any, Any, None], str], object]) -> None:
        match message.order:
            case Order.FIGURES:
                self.answer(message.number, self._worker.figures())
            case Order.ACCEPT:
                self._worker.accept(message.slot)
            case Order.LEAVE:
                self._worker.leave(message.slot)
            case Order.CHECK:
                begin(self._check(message), "check")
            case Order.APPLY:
                self._worker.apply()
                self.answer(message.number, None)
            case Order.DRAIN:
                self._worker.drain()
            case Order.FORCE:
                self._worker.force()
            case _:
                assert_never(message.order)

    async def _check(self, message: Message) -> None:
        self.answer(message.number, await self._worker.check(message.text))


def _decoded(line: bytes) -> Message:
    given = json.loads(line)
    return Message(given["number"], Order(given["order"]), given["slot"], given["text"])
