"""A client of hundreds in one process: the protocol's messages over asyncio, in clear or encrypted.

Every byte of every answer is looked through for the canary, which only deleted rows hold. Knows no statement.
"""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.raw import SSL_REQUEST, cancel_request, error_fields, frame, startup

CANARY = b"CANARY"
CHUNK = 1 << 17
READ_ERRORS = (OSError, asyncio.IncompleteReadError, ssl.SSLError)

Row = tuple[str | None, ...]


class Lost(Exception):
    """The connection has ended; `code` is the SQLSTATE of its last words, if it had any."""

    def __init__(self, why: str, code: str = "") -> None:
        super().__init__(why)
        self.code = code


class Leak(Exception):
    """What only deleted rows hold was in an answer."""


@dataclass(slots=True)
class Answer:
    """What came up to ReadyForQuery."""

    rows: list[Row] = field(default_factory=list)
    copied: bytearray = field(default_factory=bytearray)
    tags: list[str] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)

    @property
    def codes(self) -> list[str]:
        """Return the SQLSTATEs of its errors."""
        return [error["C"] for error in self.errors]


class Session:
    """One connection that is logged in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        self._reader, self._writer, self._port = reader, writer, port
        self._buffer = bytearray()
        self._key = b""
        self.prepared: set[str] = set()

    @classmethod
    async def open(cls, port: int, database: str, tls: ssl.SSLContext | None) -> Self:
        """Connect and log in. Raises Lost."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=CHUNK)
        except OSError as error:
            raise Lost(f"cannot connect: {error}") from error
        try:
            if tls is not None:
                writer.write(struct.pack(">II", 8, SSL_REQUEST))
                if await reader.readexactly(1) != b"S":
                    raise Lost("no encryption")
                await writer.start_tls(tls)
            session = cls(reader, writer, port)
            session.send(startup(user="postgres", database=database))
            answer = await session.answer()
        except READ_ERRORS as error:
            writer.transport.abort()
            raise Lost(f"login: {error!r}") from error
        except BaseException:
            writer.transport.abort()
            raise
        if answer.errors:
            raise Lost(f"login: {answer.errors}", answer.codes[-1])
        return session

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)

    async def message(self) -> tuple[bytes, bytes]:
        """Return the next message. Raises Lost at the end of the stream, Leak for one that holds the canary."""
        while len(self._buffer) < 5 or len(self._buffer) < self._length():
            try:
                data = await self._reader.read(CHUNK)
            except READ_ERRORS as error:
                raise Lost(f"{error!r}") from error
            if not data:
                raise Lost("end of stream")
            self._buffer += data
        end = self._length()
        kind, body = bytes(self._buffer[:1]), bytes(self._buffer[5:end])
        del self._buffer[:end]
        if CANARY in body:
            raise Leak(f"{kind!r} {body[:200]!r}")
        return kind, body

    def _length(self) -> int:
        length: int = struct.unpack_from(">I", self._buffer, 1)[0]
        return length + 1

    async def answer(self) -> Answer:
        """Return what comes up to ReadyForQuery. Raises Lost with the error that ended it all."""
        answer = Answer()
        while True:
            kind, body = await self.message()
            match kind:
                case b"Z":
                    return answer
                case b"D":
                    answer.rows.append(_row(body))
                case b"d":
                    answer.copied += body
                case b"C":
                    answer.tags.append(body[:-1].decode())
                case b"K":
                    self._key = body
                case b"E":
                    error = error_fields(body)
                    if error["S"] in ("FATAL", "PANIC"):
                        raise Lost(error["M"], error["C"])
                    answer.errors.append(error)
                case b"G":
                    return answer  # it is our turn

    async def cancel(self) -> None:
        """Ask for the end of what this session does; return once that was heard."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(cancel_request(self._key))
            await reader.read()
            writer.close()
        except OSError as error:
            raise Lost(f"cancel: {error!r}") from error

    async def leave(self) -> None:
        """Say goodbye and wait for the end."""
        self.send(frame(b"X"))
        with contextlib.suppress(*READ_ERRORS):
            while await self._reader.read(CHUNK):
                pass
        self.drop()

    def drop(self) -> None:
        """End the connection at once, in the midst of whatever it does."""
        self._writer.transport.abort()

    def half_close(self) -> None:
        """Send nothing more, but read on."""
        self._writer.write_eof()


def extended(sql: str, arguments: Sequence[object], name: str = "", *, parse: bool = True) -> bytes:
    """Return the messages that ask this with parameters as texts, up to Sync."""
    data = frame(b"P", f"{name}\0{sql}\0".encode() + b"\0\0") if parse else b""
    values = b"".join(struct.pack(">I", len(text)) + text for text in (str(a).encode() for a in arguments))
    bind = b"\0" + name.encode() + b"\0\0\0" + struct.pack(">H", len(arguments)) + values + b"\0\0"
    return data + frame(b"B", bind) + frame(b"E", b"\0\0\0\0\0") + frame(b"S")


def _row(body: bytes) -> Row:
    place, row = 2, []
    for _ in range(struct.unpack_from(">H", body)[0]):
        (length,) = struct.unpack_from(">i", body, place)
        place += 4
        row.append(None if length < 0 else body[place : place + length].decode())
        place += max(length, 0)
    return tuple(row)
