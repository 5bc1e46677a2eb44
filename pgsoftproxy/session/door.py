"""What a connection must bring before it may become a session, and what it has brought: encryption, a certificate.

Values and one judgement, in the words of ClientAuthentication in src/backend/libpq/auth.c. Must not know bytes.
"""

from dataclasses import dataclass
from enum import Enum

from pgsoftproxy.errors import ProxyError

REFUSED = "28000"
LOCAL = "[local]"
"""What stands for the address of a client on a socket in the file system."""


class TlsMode(Enum):
    """How a connection may, or must, be encrypted, by libpq's names.

    To those who connect to us ALLOW and PREFER are one: whoever asks for encryption gets it.
    """

    DISABLE = "disable"
    ALLOW = "allow"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


MUST_ENCRYPT = frozenset({TlsMode.REQUIRE, TlsMode.VERIFY_CA, TlsMode.VERIFY_FULL})
MUST_CERTIFY = frozenset({TlsMode.VERIFY_CA, TlsMode.VERIFY_FULL})


class Method(Enum):
    """Who authenticates a client: the server, through us, or the proxy itself."""

    RELAY = "relay"
    SCRAM = "scram"


@dataclass(frozen=True, slots=True)
class Secured:
    """What is known of an encrypted client; `names` are those of its certificate if that has been verified.

    `binding` is what a proof may be bound to, the hash of the certificate that we have shown.
    """

    names: frozenset[str] = frozenset()
    verified: bool = False
    alpn: str | None = None
    binding: bytes | None = None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who has connected, from where, and how."""

    host: str = LOCAL
    secured: Secured | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """What is asked of everybody."""

    tls: TlsMode = TlsMode.DISABLE
    method: Method = Method.RELAY

    def judge(self, visitor: Visitor, user: str, database: str) -> Method:
        """Return how this visitor logs in as that user; raises ProxyError (28000) if it may not even try."""
        secured = visitor.secured
        if secured is None:
            if self.tls in MUST_ENCRYPT:
                raise no_entry(visitor, user, database)
        elif self.tls in MUST_CERTIFY and not secured.verified:
            raise ProxyError("connection requires a valid client certificate", sqlstate=REFUSED)
        elif self.tls is TlsMode.VERIFY_FULL and user not in secured.names:
            raise ProxyError(f'certificate authentication failed for user "{user}"', sqlstate=REFUSED)
        return self.method


def no_entry(visitor: Visitor, user: str, database: str) -> ProxyError:
    """Return the error for whom no rule lets in."""
    encryption = "no encryption" if visitor.secured is None else "SSL encryption"
    return ProxyError(
        f'no pg_hba.conf entry for host "{visitor.host}", user "{user}", database "{database}", {encryption}',
        sqlstate=REFUSED,
    )
