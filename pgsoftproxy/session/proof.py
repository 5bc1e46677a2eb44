"""Authentication where the proxy itself takes part: a client that must prove itself, then our own login upstream.

Knows the messages of SASL, not where secrets come from. Nothing here shows a secret in its repr.
"""

from dataclasses import dataclass, field
from struct import Struct

from pgsoftproxy.errors import ClientProtocolError, UpstreamProtocolError
from pgsoftproxy.kernel import Scanner
from pgsoftproxy.session.login import Authentication
from pgsoftproxy.session.phase import Event
from pgsoftproxy.session.scram import SCRAM, Keys, ScramClient, ScramServer, Verifier
from pgsoftproxy.session.startup import Startup
from pgsoftproxy.wire import backend, frontend

_LENGTH = Struct(">i")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a client is asked by: the verifier of its password, or one that nobody can satisfy.

    `password` is the one to log in upstream with, if it is known; else what the client proves will do.
    """

    verifier: Verifier
    nonce: bytes
    binding: bytes | None = None
    password: str | None = field(default=None, repr=False)
    upstream_nonce: bytes = b""


class Proof:
    """One client's exchange: `secret` is what to log in upstream with once it has succeeded."""

    def __init__(self, challenge: Challenge) -> None:
        self._challenge = challenge
        self._server = ScramServer(challenge.verifier, challenge.nonce, challenge.binding)
        self._begun = False
        self.secret: Keys | str | None = None

    def request(self) -> bytes:
        """Return the first message to the client."""
        return backend.sasl(self._server.mechanisms)

    def read(self, scanner: Scanner, to_client: list[bytes]) -> Event | None:
        """Take the client's answers; return what they lead to. Raises ProxyError if they are no such thing."""
        while kind := scanner.next():
            scanner.drop()
            if kind == frontend.TERMINATE:
                return Event.END
            body = scanner.body()
            if not self._begun:
                self._begun = True
                answer = self._server.first(*_initial(body))
                to_client.append(backend.sasl_message(backend.SASL_CONTINUE, answer))
                continue
            proven = self._server.final(body)
            if proven is None:
                return Event.DISPROVEN
            to_client.append(backend.sasl_message(backend.SASL_FINAL, proven[0]))
            self.secret = self._challenge.password or proven[1]
            return Event.PROVEN
        return None

    def login(self, startup: Startup, to_upstream: list[bytes], *, other_way: bool) -> "OwnLogin":
        """Return the login upstream as this client."""
        assert self.secret is not None
        client = ScramClient(self.secret, self._challenge.upstream_nonce)
        return OwnLogin(startup, client, to_upstream, other_way=other_way)


class OwnLogin(Authentication):
    """Log in upstream by a secret of our own; the client sees that it has succeeded, and nothing else of it."""

    def __init__(
        self, startup: Startup, client: ScramClient, to_upstream: list[bytes], *, other_way: bool
    ) -> None:
        super().__init__(startup, other_way=other_way)
        self._client = client
        self._to_upstream = to_upstream
        self._checked = False
        self._asked = False

    def _client_may_send(self, kind: int) -> bool:
        return False

    def read_upstream(self, kind: int, body: bytes) -> bytes | None:
        """Answer the server; return what the client is told instead. Raises UpstreamProtocolError."""
        super().read_upstream(kind, body)
        if kind != backend.AUTHENTICATION:
            return None
        rest = body[4:]
        match backend.authentication_code(body):
            case backend.AUTHENTICATION_OK:
                if self._asked and not self._checked:
                    raise UpstreamProtocolError(
                        "the upstream server did not prove that it knows the password"
                    )
                return None
            case backend.SASL if SCRAM in backend.sasl_mechanisms(body) and not self._asked:
                self._asked = True
                first = self._client.first()
                self._send(SCRAM + b"\0" + _LENGTH.pack(len(first)) + first)
            case backend.SASL_CONTINUE if self._asked:
                self._send(self._client.final(rest))
            case backend.SASL_FINAL if self._asked:
                self._client.check(rest)
                self._checked = True
            case _:
                raise UpstreamProtocolError(
                    "the upstream server asks for another method than SCRAM-SHA-256 to log in"
                )
        return b""

    def _send(self, body: bytes) -> None:
        self._to_upstream.append(frontend.message(frontend.PASSWORD, body))


def _initial(body: bytes) -> tuple[bytes, bytes]:
    """Return mechanism and data of a SASLInitialResponse."""
    mechanism, _, rest = body.partition(b"\0")
    if len(rest) < 4 or _LENGTH.unpack_from(rest)[0] != len(rest) - 4:
        raise ClientProtocolError("malformed SCRAM message")
    return mechanism, rest[4:]
