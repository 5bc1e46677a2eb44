# cython: boundscheck=False, wraparound=False
"""One plain socket of a session: read when it is readable, written to at once.

Says the same to its owner as a transport of asyncio says to its protocol. Two wires that are joined ask the session's
lane first, and what that carries goes from one socket to the other without anybody else. Must not know sessions or
messages. A write goes straight to the socket; only what that does not take waits for it.
"""

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from errno import EAGAIN, EINTR
from typing import Any

from pgsoftproxy.kernel import uncompiled as cython

if cython.compiled:
    import cython  # type: ignore[import-untyped,no-redef]
    from cython.cimports.libc.errno import errno  # type: ignore[import-untyped]
    from cython.cimports.pgsoftproxy.kernel.sockets import (  # type: ignore[import-untyped]
        MSG_NOSIGNAL,
        recv,
        send,
    )

READ_BYTES = cython.declare(cython.Py_ssize_t, 64 * 1024)
STREAM_BYTES = cython.declare(cython.Py_ssize_t, 256 * 1024)
"""How much is read at once where it goes on from where it was read into: nothing is allocated for it."""
BUFFER = cython.declare(bytearray, bytearray(256 * 1024 + 1024))
"""What all wires read into, each in its turn; what a lane or a scanner holds fits in what it has more."""
WOULD_BLOCK = cython.declare(cython.Py_ssize_t, -1)


