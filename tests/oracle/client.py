"""A minimal blocking PostgreSQL client that keeps every message as the server sent it.

Owns sockets and the wire format for the tests, on its own: it shares no code with the package it judges, and
no driver stands between it and the bytes.
"""

import contextlib
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

TIMEOUT_SECONDS = 30.0
PROTOCOL_3_0 = 196608
READY = ord("Z")


Step = tuple[str, ...]
"""One message of a conversation: its kind in words, then its strings."""


class ServerGone(Exception):
    """The other side closed the connection; `answer` holds what came before."""

    def __init__(self, answer: "Answer") -> None:
        super().__init__(f"connection closed after {answer.results}")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a RowDescription."""

    name: str
    table: int
    number: int
    type: int
    modifier: int
    format: int


@dataclass(slots=True)
class Result:
    """What one statement answered; exactly one of `tag` and `error` is set when it is complete."""

    columns: tuple[Column, ...] | None = None
    rows: list[tuple[bytes | None, ...]] = field(default_factory=list)
    copied: list[bytes] = field(default_factory=list)
    copy_format: tuple[int, ...] | None = None
    tag: str | None = None
    error: dict[str, str] | None = None


@dataclass(slots=True)
class Answer:
    """All that came back for one message (or pipeline) of the client, up to ReadyForQuery."""

    results: list[Result] = field(default_factory=list)
    notices: list[tuple[str, str]] = field(default_factory=list)
    parameter_types: tuple[int, ...] | None = None
    status: str = ""
    raw: bytearray = field(default_factory=bytearray)

    @property
    def error(self) -> dict[str, str] | None:
        """Return the fields of the ErrorResponse, if there was one."""
        return next((result.error for result in self.results if result.error), None)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect, and as whom."""

    host: str
    port: int
    user: str
    database: str


