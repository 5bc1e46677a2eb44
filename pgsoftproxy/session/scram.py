"""SCRAM-SHA-256, both sides of it: RFC 5802, 5803 and 7677, in the dialect and the words of PostgreSQL.

Pure: nonces and salts come from outside. Nothing here shows a key in its repr. Source: src/backend/libpq/auth-scram.c
and src/interfaces/libpq/fe-auth-scram.c. Why not by a library: docs/decisions/0013.
"""

import base64
import binascii
import re
import stringprep
import unicodedata
from dataclasses import dataclass, field
from hashlib import pbkdf2_hmac, sha256
from hmac import compare_digest
from hmac import digest as _digest

from pgsoftproxy.errors import ClientProtocolError, ProxyError, UpstreamProtocolError

SCRAM = b"SCRAM-SHA-256"
SCRAM_PLUS = b"SCRAM-SHA-256-PLUS"
BINDING = b"tls-server-end-point"
ITERATIONS = 4096
MOST_ITERATIONS = 1_000_000
"""What a server may ask of us: some half a second of this process."""
_KEY_BYTES = 32
_VERIFIER = re.compile(
    r"SCRAM-SHA-256\$([1-9][0-9]{0,9}):([A-Za-z0-9+/]+=*)\$([A-Za-z0-9+/]+=*):([A-Za-z0-9+/]+=*)"
)
_NONCE = re.compile(rb"[\x21-\x2b\x2d-\x7e]+")


@dataclass(frozen=True, slots=True)
class Verifier:
    """What is stored of a password: enough to verify it, not enough to log in by it."""

    iterations: int
    salt: bytes = field(repr=False)
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """What a client has proven to know: enough to log in wherever the same verifier is stored."""

    client_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def parse_verifier(text: str) -> Verifier | None:
    """Read a verifier as `pg_authid.rolpassword` has it; None if it is none."""
    found = _VERIFIER.fullmatch(text)
    if found is None:
        return None
    try:
        salt, stored, server = (base64.b64decode(part, validate=True) for part in found.groups()[1:])
    except binascii.Error:
        return None
    if len(stored) != _KEY_BYTES or len(server) != _KEY_BYTES:
        return None
    return Verifier(int(found[1]), salt, stored, server)


def verifier_of(password: str, salt: bytes, iterations: int = ITERATIONS) -> Verifier:
    """Return the verifier of a password."""
    keys = keys_of(password, salt, iterations)
    return Verifier(iterations, salt, sha256(keys.client_key).digest(), keys.server_key)


def keys_of(password: str, salt: bytes, iterations: int) -> Keys:
    """Return the keys of a password."""
    salted = pbkdf2_hmac("sha256", prepared(password), salt, iterations)
    return Keys(_hmac(salted, b"Client Key"), _hmac(salted, b"Server Key"))


def mock_salt(key: bytes, user: str) -> bytes:
    """Return the salt of a user who does not exist: always the same, as if he did."""
    return _hmac(key, user.encode(errors="surrogateescape"))[:16]


def mock_verifier(key: bytes, user: str) -> Verifier:
    """Return a verifier that no password satisfies."""
    never = _hmac(key, b"never " + user.encode(errors="surrogateescape"))
    return Verifier(ITERATIONS, mock_salt(key, user), never, never)


def prepared(password: str) -> bytes:
    """Return a password's bytes as SASLprep has them (RFC 4013); as they are where it does not hold, as PostgreSQL."""
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in password
        if not stringprep.in_table_b1(char)
    )
    text = unicodedata.normalize("NFKC", mapped)
    randal = [stringprep.in_table_d1(char) for char in text]
    mixed = any(randal) and (
        not (randal[0] and randal[-1]) or any(stringprep.in_table_d2(char) for char in text)
    )
    if not text or mixed or any(_prohibited(char) for char in text):
        return password.encode(errors="surrogateescape")
    return text.encode()


def _prohibited(char: str) -> bool:
    return any(
        table(char)
        for table in (
            stringprep.in_table_a1, stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3,
            stringprep.in_table_c4, stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7,
            stringprep.in_table_c8, stringprep.in_table_c9,
        )
    )  # fmt: skip


