"""Record what a client says to a server, say it again elsewhere, compare what comes back.

Knows frames, and which bytes of them must differ from one server process or database to the next. Knows no client.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tests.clients.shop import Target

TIMEOUT = 20.0
CLIENT, SERVER = "client", "server"
FIRST_USER_OID = 16384
TOLD_BY_THE_PROXY = (b"42601", b"26000")
"""A syntax error, found by the server's own parser in the proxy; a prepared statement that is not there."""


@dataclass
class Conversation:
    """One connection: who said which bytes, in the order in which the relay saw them."""

    pieces: list[tuple[str, bytes]] = field(default_factory=list)

    def said(self, side: str) -> bytes:
        """Return all that one side said."""
        return b"".join(data for who, data in self.pieces if who == side)


class Relay:
    """A relay before a target that records each connection; clients connect to `at`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.at = replace(target, port=self._listening.getsockname()[1])
        self.conversations: list[Conversation] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Wait until every connection has ended."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(TIMEOUT)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection((self._target.host, self._target.port))
            conversation, lock = Conversation(), threading.Lock()
            self.conversations.append(conversation)
            for side, source, sink in ((CLIENT, client, server), (SERVER, server, client)):
                arguments = (conversation, lock, side, source, sink)
                self._threads.append(threading.Thread(target=_copy, args=arguments))
                self._threads[-1].start()


def _copy(
    conversation: Conversation, lock: threading.Lock, side: str, source: socket.socket, sink: socket.socket
) -> None:
    try:
        while data := source.recv(1 << 16):
            with lock:
                conversation.pieces.append((side, data))
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return  # one side has gone without a word
    finally:
        if side == SERVER:
            source.close()
            sink.close()


@contextmanager
def recorded(target: Target) -> Iterator[Relay]:
    """Give a relay before a target; when it is left, its conversations are complete."""
    relay = Relay(target)
    try:
        yield relay
    finally:
        relay.close()


def replay(conversation: Conversation, target: Target, dbname: str) -> bytes:
    """Say what the client said, each time once as many messages have come as had then; return what came back.

    `dbname` is the database of the recording: its name, of the same length as the target's, is replaced.
    """
    wanted, heard = Messages(), Messages()
    with socket.create_connection((target.host, target.port), TIMEOUT) as sock:
        for side, data in conversation.pieces:
            if side == SERVER:
                wanted.feed(data)
                continue
            while len(heard.found) < len(wanted.found) and (more := sock.recv(1 << 16)):
                heard.feed(more)
            sock.sendall(data.replace(dbname.encode(), target.dbname.encode()))
        sock.shutdown(socket.SHUT_WR)
        while more := sock.recv(1 << 16):
            heard.feed(more)
    return bytes(heard.data)


class Messages:
    """The whole messages among a server's bytes; the bare letter that declines encryption is one of its own."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.found: list[tuple[bytes, bytes]] = []
        self._at = 0

    def feed(self, data: bytes) -> None:
        """Take more bytes."""
        self.data += data
        while True:
            head = bytes(self.data[self._at : self._at + 5])
            if (head[:1] == b"N" and head[1:2] not in (b"\0", b"")) or head == b"N":
                self.found.append((b"N", b""))
                self._at += 1
                continue
            end = self._at + 1 + int.from_bytes(head[1:], "big")
            if len(head) < 5 or end > len(self.data):
                return
            self.found.append((head[:1], bytes(self.data[self._at + 5 : end])))
            self._at = end


def messages(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the whole messages of a server."""
    heard = Messages()
    heard.feed(data)
    return heard.found


def comparable(data: bytes, dbname: str) -> list[tuple[bytes, bytes]]:
    """Return a server's messages without what must differ:

    the cancel key and the sender of a notification (another server process), the name of the database (another one,
    on the same server), the OIDs of relations and types that the conversation itself made (a counter of the server),
    what SCRAM draws by lot, and of the two errors that the proxy tells in the server's words the place in the server's
    source (it has none).
    """
    made: dict[bytes, bytes] = {}
    return [
        (kind, _settled(kind, body, made).replace(dbname.encode(), b"(db)")) for kind, body in messages(data)
    ]


def _settled(kind: bytes, body: bytes, made: dict[bytes, bytes]) -> bytes:
    match kind:
        case b"K":
            return b"(key)"
        case b"A":
            return b"(pid)" + body[4:]
        case b"R" if body[:4] in (struct.pack(">I", 11), struct.pack(">I", 12)):
            return body[:4] + b"(drawn by lot)"
        case b"E" if any(b"\0C" + code + b"\0" in body for code in TOLD_BY_THE_PROXY):
            return b"\0".join(one for one in body.split(b"\0") if one[:1] not in (b"F", b"L", b"R"))
        case b"T":
            return _described(body, made)
        case _:
            return body


def _described(body: bytes, made: dict[bytes, bytes]) -> bytes:
    """Return a RowDescription with the OIDs of new relations and types numbered in the order of their appearance."""
    out, at = body[:2], 2
    while at < len(body):
        end = body.index(b"\0", at) + 1
        table, number, kind, rest = (
            body[end : end + 4],
            body[end + 4 : end + 6],
            body[end + 6 : end + 10],
            body[end + 10 : end + 18],
        )
        out += body[at:end] + _numbered(table, made) + number + _numbered(kind, made) + rest
        at = end + 18
    return out


def _numbered(oid: bytes, made: dict[bytes, bytes]) -> bytes:
    if int.from_bytes(oid, "big") < FIRST_USER_OID:
        return oid
    return made.setdefault(oid, b"(%d)" % len(made))