@cython.cfunc
@cython.inline
def _cut(data: bytearray, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> bytes:
    if cython.compiled:
        text: cython.p_uchar = data
        found: bytes = text[start:stop]
        return found
    else:
        return bytes(data[start:stop])


@cython.cfunc
def _receive(sock: Any, fd: cython.int, at: cython.Py_ssize_t, most: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Read into BUFFER behind `at`; return how much came, 0 at the end of file, or WOULD_BLOCK. Raises OSError."""
    if cython.compiled:
        text: cython.p_uchar = BUFFER
        found: cython.Py_ssize_t = recv(fd, text + at, most, 0)
        return found if found >= 0 else _failed(errno)
    else:
        try:
            came: int = sock.recv_into(memoryview(BUFFER)[at:], most)
        except (BlockingIOError, InterruptedError):
            return WOULD_BLOCK
        return came


@cython.cfunc
def _send(sock: Any, fd: cython.int, data: Any, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Write the first bytes of `data`, bytes or bytearray; return how many went, or WOULD_BLOCK. Raises OSError."""
    if cython.compiled:
        text: cython.p_uchar = (
            cython.cast(bytes, data) if isinstance(data, bytes) else cython.cast(bytearray, data)
        )
        sent: cython.Py_ssize_t = send(fd, text, size, MSG_NOSIGNAL)
        return sent if sent >= 0 else _failed(errno)
    else:
        try:
            went: int = sock.send(memoryview(data)[:size])
        except (BlockingIOError, InterruptedError):
            return WOULD_BLOCK
        return went


@cython.cfunc
def _failed(code: cython.int) -> cython.Py_ssize_t:
    if code in (EAGAIN, EINTR):
        return WOULD_BLOCK
    raise OSError(code, os.strerror(code))


class Wire:
    """A connected, non-blocking socket; `owner` hears of it from the loop's next turn on.

    `meter` counts what is received; `from_client` tells which of the session's two it is.
    """

    def __init__(self, loop: Any, sock: socket.socket, owner: Any, meter: Any, from_client: bool) -> None:
        self._loop = loop
        self._socket = sock
        self._fd = sock.fileno()
        self._owner = owner
        self._meter = meter
        self._from_client = from_client
        self._lane: Any = None
        self._leave: Any = None
        self._peer: Any = None
        self._scanner: Any = None
        self._flows: Any = None
        self._waiting: Any = None  # a deque of what the socket did not take; None if nothing
        self._waits = 0  # bytes of it
        self._high = 64 * 1024
        self._low = 16 * 1024
        self._full = False
        self._paused = False
        self._ended = False  # the peer sends no more
        self._write_eof = False
        self._closing = False
        self._lost = False
        # A loop with the kernel's selector calls `readable` from there.
        self._wires = getattr(loop, "wires", None)
        if self._wires is not None:
            self._wires[self._fd] = self
        # By number: of a socket that it does not know the selector makes a text first, with its names at both ends.
        loop.add_reader(self._fd, self.readable)

    def join(self, peer: Any, lane: Any, leave: Callable[[], None]) -> None:
        """Carry what the lane takes to the other socket, and what it does not to the owner, after `leave`."""
        self._peer = peer
        self._lane = lane
        self._leave = leave

    def own(self, owner: Any) -> None:
        """Tell another owner from now on."""
        self._owner = owner

    def stream(self, scanner: Any, flows: Callable[[], bool]) -> None:
        """Carry what passes to the other socket while the owner's scanner and `flows` say that all of it may go on."""
        self._scanner = scanner
        self._flows = flows

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set from which number of waiting bytes on the owner is told to pause, and to go on."""
        if high is not None:
            self._high = high
        if low is not None:
            self._low = low

    def is_closing(self) -> bool:
        """Tell whether it is closed or being closed."""
        return self._closing

    def writelines(self, list_of_data: Iterable[bytes]) -> None:
        """Write, in this order."""
        data = b"".join(list_of_data)
        self.pour(data, len(data))

    def pour(self, data: Any, size: cython.Py_ssize_t) -> None:
        """Write the first bytes of `data`, which may be used again afterwards."""
        sent: cython.Py_ssize_t = 0
        if self._lost or self._write_eof or size == 0:
            return
        if self._waiting is None:
            try:
                sent = _send(self._socket, self._fd, data, size)
            except OSError as error:
                self._lose(error)
                return
            if sent == size:
                return
            if sent < 0:
                sent = 0
            self._waiting = deque()
            self._loop.add_writer(self._fd, self._writable)
        self._waiting.append(memoryview(bytes(memoryview(data)[sent:size])))
        self._waits += size - sent
        if not self._full and self._waits > self._high:
            self._full = True
            self._owner.pause_writing()

    def pause_reading(self) -> None:
        """Read no more for now."""
        if not self._paused:
            self._paused = True
            if not (self._closing or self._ended):
                self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            if not (self._closing or self._ended):
                self._loop.add_reader(self._fd, self.readable)

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

    def readable(self) -> bool:
        """Read once, as there is something to read; return whether the lane has carried it and nobody else has run."""
        held: cython.Py_ssize_t = 0
        most: cython.Py_ssize_t = READ_BYTES
        size: cython.Py_ssize_t
        if self._closing or self._paused or self._ended:
            return False  # it was told so after this was due
        laned: cython.bint = self._lane is not None and self._lane.open
        flows: cython.bint = False
        if laned:
            if not self._from_client:
                most = STREAM_BYTES
                held = len(self._lane.held)
                if held:
                    BUFFER[:held] = self._lane.held
        elif self._scanner is not None and self._scanner.flows() and self._flows():
            flows = True
            most = STREAM_BYTES
            held = len(self._scanner.data)
            if held:
                BUFFER[:held] = self._scanner.data
        try:
            size = _receive(self._socket, self._fd, held, most)
        except OSError as error:
            self._lose(error)
            return False
        if size > 0:
            self._meter.n += size
            if flows:
                return self._carry(held + size)
            if laned:
                return self._client(size) if self._from_client else self._server(held + size)
            self._owner.data_received(_cut(BUFFER, 0, size))
        elif size == 0:
            self._end()
        return False

    def _client(self, size: cython.Py_ssize_t) -> bool:
        found: cython.int = self._lane.client(BUFFER, size)
        if found == 1:
            self._peer.pour(BUFFER, size)
            return not self._peer._lost
        if found == 2:
            self._peer.pour(self._lane.out.data, self._lane.out.size)
            return not self._peer._lost
        data: bytes = _cut(BUFFER, 0, size)
        self._leave()
        self._owner.data_received(data)
        return False

    def _server(self, size: cython.Py_ssize_t) -> bool:
        upto: cython.Py_ssize_t = self._lane.server(BUFFER, size)
        return self._hand_on(upto, _cut(BUFFER, upto, size) if self._lane.strange else None)

    def _carry(self, size: cython.Py_ssize_t) -> cython.bint:
        upto: cython.Py_ssize_t = self._scanner.carry(BUFFER, size)
        return self._hand_on(upto, None if self._scanner.flows() else _cut(BUFFER, upto, size))

    def _hand_on(self, upto: cython.Py_ssize_t, rest: bytes | None) -> cython.bint:
        """Write what goes on, give the rest to the owner; return whether nobody else has run."""
        if upto:
            self._peer.pour(BUFFER, upto)
        if rest is None:
            return not self._peer._lost
        self._leave()
        self._owner.data_received(rest)
        return False

    def _end(self) -> None:
        if self._owner.eof_received():
            if not (self._closing or self._paused):
                self._loop.remove_reader(self._fd)
            self._ended = True
        else:
            self.close()

    def _stop_reading(self) -> None:
        self._closing = True
        if not (self._paused or self._ended):
            self._loop.remove_reader(self._fd)

    def _writable(self) -> None:
        waiting: Any = self._waiting
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
        self._loop.remove_writer(self._fd)
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
            self._loop.remove_writer(self._fd)
        self._loop.call_soon(self._tell, error)

    def _tell(self, error: Exception | None) -> None:
        self._peer = None
        if self._wires is not None:
            del self._wires[self._fd]
        self._socket.close()
        self._owner.connection_lost(error)
