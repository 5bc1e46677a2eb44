"""A PostgreSQL client that can do wrong: bytes as given, messages as they come, over a plain socket.

Knows the frames of the protocol, none of the project's code.
"""

import socket
import struct
from collections.abc import Iterator
from typing import Self

PROTOCOL = 196608
CANCEL = 80877102
SSL_REQUEST = 80877103

Message = tuple[bytes, bytes]


class RawClient:
    """One connection; `recv` returns messages as (type, body), b"" types mark the end of the stream."""

    def __init__(self, host: str, port: int, *, timeout: float = 30.0, receive_buffer: int = 0) -> None:
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect((host, port))
        except OSError:
            self.sock.close()
            raise
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> Self:
        """Send bytes as they are."""
        self.sock.sendall(data)
        return self

    def login(self, database: str, user: str = "postgres") -> Self:
        """Log in without a password and wait for ReadyForQuery."""
        self.send(startup(user=user, database=database))
        kinds = [kind for kind, _ in self.until(b"Z")]
        assert kinds[-1] == b"Z", kinds
        return self

    def recv(self) -> Message:
        """Return the next message; (b"", b"") when the server has closed the connection."""
        head = self._take(5)
        if len(head) < 5:
            return b"", b""
        return head[:1], self._take(struct.unpack(">I", head[1:])[0] - 4)

    def until(self, kind: bytes) -> list[Message]:
        """Return the messages up to the first of a type, or to the end."""
        messages = [self.recv()]
        while messages[-1][0] not in (kind, b""):
            messages.append(self.recv())
        return messages

    def messages(self) -> Iterator[Message]:
        """Yield messages until the connection is closed."""
        while (message := self.recv())[0]:
            yield message

    def query(self, sql: str) -> list[Message]:
        """Run a simple query; return its messages up to ReadyForQuery."""
        return self.send(query(sql)).until(b"Z")

    def fatal(self) -> dict[str, str]:
        """Return the fields of the ErrorResponse that ends the connection."""
        messages = list(self.messages())
        assert messages, "the connection ended without an error"
        kind, body = messages[-1]
        assert kind == b"E", messages[-1]
        return error_fields(body)

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                break
            self._buffer += data
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken


def frame(kind: bytes, body: bytes = b"") -> bytes:
    """Return a frontend message."""
    return kind + struct.pack(">I", len(body) + 4) + body


def query(sql: str) -> bytes:
    """Return a Query message."""
    return frame(b"Q", sql.encode() + b"\0")


def startup(protocol: int = PROTOCOL, **parameters: str) -> bytes:
    """Return a StartupMessage."""
    body = b"".join(f"{key}\0{value}\0".encode() for key, value in parameters.items()) + b"\0"
    return struct.pack(">II", len(body) + 8, protocol) + body


def cancel_request(key_data: bytes) -> bytes:
    """Return the CancelRequest for the body of a BackendKeyData message."""
    return struct.pack(">II", 8 + len(key_data), CANCEL) + key_data


def error_fields(body: bytes) -> dict[str, str]:
    """Return the fields of an ErrorResponse by their letters."""
    return {field[:1].decode(): field[1:].decode() for field in body.split(b"\0") if field}
