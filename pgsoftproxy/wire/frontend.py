"""Frontend messages: their type bytes and limits, parsed and built.

Knows bytes, not phases, nor what a statement means. Source: PostgreSQL documentation, "Message Formats", and
SocketBackend in src/backend/tcop/postgres.c for the limits.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from pgsoftproxy.errors import ClientProtocolError
from pgsoftproxy.wire.framing import PASS, Rules

QUERY: Final = ord("Q")
PARSE: Final = ord("P")
BIND: Final = ord("B")
DESCRIBE: Final = ord("D")
EXECUTE: Final = ord("E")
CLOSE: Final = ord("C")
SYNC: Final = ord("S")
FLUSH: Final = ord("H")
FUNCTION_CALL: Final = ord("F")
TERMINATE: Final = ord("X")
COPY_DATA: Final = ord("d")
COPY_DONE: Final = ord("c")
COPY_FAIL: Final = ord("f")
PASSWORD: Final = ord("p")

SYNC_FRAME: Final = b"S\x00\x00\x00\x04"
FLUSH_FRAME: Final = b"H\x00\x00\x00\x04"

SMALL = 10_000
LARGE = 0x3FFFFFFF - 1
PASSWORD_LIMIT = 65_535
FUNCTION_HEAD = 4
"""How much of a FunctionCall is looked at: the OID of the function."""
BIND_HEAD = 16_384
"""How much of a Bind is looked at: the names of its portal and its statement must end within it."""

SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102
STARTUP_MIN = 8
STARTUP_MAX = 10_004
NO_STARTUP: Final = 0

NO_STRING = "invalid string in message"
TOO_SHORT = "insufficient data left in message"
BAD_FORMAT = "invalid message format"
"""What src/backend/libpq/pqformat.c says of malformed messages."""

_INT = Struct(">I")
_HEAD = Struct(">cI")

_LIMITS = {
    QUERY: LARGE,
    PARSE: LARGE,
    BIND: LARGE,
    FUNCTION_CALL: LARGE,
    COPY_DATA: LARGE,
    DESCRIBE: SMALL,
    EXECUTE: SMALL,
    CLOSE: SMALL,
    SYNC: SMALL,
    FLUSH: SMALL,
    TERMINATE: SMALL,
    COPY_DONE: SMALL,
    COPY_FAIL: SMALL,
}
AUTHENTICATION_RULES = Rules.of(
    ClientProtocolError,
    "frontend",
    {
        **{kind: (limit, 0) for kind, limit in _LIMITS.items()},
        PASSWORD: (PASSWORD_LIMIT, 0),
        TERMINATE: (SMALL, SMALL),
    },
)
"""While authentication goes on: whatever comes is looked at, nothing of its body; a goodbye goes on whole."""

PROOF_RULES = Rules.of(
    ClientProtocolError,
    "frontend",
    {PASSWORD: (PASSWORD_LIMIT, PASSWORD_LIMIT), TERMINATE: (SMALL, SMALL)},
)
"""While the proxy itself asks for a proof: answers, read whole."""


PASSING_RULES = Rules.of(ClientProtocolError, "frontend", {kind: (0x7FFFFFFF, PASS) for kind in range(256)})
"""While whatever comes goes on unread: replication."""


def ready_rules(statement_bytes: int) -> Rules:
    """Return the rules of an authenticated session in which a statement's text is at most so long."""
    whole = statement_bytes + SMALL
    wanted = {
        QUERY: whole,
        PARSE: whole,
        BIND: BIND_HEAD,
        FUNCTION_CALL: FUNCTION_HEAD,
        COPY_DATA: PASS,
        COPY_DONE: 0,
        COPY_FAIL: 0,
    }
    frames = {kind: (limit, wanted.get(kind, SMALL)) for kind, limit in _LIMITS.items()}
    return Rules.of(ClientProtocolError, "frontend", frames)


@dataclass(frozen=True, slots=True)
class StartupPacket:
    """One packet before authentication: its request code or protocol version, and the rest of it."""

    code: int
    body: bytes

    @property
    def version(self) -> tuple[int, int]:
        """Return the protocol version, (major, minor)."""
        return self.code >> 16, self.code & 0xFFFF


def startup_length(data: bytes) -> int | None:
    """Return the length of the untyped packet that begins `data`, None if that is not yet known.

    NO_STARTUP if there is no packet of such a length: another protocol's client, or noise.
    """
    if len(data) < 4:
        return None
    length: int = _INT.unpack_from(data)[0]
    return length if STARTUP_MIN <= length <= STARTUP_MAX else NO_STARTUP


