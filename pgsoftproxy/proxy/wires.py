"""One plain socket of a session on the event loop: read when it is readable, written to at once.

Says the same to its owner as a transport says to its protocol, so that a session cannot tell them apart; must
not know sessions or messages. A write goes straight to the socket; only what that does not take waits for it.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Iterable
from typing import Protocol

READ_BYTES = 64 * 1024


class Owner(Protocol):
    """What a wire tells about itself; `asyncio.Protocol` is one."""

    def data_received(self, data: bytes) -> None:
        """Take bytes."""

    def eof_received(self) -> bool | None:
        """Take the end of file; return whether the wire stays open for writing."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the socket is closed."""

    def pause_writing(self) -> None:
        """Note that more waits than should."""

    def resume_writing(self) -> None:
        """Note that little waits again."""


class Connection(Protocol):
    """What a session asks of either of its connections: a wire, or a transport."""

    def writelines(self, list_of_data: Iterable[bytes]) -> None:
        """Write, in this order."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set from which number of waiting bytes on the owner is told to pause, and to go on."""

    def pause_reading(self) -> None:
        """Read no more for now."""

    def resume_reading(self) -> None:
        """Read again."""

    def write_eof(self) -> None:
        """Say, once all is written, that no more comes."""

    def is_closing(self) -> bool:
        """Tell whether it is closed or being closed."""

    def close(self) -> None:
        """Close it once all is written."""

    def abort(self) -> None:
        """Close it now."""


class Wire:
    """A connected, non-blocking socket; `owner` hears of it from the loop's next turn on."""

    __slots__ = (
        "_closing",
        "_ended",
        "_full",
        "_high",
        "_loop",
        "_lost",
        "_low",
        "_owner",
        "_paused",
        "_socket",
        "_waiting",
        "_waits",
        "_write_eof",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, owner: Owner) -> None:
        self._loop = loop
        self._socket = sock
        self._owner = owner
        self._waiting: deque[memoryview] | None = None  # what the socket did not take; None if nothing
        self._waits = 0  # bytes of it
        self._high = 64 * 1024
        self._low = 16 * 1024
        self._full = False
        self._paused = False
        self._ended = False  # the peer sends no more
        self._write_eof = False
        self._closing = False
        self._lost = False
        loop.add_reader(sock, self._readable)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set from which number of waiting bytes on the owner is told to pause, and to go on."""
        self._high = self._high if high is None else high
        self._low = self._low if low is None else low

    def is_closing(self) -> bool:
        """Tell whether it is closed or being closed."""
        return self._closing

    def writelines(self, list_of_data: Iterable[bytes]) -> None:
        """Write, in this order."""
        data = b"".join(list_of_data)
        if self._lost or self._write_eof or not data:
            return
        sent = 0
        if self._waiting is None:
            try:
                sent = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                self._lose(error)
                return
            if sent == len(data):
                return
            self._waiting = deque()
            self._loop.add_writer(self._socket, self._writable)
        self._waiting.append(memoryview(data)[sent:])
        self._waits += len(data) - sent
        if not self._full and self._waits > self._high:
            self._full = True
            self._owner.pause_writing()

    def pause_reading(self) -> None:
        """Read no more for now."""
        if not self._paused:
            self._paused = True
            if not (self._closing or self._ended):
                self._loop.remove_reader(self._socket)

    def resume_reading(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            if not (self._closing or self._ended):
                self._loop.add_reader(self._socket, self._readable)

    def write_eof(self) -> None:
        """Say, once all is written, that no more comes; raises OSError if the peer is gone."""
        if not (self._closing or self._write_eof):
            self._write_eof = True
            if self._waiting is None:
                self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close it once all is written."""
        if not self._closing:
            self._stop_reading()
            if self._waiting is None:
                self._lose(None)

    def abort(self) -> None:
        """Close it now."""
        self._lose(None)

    def _stop_reading(self) -> None:
        self._closing = True
        if not (self._paused or self._ended):
            self._loop.remove_reader(self._socket)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        if data:
            self._owner.data_received(data)
        elif self._owner.eof_received():
            if not (self._closing or self._paused):
                self._loop.remove_reader(self._socket)
            self._ended = True
        else:
            self.close()

    def _writable(self) -> None:
        waiting = self._waiting
        assert waiting is not None
        try:
            while waiting:
                sent = self._socket.send(waiting[0])
                self._waits -= sent
                if sent < len(waiting[0]):
                    waiting[0] = waiting[0][sent:]
                    break
                waiting.popleft()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        if not waiting:
            self._all_written()
        if self._full and self._waits <= self._low and not self._lost:
            self._full = False
            self._owner.resume_writing()

    def _all_written(self) -> None:
        self._waiting = None
        self._loop.remove_writer(self._socket)
        if self._closing:
            self._lose(None)
        elif self._write_eof:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        """Close the socket, and tell the owner so in the loop's next turn: it may be in the midst of something."""
        if self._lost:
            return
        self._lost = True
        if not self._closing:
            self._stop_reading()
        if self._waiting is not None:
            self._waiting = None
            self._loop.remove_writer(self._socket)
        self._loop.call_soon(self._tell, error)

    def _tell(self, error: Exception | None) -> None:
        self._socket.close()
        self._owner.connection_lost(error)
