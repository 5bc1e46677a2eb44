"""Backend messages: their type bytes, parsed and built.

Knows bytes, not phases, nor what a statement means. Source: PostgreSQL documentation, "Message Formats" and
"Error and Notice Message Fields".
"""

from dataclasses import replace
from struct import Struct
from typing import Final

from pgsoftproxy.errors import Refusal, UpstreamProtocolError
from pgsoftproxy.wire.framing import PASS, Rules

AUTHENTICATION: Final = ord("R")
BACKEND_KEY: Final = ord("K")
BIND_COMPLETE: Final = ord("2")
CLOSE_COMPLETE: Final = ord("3")
COMMAND_COMPLETE: Final = ord("C")
COPY_BOTH: Final = ord("W")
COPY_DATA: Final = ord("d")
COPY_DONE: Final = ord("c")
COPY_IN: Final = ord("G")
COPY_OUT: Final = ord("H")
DATA_ROW: Final = ord("D")
EMPTY_QUERY: Final = ord("I")
ERROR: Final = ord("E")
FUNCTION_RESPONSE: Final = ord("V")
NEGOTIATE: Final = ord("v")
NO_DATA: Final = ord("n")
NOTICE: Final = ord("N")
NOTIFICATION: Final = ord("A")
PARAMETER_DESCRIPTION: Final = ord("t")
PARAMETER_STATUS: Final = ord("S")
PARSE_COMPLETE: Final = ord("1")
PORTAL_SUSPENDED: Final = ord("s")
READY: Final = ord("Z")
ROW_DESCRIPTION: Final = ord("T")

IDLE: Final = ord("I")
FAILED: Final = ord("E")

KEY_BYTES: Final = 4 + 256
"""Of the longest cancel key, that of protocol 3.2, behind the number of its process."""

COUNT_DIGITS: Final = 20
"""Of the longest row count, an unsigned integer of 64 bits."""

AUTHENTICATION_OK = 0
SASL = 10
SASL_CONTINUE = 11
AUTHENTICATION_HEAD = 4096
"""How much of an Authentication message is looked at: a list of mechanisms is a part of it."""
SASL_FINAL = 12

_LIMIT = 0x7FFFFFFF
_WHOLE = _LIMIT
_EMPTY = 4
_INT = Struct(">I")
_HEAD = Struct(">cI")

AUTHENTICATION_RULES = Rules.of(
    UpstreamProtocolError,
    "backend",
    {
        AUTHENTICATION: (_LIMIT, AUTHENTICATION_HEAD),
        NEGOTIATE: (_LIMIT, _WHOLE),
        PARAMETER_STATUS: (_LIMIT, _WHOLE),
        BACKEND_KEY: (4 + KEY_BYTES, KEY_BYTES),
        NOTICE: (_LIMIT, PASS),
        ERROR: (_LIMIT, _WHOLE),
        READY: (_LIMIT, _WHOLE),
    },
)
"""From the startup packet to the first ReadyForQuery."""

READY_RULES = Rules.of(
    UpstreamProtocolError,
    "backend",
    {
        # Rows and the like are never opened; of replies without news, the type says all.
        **{kind: (_LIMIT, PASS) for kind in (DATA_ROW, COPY_DATA, NOTICE, NOTIFICATION)},
        **{
            kind: (_LIMIT, 0)
            for kind in (
                PARAMETER_DESCRIPTION,
                ROW_DESCRIPTION,
                FUNCTION_RESPONSE,
                COPY_IN,
                COPY_OUT,
                COPY_BOTH,
            )
        },
        **{kind: (_LIMIT, _WHOLE) for kind in (COMMAND_COMPLETE, ERROR, PARAMETER_STATUS)},
        # Those without a body have the one length: with another they would swallow what follows.
        **{
            kind: (_EMPTY, 0)
            for kind in (
                PARSE_COMPLETE,
                BIND_COMPLETE,
                CLOSE_COMPLETE,
                NO_DATA,
                EMPTY_QUERY,
                PORTAL_SUSPENDED,
            )
        },
        COPY_DONE: (_EMPTY, PASS),
        READY: (_EMPTY + 1, 1),
    },
)
"""Of an authenticated session."""

PASSING_RULES = Rules.of(UpstreamProtocolError, "backend", {kind: (_LIMIT, PASS) for kind in range(256)})
"""While whatever comes goes on unread: replication."""

READING_RULES = replace(
    READY_RULES,
    wanted=tuple(_WHOLE if kind == DATA_ROW else want for kind, want in enumerate(READY_RULES.wanted)),
)
"""While the proxy itself has asked for rows."""

Fields = list[tuple[int, bytes]]
"""The fields of an ErrorResponse or NoticeResponse in their order: code, value."""

SEVERITY: Final = ord("S")
SEVERITY_PLAIN: Final = ord("V")
SQLSTATE: Final = ord("C")
MESSAGE: Final = ord("M")
DETAIL: Final = ord("D")
HINT: Final = ord("H")
POSITION: Final = ord("P")
SCHEMA: Final = ord("s")
TABLE: Final = ord("t")


