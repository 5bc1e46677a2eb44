"""Many clients in one process that ask without pause and count answers; the connections stay open between rounds.

pgbench opens its own each time, which for a thousand of them costs more than the queries that are to be measured.
"""

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Self

from tests.bench.pgbench import Failed
from tests.raw import RawClient, frame

READY = b"Z\0\0\0\5I"
RECEIVE = 1 << 18
PREPARED = b"crowd"


class Crowd:
    """So many sessions on one port, all logged in."""

    def __init__(self, port: int, database: str, clients: int) -> None:
        self._clients: list[RawClient] = []
        try:
            for _ in range(clients):
                self._clients.append(RawClient("127.0.0.1", port).login(database))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        for client in self._clients:
            client.sock.close()

    def prepare(self, text: str) -> bytes:
        """Prepare a text in every session; return the message that executes it."""
        parse = frame(b"P", PREPARED + b"\0" + text.encode() + b"\0\0\0") + frame(b"S")
        for client in self._clients:
            kinds = b"".join(kind for kind, _ in client.send(parse).until(b"Z"))
            if kinds != b"1Z":
                raise Failed(f"{text} was answered by {kinds!r}")
        bind = frame(b"B", b"\0" + PREPARED + b"\0" + b"\0\0" * 3)
        return bind + frame(b"E", b"\0\0\0\0\0") + frame(b"S")

    def ask(self, messages: Sequence[bytes], seconds: float) -> int:
        """Let every session send one message after the other until the time is over; return how many were answered.

        Each is answered by one ReadyForQuery outside a transaction; Failed if one is an error.
        """
        until = time.perf_counter() + seconds
        source = cycle(messages)
        answered, waiting = 0, len(self._clients)
        with selectors.EpollSelector() as selector:
            for client in self._clients:
                selector.register(client.sock, selectors.EVENT_READ)
                client.sock.sendall(next(source))
            while waiting:
                going = time.perf_counter() < until
                for sock in _readable(selector):
                    if not _answered(sock):
                        continue
                    answered += 1
                    if going:
                        sock.sendall(next(source))
                    else:
                        waiting -= 1
        return answered


def _readable(selector: selectors.EpollSelector) -> Iterator[socket.socket]:
    for key, _ in selector.select():
        assert isinstance(key.fileobj, socket.socket)
        yield key.fileobj


def _answered(sock: socket.socket) -> bool:
    """Read what is there; tell whether the answer is complete."""
    data = sock.recv(RECEIVE)
    if not data or data[:1] == b"E":
        raise Failed(f"a query was answered by {data!r}")
    return data.endswith(READY)
