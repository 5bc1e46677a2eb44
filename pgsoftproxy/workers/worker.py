"""The supervisor's view of one worker: is it alive, does it serve, what does it answer.

Must not know what an answer means.
"""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from pgsoftproxy.workers.orders import LEAVING, START, Message, Order

LONGEST_LINE = 2**26


class Gone(Exception):
    """The worker has ended, or does not answer."""


class Worker:
    """One living, or late, worker."""

    def __init__(self, slot: int, pid: int, channel: socket.socket, left: Callable[[], None]) -> None:
        self.slot = slot
        self.pid = pid
        self.born = time.monotonic()
        self._left = left
        self.serves = False
        self.status: int | None = None
        """How it ended, as `os.waitstatus_to_exitcode` says it."""
        self.ended = asyncio.Event()
        self._channel = channel
        self._numbers = itertools.count(START + 1)
        self._asked: dict[int, asyncio.Future[Any]] = {START: asyncio.get_running_loop().create_future()}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to listen to it."""
        reader, self._writer = await asyncio.open_connection(sock=self._channel, limit=LONGEST_LINE)
        self._reading = asyncio.ensure_future(self._read(reader))

    async def started(self) -> list[str]:
        """Return what hindered its start, nothing if it can serve. Raises Gone."""
        problems: list[str] = await self._answer(START)
        return problems

    def tell(self, order: Order, slot: int = 0) -> None:
        """Give an order that has no answer."""
        self._send(Message(0, order, slot))

    async def ask(self, order: Order, seconds: float, text: str = "") -> Any:
        """Give an order and return the answer. Raises Gone if there is none in time."""
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        self._send(Message(number, order, text=text))
        try:
            async with asyncio.timeout(seconds):
                return await self._answer(number)
        except TimeoutError:
            raise Gone from None

    def kill(self) -> None:
        """End it without its doing."""
        if not self.ended.is_set():
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Note its end, if it has ended."""
        if self.ended.is_set():
            return
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.status = os.waitstatus_to_exitcode(status)
            self.serves = False
            self.ended.set()
            if self._writer is not None:
                self._writer.close()

    async def _answer(self, number: int) -> Any:
        try:
            return await self._asked[number]
        finally:
            self._asked.pop(number, None)

    def _send(self, message: Message) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(message.encode())

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                told = json.loads(line)
                if told["number"] == LEAVING:
                    self.serves = False
                    self._left()
                asked = self._asked.get(told["number"])
                if asked is not None and not asked.done():
                    asked.set_result(told["answer"])
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(Gone())
                asked.exception()  # whoever asked may have given up