def backend_pid(body: bytes) -> int:
    """Return the process id at the head of a BackendKeyData."""
    return int.from_bytes(body[: _INT.size], "big")


def message(kind: int, body: bytes) -> bytes:
    """Build one message."""
    return _HEAD.pack(bytes((kind,)), len(body) + 4) + body


def error_fields(body: bytes) -> Fields:
    """Return the fields of an ErrorResponse's body."""
    fields: Fields = []
    at = 0
    while at < len(body) and body[at]:
        end = body.find(b"\0", at + 1)
        if end < 0:
            break
        fields.append((body[at], body[at + 1 : end]))
        at = end + 1
    if at != len(body) - 1:
        raise UpstreamProtocolError("malformed ErrorResponse from the upstream server")
    return fields


def error(fields: Fields) -> bytes:
    """Build an ErrorResponse."""
    parts = [bytes((code,)) + value + b"\0" for code, value in fields]
    return message(ERROR, b"".join(parts) + b"\0")


def old_error(text: str) -> bytes:
    """Build the ErrorResponse of protocols 1 and 2, which ends the connection."""
    return b"EFATAL:  " + text.encode() + b"\n\0"


def refusal(refused: Refusal, severity: bytes, encoding: str) -> bytes:
    """Build the ErrorResponse that says what `refused` says, in the client's encoding (a Python codec)."""

    def text(value: str) -> bytes:
        return value.encode(encoding, "replace").replace(b"\0", b"?")

    fields: Fields = [
        (SEVERITY, severity),
        (SEVERITY_PLAIN, severity),
        (SQLSTATE, refused.sqlstate.encode()),
        (MESSAGE, text(refused.message)),
    ]
    if refused.detail is not None:
        fields.append((DETAIL, text(refused.detail)))
    if refused.hint is not None:
        fields.append((HINT, text(refused.hint)))
    if refused.position is not None:
        fields.append((POSITION, b"%d" % refused.position))
    return error(fields)


def command_tag(body: bytes) -> bytes:
    """Return the tag of a CommandComplete's body."""
    if body.find(b"\0") != len(body) - 1:
        raise UpstreamProtocolError("malformed CommandComplete from the upstream server")
    return body[:-1]


def command_complete(tag: bytes) -> bytes:
    """Build a CommandComplete."""
    return message(COMMAND_COMPLETE, tag + b"\0")


def tag_rows(tag: bytes) -> int | None:
    """Return the row count in a command tag, None if it has none."""
    count = tag.rpartition(b" ")[2]
    return int(count) if count.isdigit() and len(count) <= COUNT_DIGITS else None


def transaction_status(body: bytes) -> int:
    """Return the status byte of a ReadyForQuery's body."""
    if len(body) != 1 or body not in (b"I", b"T", b"E"):
        raise UpstreamProtocolError("malformed ReadyForQuery from the upstream server")
    return body[0]


def parameter_status(body: bytes) -> tuple[bytes, bytes]:
    """Return name and value of a ParameterStatus' body."""
    parts = body.split(b"\0")
    if len(parts) != 3 or parts[2]:
        raise UpstreamProtocolError("malformed ParameterStatus from the upstream server")
    return parts[0], parts[1]


def authentication_code(body: bytes) -> int:
    """Return which Authentication message this is, from the first bytes of its body."""
    if len(body) < 4:
        raise UpstreamProtocolError("malformed Authentication message from the upstream server")
    code: int = _INT.unpack_from(body)[0]
    return code


def sasl_mechanisms(body: bytes) -> list[bytes]:
    """Return the mechanisms that an AuthenticationSASL offers; none if it is another message."""
    if authentication_code(body) != SASL:
        return []
    names, end, rest = body[4:].partition(b"\0\0")
    if not end or rest:
        raise UpstreamProtocolError("malformed Authentication message from the upstream server")
    return names.split(b"\0")


def sasl(mechanisms: list[bytes]) -> bytes:
    """Build an AuthenticationSASL."""
    names = b"".join(name + b"\0" for name in mechanisms)
    return message(AUTHENTICATION, _INT.pack(SASL) + names + b"\0")


def sasl_message(code: int, data: bytes) -> bytes:
    """Build an AuthenticationSASLContinue or AuthenticationSASLFinal."""
    return message(AUTHENTICATION, _INT.pack(code) + data)


def negotiated(body: bytes) -> tuple[int, frozenset[bytes]]:
    """Return the version (as it stands on the wire) and the unknown options of a NegotiateProtocolVersion."""
    malformed = UpstreamProtocolError("malformed NegotiateProtocolVersion from the upstream server")
    if len(body) < 8:
        raise malformed
    version: int = _INT.unpack_from(body)[0]
    count: int = _INT.unpack_from(body, 4)[0]
    options = body[8:].split(b"\0")
    if len(options) != count + 1 or options[-1]:
        raise malformed
    return version, frozenset(options[:-1])
