"""A recording relay between a client program and what it connects to: it judges every byte that the client gets.

Owns sockets and threads. Knows the server's framing and the canary, no SQL.
"""

import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Callable
from threading import Lock, Thread

from tests.oracle.client import parsed
from tests.oracle.compare import CANARY, CANARY_IN_HEX

NEEDLES = (CANARY.lower(), CANARY_IN_HEX.lower())
OVERLAP = max(map(len, NEEDLES)) - 1
CHUNK = 65536


class Relay:
    """Listen on a port of its own and pass every connection on.

    `leaks` are places of what the client got that hold a deleted value; `errors` counts the ErrorResponses that do
    not come from the server, by SQLSTATE and message (the server's name the place in its source); `lost` counts
    connections that the other side closed first.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.leaks: list[bytes] = []
        self.errors: Counter[tuple[str, str]] = Counter()
        self.lost = 0
        self.bytes = 0
        self.messages: Counter[str] = Counter()
        self._lock = Lock()
        self._threads: list[Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        """Stop listening and wait until all connections have ended, as they do when the client has."""
        # A plain close would leave accept() waiting.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in list(self._threads):
            thread.join(30)

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._start(self._pass_on, client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            back = Thread(target=self._from_server, args=(client, server), daemon=True)
            back.start()
            self._from_client(client, server)
            back.join()

    def _from_client(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK):
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _from_server(self, client: socket.socket, server: socket.socket) -> None:
        tail, frames = b"", bytearray()
        with contextlib.suppress(OSError):
            while data := server.recv(CHUNK):
                self._search(tail + data)
                tail = (tail + data)[-OVERLAP:]
                frames += data
                self._judge(frames)
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)

    def _search(self, data: bytes) -> None:
        lower = data.lower()
        found = [data[max(0, at - 80) : at + 80] for at in map(lower.find, NEEDLES) if at >= 0]
        with self._lock:
            self.leaks += found

    def _judge(self, frames: bytearray) -> None:
        """Count the whole messages at the head of what the server sent, and take them off."""
        at = 0
        while len(frames) >= at + 5:
            end = at + 1 + struct.unpack_from("!i", frames, at + 1)[0]
            if len(frames) < end:
                break
            self._count(bytes(frames[at:end]))
            at = end
        del frames[:at]

    def _count(self, message: bytes) -> None:
        error = parsed(message).error if message[:1] == b"E" else None
        with self._lock:
            self.bytes += len(message)
            self.messages[message[:1].decode("latin1")] += 1
            if error is not None and error["S"] in ("FATAL", "PANIC"):
                self.lost += 1
            if error is not None and "R" not in error:
                self.errors[error["C"], error["M"]] += 1