class ScramServer:
    """Verify one client. `binding` is the hash of our certificate, None where the channel cannot be bound."""

    def __init__(self, verifier: Verifier, nonce: bytes, binding: bytes | None) -> None:
        self._verifier = verifier
        self._nonce = nonce
        self._binding = binding
        self._header = b""
        self._first = b""

    @property
    def mechanisms(self) -> list[bytes]:
        """Return what is offered, the best first."""
        return [SCRAM] if self._binding is None else [SCRAM_PLUS, SCRAM]

    def first(self, mechanism: bytes, message: bytes) -> bytes:
        """Take the client's first message; return ours. Raises ClientProtocolError, and ProxyError (28000)."""
        if mechanism not in self.mechanisms:
            raise ClientProtocolError("client selected an invalid SASL authentication mechanism")
        flag, comma, rest = message.partition(b",")
        authorization, second, bare = rest.partition(b",")
        self._check_flag(flag, plus=mechanism == SCRAM_PLUS)
        if authorization or not (comma and second):
            raise _malformed()
        parts = bare.split(b",")
        if len(parts) < 2 or parts[0][:2] != b"n=" or parts[1][:2] != b"r=":
            raise _malformed()
        theirs = parts[1][2:]
        if not _NONCE.fullmatch(theirs):
            raise _malformed()
        self._header = flag + b",,"
        self._nonce = theirs + self._nonce
        salt = base64.b64encode(self._verifier.salt)
        answer = b"r=%b,s=%b,i=%d" % (self._nonce, salt, self._verifier.iterations)
        self._first = bare + b"," + answer
        return answer

    def _check_flag(self, flag: bytes, *, plus: bool) -> None:
        if flag == b"y" and not plus:
            if self._binding is not None:
                # He has not seen our offer: somebody took it away.
                raise ProxyError("SCRAM channel binding negotiation error", sqlstate="28000")
        elif flag[:2] == b"p=" and plus:
            if flag[2:] != BINDING:
                raise ClientProtocolError("unsupported SCRAM channel-binding type")
        elif flag != b"n" or plus:
            raise _malformed()

    def final(self, message: bytes) -> tuple[bytes, Keys] | None:
        """Take the client's proof; return our last message and its keys, None if it does not prove anything.

        Raises ClientProtocolError, and ProxyError (28000).
        """
        without, comma, proof_text = message.rpartition(b",p=")
        parts = without.split(b",")
        if not comma or len(parts) < 2 or parts[0][:2] != b"c=" or parts[1][:2] != b"r=":
            raise _malformed()
        proof = _decoded(proof_text)
        if len(proof) != _KEY_BYTES:
            raise _malformed()
        expected = self._header + (self._binding or b"" if self._header[:1] == b"p" else b"")
        if not compare_digest(_decoded(parts[0][2:]), expected):
            raise ProxyError("SCRAM channel binding check failed", sqlstate="28000")
        if not compare_digest(parts[1][2:], self._nonce):
            raise ClientProtocolError("invalid SCRAM response")
        said = self._first + b"," + without
        signature = _hmac(self._verifier.stored_key, said)
        client_key = _xor(proof, signature)
        if not compare_digest(sha256(client_key).digest(), self._verifier.stored_key):
            return None
        ours = base64.b64encode(_hmac(self._verifier.server_key, said))
        return b"v=" + ours, Keys(client_key, self._verifier.server_key)


class ScramClient:
    """Log in to a server by keys, or by a password. The channel is not bound."""

    def __init__(self, secret: "Keys | str", nonce: bytes) -> None:
        self._secret = secret
        self._nonce = nonce
        self._expected = b""

    def first(self) -> bytes:
        """Return the first message."""
        return b"n,,n=,r=" + self._nonce

    def final(self, message: bytes) -> bytes:
        """Take the server's first message; return the proof. Raises UpstreamProtocolError."""
        parts = message.split(b",")
        if len(parts) < 3 or [part[:2] for part in parts[:3]] != [b"r=", b"s=", b"i="]:
            raise _bad_server()
        nonce, salt_text, count = (part[2:] for part in parts[:3])
        if not nonce.startswith(self._nonce) or nonce == self._nonce or not count.isdigit():
            raise _bad_server()
        iterations = int(count) if len(count) < 10 else 0
        if not 0 < iterations <= MOST_ITERATIONS:
            raise _bad_server()
        keys = self._secret
        if isinstance(keys, str):
            try:
                keys = keys_of(keys, base64.b64decode(salt_text, validate=True), iterations)
            except binascii.Error:
                raise _bad_server() from None
        without = b"c=" + base64.b64encode(b"n,,") + b",r=" + nonce
        said = b"n=,r=" + self._nonce + b"," + message + b"," + without
        proof = _xor(keys.client_key, _hmac(sha256(keys.client_key).digest(), said))
        self._expected = base64.b64encode(_hmac(keys.server_key, said))
        return without + b",p=" + base64.b64encode(proof)

    def check(self, message: bytes) -> None:
        """Take the server's last message; raises UpstreamProtocolError if it does not know the verifier either."""
        if not self._expected or not compare_digest(message, b"v=" + self._expected):
            raise UpstreamProtocolError("the upstream server did not prove that it knows the password")


def _hmac(key: bytes, message: bytes) -> bytes:
    return _digest(key, message, "sha256")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise _malformed() from None


def _malformed() -> ClientProtocolError:
    return ClientProtocolError("malformed SCRAM message")


def _bad_server() -> UpstreamProtocolError:
    return UpstreamProtocolError("malformed SCRAM message from the upstream server")