class Client:
    """One connection, trust authentication only."""

    def __init__(self, address: Address, options: str = "") -> None:
        self.socket = socket.create_connection((address.host, address.port), TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        wanted = {"user": address.user, "database": address.database, "client_encoding": "UTF8"}
        if options:
            wanted["options"] = options
        body = b"".join(f"{key}\0{value}\0".encode() for key, value in wanted.items()) + b"\0"
        self.socket.sendall(struct.pack("!ii", len(body) + 8, PROTOCOL_3_0) + body)
        started = self._answer()
        if started.error:
            self.socket.close()
            raise ConnectionRefusedError(str(started.error))

    def query(self, sql: str, copy_in: bytes | None = None) -> Answer:
        """Send one Query message and read all that it answers."""
        self._send(b"Q", _string(sql))
        return self._answer(copy_in)

    def extended(
        self, sql: str, parameters: Sequence[str | None] = (), copy_in: bytes | None = None
    ) -> Answer:
        """Send Parse, Describe, Bind, Describe, Execute, Sync in one write and read all that they answer."""
        messages = [
            (b"P", _string("") + _string(sql) + struct.pack("!h", 0)),
            (b"D", b"S" + _string("")),
            (b"B", _string("") + _string("") + _parameters(parameters) + struct.pack("!h", 0)),
            (b"D", b"P" + _string("")),
            (b"E", _string("") + struct.pack("!i", 0)),
        ]
        # The server swallows a Sync that reaches it in COPY IN mode, so there it goes after CopyDone.
        messages.append((b"S", b"") if copy_in is None else (b"H", b""))
        self.socket.sendall(b"".join(_frame(kind, body) for kind, body in messages))
        return self._answer(copy_in, sync_after_copy=copy_in is not None)

    def start(self, sql: str, protocol: str) -> None:
        """Send one statement by the simple or extended protocol, and leave its answer to `finish`."""
        if protocol == "simple":
            self._send(b"Q", _string(sql))
        else:
            steps: list[Step] = [
                ("parse", "", sql),
                ("bind", "", ""),
                ("describe", "P", ""),
                ("execute", "", "0"),
            ]
            self.socket.sendall(b"".join(_frame(*_encoded(step)) for step in [*steps, ("sync",)]))

    def finish(self) -> Answer:
        """Read the answer to what was started."""
        return self._answer()

    def exchange(self, steps: Sequence[Step]) -> Answer:
        """Send the steps in one write, the last of them a Sync or Query; answer with all up to its end."""
        barriers = self.pour(steps)
        together = Answer()
        for _ in range(barriers):
            answer = self._answer()
            together.results += answer.results
            together.notices += answer.notices
            together.raw += answer.raw
            together.status += answer.status
        return together

    def pour(self, steps: Sequence[Step]) -> int:
        """Send the steps in one write and return how many times ReadyForQuery will come."""
        self.socket.sendall(b"".join(_frame(*_encoded(step)) for step in steps))
        return sum(step[0] in ("sync", "query") for step in steps)

    def drain(self, barriers: int) -> bytes:
        """Return what the server sends, as it sends it, up to ReadyForQuery of that number."""
        at = 0
        while barriers:
            if len(self._buffer) < at + 5:
                self._more(at)
                continue
            size = 1 + struct.unpack_from("!i", self._buffer, at + 1)[0]
            while len(self._buffer) < at + size:
                self._more(at)
            barriers -= self._buffer[at] == READY
            at += size
        taken = bytes(self._buffer[:at])
        del self._buffer[:at]
        return taken

    def close(self) -> None:
        """Say Terminate and close."""
        with contextlib.suppress(OSError):  # the other side may be faster
            self._send(b"X", b"")
        self.socket.close()

    def _more(self, seen: int) -> None:
        data = self.socket.recv(262144)
        if not data:
            raise ServerGone(parsed(bytes(self._buffer[:seen])))
        self._buffer += data

    def _send(self, kind: bytes, body: bytes) -> None:
        self.socket.sendall(_frame(kind, body))

    def _answer(self, copy_in: bytes | None = None, sync_after_copy: bool = False) -> Answer:
        answer = Answer()
        current = Result()
        while True:
            kind, body = self._message(answer)
            if kind == b"Z":
                answer.status = body.decode()
                if current != Result():
                    answer.results.append(current)
                return answer
            if kind == b"G":
                current.copy_format = _copy_format(body)
                self._send(b"d", copy_in or b"")
                self._send(b"c", b"")
                if sync_after_copy:
                    self._send(b"S", b"")
                    sync_after_copy = False
            elif _collect(kind, body, answer, current):
                answer.results.append(current)
                current = Result()
                if kind == b"E" and sync_after_copy:
                    self._send(b"S", b"")
                    sync_after_copy = False

    def _message(self, answer: Answer) -> tuple[bytes, bytes]:
        header = self._exactly(5, answer)
        length = struct.unpack("!i", header[1:])[0]
        body = self._exactly(length - 4, answer)
        answer.raw += header + body
        return header[:1], body

    def _exactly(self, size: int, answer: Answer) -> bytes:
        while len(self._buffer) < size:
            data = self.socket.recv(65536)
            if not data:
                raise ServerGone(answer)
            self._buffer += data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def _collect(kind: bytes, body: bytes, answer: Answer, current: Result) -> bool:
    """Put one message into the answer; tell whether it ends a statement's result."""
    match kind:
        case b"T":
            current.columns = _columns(body)
        case b"D":
            current.rows.append(_row(body))
        case b"H":
            current.copy_format = _copy_format(body)
        case b"d":
            current.copied.append(body)
        case b"t":
            count = struct.unpack_from("!h", body)[0]
            answer.parameter_types = struct.unpack_from(f"!{count}i", body, 2)
        case b"N":
            fields = _fields(body)
            answer.notices.append((fields["C"], fields["M"]))
        case b"C":
            current.tag = body[:-1].decode()
            return True
        case b"I":
            current.tag = ""
            return True
        case b"s":
            current.tag = "suspended"
            return True
        case b"E":
            current.error = _fields(body)
            return True
        case b"R" | b"S" | b"K" | b"1" | b"2" | b"3" | b"n" | b"c" | b"A" | b"v":
            pass
        case _:
            raise AssertionError(f"unexpected message {kind!r} {body!r}")
    return False


def parsed(raw: bytes) -> Answer:
    """Read whole messages of the server into one answer."""
    answer, current, at = Answer(raw=bytearray(raw)), Result(), 0
    while at < len(raw):
        end = at + 1 + struct.unpack_from("!i", raw, at + 1)[0]
        kind, body = raw[at : at + 1], raw[at + 5 : end]
        if kind == b"Z":
            answer.status += body.decode()
        elif _collect(kind, body, answer, current):
            answer.results.append(current)
            current = Result()
        at = end
    return answer


def _frame(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _string(text: str) -> bytes:
    return text.encode() + b"\0"


def _encoded(step: Step) -> tuple[bytes, bytes]:
    match step:
        case ("query", sql):
            return b"Q", _string(sql)
        case ("parse", name, sql):
            return b"P", _string(name) + _string(sql) + struct.pack("!h", 0)
        case ("bind", portal, name, *values):
            return b"B", _string(portal) + _string(name) + _parameters(values) + struct.pack("!h", 0)
        case ("bind binary", portal, name, *values):
            return b"B", _string(portal) + _string(name) + _parameters(values) + struct.pack("!hh", 1, 1)
        case ("describe", kind, name):
            return b"D", kind.encode() + _string(name)
        case ("execute", portal, rows):
            return b"E", _string(portal) + struct.pack("!i", int(rows))
        case ("close", kind, name):
            return b"C", kind.encode() + _string(name)
        case ("sync",):
            return b"S", b""
    raise ValueError(f"unknown step {step}")


def _parameters(parameters: Sequence[str | None]) -> bytes:
    parts = [struct.pack("!hh", 0, len(parameters))]
    for value in parameters:
        data = None if value is None else value.encode()
        parts.append(struct.pack("!i", -1) if data is None else struct.pack("!i", len(data)) + data)
    return b"".join(parts)


def _columns(body: bytes) -> tuple[Column, ...]:
    count = struct.unpack_from("!h", body)[0]
    columns, at = [], 2
    for _ in range(count):
        end = body.index(0, at)
        table, number, kind, _, modifier, form = struct.unpack_from("!ihihih", body, end + 1)
        columns.append(Column(body[at:end].decode(), table, number, kind, modifier, form))
        at = end + 19
    return tuple(columns)


def _row(body: bytes) -> tuple[bytes | None, ...]:
    count = struct.unpack_from("!h", body)[0]
    values: list[bytes | None] = []
    at = 2
    for _ in range(count):
        size = struct.unpack_from("!i", body, at)[0]
        at += 4
        if size < 0:
            values.append(None)
        else:
            values.append(body[at : at + size])
            at += size
    return tuple(values)


def _fields(body: bytes) -> dict[str, str]:
    return {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}


def _copy_format(body: bytes) -> tuple[int, ...]:
    overall, count = struct.unpack_from("!bh", body)
    return (overall, *struct.unpack_from(f"!{count}h", body, 3))