def parse_startup(packet: bytes) -> StartupPacket:
    """Parse a whole untyped packet."""
    return StartupPacket(_INT.unpack_from(packet, 4)[0], packet[8:])


def startup_parameters(body: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the name and value pairs of a StartupMessage in their order."""
    malformed = ClientProtocolError("invalid startup packet layout: expected terminator as last byte")
    if body[-2:] == b"\0\0":
        parts = body[:-2].split(b"\0")
    elif body == b"\0":
        return ()
    else:
        raise malformed
    # A name is never empty (that would be the terminator), a value may be.
    if len(parts) % 2 or not all(parts[::2]):
        raise malformed
    return tuple(zip(parts[::2], parts[1::2], strict=True))


def startup(version: int, parameters: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Build a StartupMessage; `version` as it stands on the wire (major in the upper half)."""
    body = b"".join(name + b"\0" + value + b"\0" for name, value in parameters) + b"\0"
    return _INT.pack(len(body) + 8) + _INT.pack(version) + body


def request(code: int, body: bytes = b"") -> bytes:
    """Build an SSLRequest, GSSENCRequest or CancelRequest."""
    return _INT.pack(len(body) + 8) + _INT.pack(code) + body


def cancel_request(key: bytes) -> bytes:
    """Build the CancelRequest for the body of a BackendKeyData."""
    return request(CANCEL_REQUEST, key)


def message(kind: int, body: bytes) -> bytes:
    """Build one typed message."""
    return _HEAD.pack(bytes((kind,)), len(body) + 4) + body


def query(text: bytes) -> bytes:
    """Build a Query."""
    return _HEAD.pack(b"Q", len(text) + 5) + text + b"\0"


def parse(name: bytes, text: bytes, tail: bytes = b"\0\0") -> bytes:
    """Build a Parse; `tail` is its list of parameter types as it stands on the wire."""
    return message(PARSE, name + b"\0" + text + b"\0" + tail)


def bind(portal: bytes, statement: bytes, tail: bytes = b"\0\0\0\0\0\0") -> bytes:
    """Build a Bind; `tail` holds formats and values as on the wire (by default: no parameters, text results)."""
    return message(BIND, portal + b"\0" + statement + b"\0" + tail)


def describe(what: bytes, name: bytes) -> bytes:
    """Build a Describe of a statement (`S`) or a portal (`P`)."""
    return message(DESCRIBE, what + name + b"\0")


def execute(portal: bytes, rows: int = 0) -> bytes:
    """Build an Execute; 0 rows means all."""
    return message(EXECUTE, portal + b"\0" + _INT.pack(rows))


def close(what: bytes, name: bytes) -> bytes:
    """Build a Close of a statement (`S`) or a portal (`P`)."""
    return message(CLOSE, what + name + b"\0")


def query_text(body: bytes) -> bytes | str:
    """Return the text of a Query's body, or what the server would say is wrong with it."""
    end = body.find(b"\0")
    if end < 0:
        return NO_STRING
    return body[:-1] if end == len(body) - 1 else BAD_FORMAT


def parse_parts(body: bytes) -> tuple[bytes, bytes, bytes] | str:
    """Return name, text and list of parameter types of a Parse's body, or what the server would say is wrong."""
    name = body.find(b"\0")
    end = body.find(b"\0", name + 1)
    if name < 0 or end < 0:
        return NO_STRING
    types = body[end + 1 :]
    excess = len(types) - 2 - 4 * int.from_bytes(types[:2], "big")
    if len(types) < 2 or excess < 0:
        return TOO_SHORT
    return BAD_FORMAT if excess else (body[:name], body[name + 1 : end], types)


def bind_names(data: bytes, begin: int, end: int) -> tuple[bytes, bytes] | None:
    """Return portal and statement name of the Bind whose body is at `data[begin:end]`, None if they do not end."""
    portal = data.find(b"\0", begin, end)
    statement = data.find(b"\0", portal + 1, end)
    if portal < 0 or statement < 0:
        return None
    return data[begin:portal], data[portal + 1 : statement]


def target(body: bytes) -> tuple[int, bytes] | None:
    """Return what a Describe or Close is about: `ord("S")` or `ord("P")`, and a name; None if it is malformed."""
    if len(body) < 2 or body[0] not in b"SP" or body.find(b"\0", 1) != len(body) - 1:
        return None
    return body[0], body[1:-1]


def execute_portal(body: bytes) -> bytes | None:
    """Return the portal that an Execute names, None if it is malformed."""
    end = body.find(b"\0")
    return body[:end] if 0 <= end == len(body) - 5 else None
