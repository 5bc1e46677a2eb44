"""A client made of bytes: what no driver would send can be sent, and every message of the reply is seen.

Knows the message layouts of protocol 3 only as far as tests need them.
"""

import contextlib
import socket
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self

from tests.clients.shop import Target

SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)
SYNC = b"S\x00\x00\x00\x04"
FLUSH = b"H\x00\x00\x00\x04"
TERMINATE = b"X\x00\x00\x00\x04"
TIMEOUT = 20.0


class Message(NamedTuple):
    """One message of the server."""

    type: bytes
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        """Return the fields of an ErrorResponse or NoticeResponse by their letter."""
        parts = self.body.rstrip(b"\x00").split(b"\x00")
        return {part[:1].decode(): part[1:].decode() for part in parts}


def startup(version: tuple[int, int], parameters: Mapping[str, str]) -> bytes:
    """Return a StartupMessage."""
    text = "".join(f"{name}\x00{value}\x00" for name, value in parameters.items()) + "\x00"
    body = struct.pack("!HH", *version) + text.encode()
    return struct.pack("!I", len(body) + 4) + body


def message(kind: bytes, body: bytes) -> bytes:
    """Return one framed message."""
    return kind + struct.pack("!I", len(body) + 4) + body


def query(sql: str | bytes) -> bytes:
    """Return a Query."""
    return message(b"Q", (sql.encode() if isinstance(sql, str) else sql) + b"\x00")


def parse(sql: str | bytes, name: str = "") -> bytes:
    """Return a Parse without parameter types."""
    text = sql.encode() if isinstance(sql, str) else sql
    return message(b"P", name.encode() + b"\x00" + text + b"\x00\x00\x00")


def bind(statement: str = "", portal: str = "") -> bytes:
    """Return a Bind without parameters, results as text."""
    return message(b"B", portal.encode() + b"\x00" + statement.encode() + b"\x00" + bytes(6))


def execute(portal: str = "", rows: int = 0) -> bytes:
    """Return an Execute."""
    return message(b"E", portal.encode() + b"\x00" + struct.pack("!I", rows))


class RawClient:
    """A connection to a target, at first without a startup message."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.socket = socket.create_connection((target.host, target.port), timeout=TIMEOUT)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def read(self, count: int) -> bytes:
        """Return exactly that many bytes; EOFError if the connection ends before."""
        while len(self._buffer) < count:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(self._buffer)
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def read_message(self) -> Message:
        """Return the next message."""
        kind, length = struct.unpack("!cI", self.read(5))
        return Message(kind, self.read(length - 4))

    def read_until(self, kind: bytes) -> list[Message]:
        """Return the messages up to the first of that type, itself included."""
        messages = [self.read_message()]
        while messages[-1].type != kind:
            messages.append(self.read_message())
        return messages

    def read_to_end(self) -> list[Message]:
        """Return the messages until the other side closes the connection; a reset counts as a close."""
        messages = []
        while True:
            try:
                messages.append(self.read_message())
            except (EOFError, ConnectionResetError):
                assert not self._buffer, f"a cut message: {self._buffer!r}"
                return messages

    def everything(self) -> bytes:
        """Return the bytes until the other side closes the connection, whatever they are."""
        answer = b""
        while data := self.socket.recv(65536):
            answer += data
        return answer

    def log_in(self, version: tuple[int, int] = (3, 0), **more: str) -> list[Message]:
        """Start a session that the server trusts; return the messages up to ReadyForQuery."""
        self.send(startup(version, {"user": self.target.user, "database": self.target.dbname, **more}))
        return self.read_until(b"Z")

    def ask(self, data: bytes) -> list[Message]:
        """Send and return the messages up to ReadyForQuery."""
        self.send(data)
        return self.read_until(b"Z")


def function_call(function: int, *arguments: bytes) -> bytes:
    """Return a FunctionCall of a function by its OID; arguments and result in binary."""
    values = b"".join(struct.pack("!I", len(value)) + value for value in arguments)
    body = struct.pack("!IHHH", function, 1, 1, len(arguments)) + values + struct.pack("!H", 1)
    return message(b"F", body)


def comparable(messages: list[Message], without: str = "FLR") -> list[tuple[bytes, object]]:
    """Return messages without some fields of errors: source file, line and routine if not said otherwise."""

    def told(one: Message) -> object:
        return (
            {key: text for key, text in one.fields.items() if key not in without}
            if one.type in b"EN"
            else one.body
        )

    return [(one.type, told(one)) for one in messages]


def talk(target: Target, data: bytes, *, end: bytes = b"") -> list[Message]:
    """Send bytes, a probe and an end in one session; return all that comes back until it is closed."""
    with RawClient(target) as client:
        client.log_in()
        client.send(data)
        with contextlib.suppress(OSError):  # the session may be over already
            client.send(query("SELECT 'probe'") + end)
            client.socket.shutdown(socket.SHUT_WR)
        return client.read_to_end()
