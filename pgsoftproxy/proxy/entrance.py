"""The way in for clients, as it is now: what is asked of them, the certificate they see, what they are verified by.

A reload puts another way in its place; whoever is inside already keeps theirs. Must not know what a session says.
"""

import asyncio
import base64
import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pgsoftproxy.errors import ProxyError, UpstreamUnavailable
from pgsoftproxy.kernel import Wire
from pgsoftproxy.ops.metrics import RefusedBecause
from pgsoftproxy.ops.reporter import Reporter
from pgsoftproxy.proxy.certificates import Shown
from pgsoftproxy.proxy.refusals import password_failed, unverifiable
from pgsoftproxy.proxy.tls import Handshake, Tls
from pgsoftproxy.proxy.users import Secret, secret_of
from pgsoftproxy.proxy.wires import Owner
from pgsoftproxy.session.door import Door, Secured, Visitor
from pgsoftproxy.session.phase import Need
from pgsoftproxy.session.proof import Challenge
from pgsoftproxy.session.scram import mock_verifier
from pgsoftproxy.session.session import Session

Ask = Callable[[str, str], Awaitable[str | None]]
"""Return what a query has for a user; raises UpstreamUnavailable."""


@dataclass(frozen=True, slots=True)
class Way:
    """What new clients meet; `shown` is None where nobody is to encrypt.

    Users who are not in `users` are asked for by `query`, if there is one. `mock_key` makes what unknown ones are
    asked by; `delay` is how many seconds a failed one waits.
    """

    door: Door = field(default_factory=Door)
    shown: Shown | None = None
    users: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    query: str = ""
    mock_key: bytes = field(default=b"", repr=False)
    delay: float = 0.0


class Entrance:
    """The way in; `reporter` is told of what fails, `ask` is asked of users who are in no file."""

    def __init__(
        self,
        way: Way | None = None,
        reporter: Reporter | None = None,
        ask: Ask | None = None,
    ) -> None:
        self.way = way or Way()  # for those who come from now on
        self._reporter = reporter
        self._ask = ask

    def secure(self, wire: Wire, owner: Owner, tell: Callable[[Secured], None]) -> Tls:
        """Return a client's connection as it is encrypted, once it is started; `tell` when that is done."""
        shown = self.way.shown
        assert shown is not None, "nobody is told to encrypt without one"

        def done(failed: ssl.SSLError | None) -> None:
            if failed is None:
                tell(secured_by(tls.peer, tls.alpn, shown.binding))
            elif self._reporter is not None:
                self._reporter.tls_failed(failed.reason or type(failed).__name__)

        tls = Tls(wire, owner, Handshake(shown.context, server_side=True), done)
        wire.own(tls)
        return tls

    async def prove(
        self,
        session: Session,
        answer: Callable[[Callable[[], None]], None],
        refuse: Callable[[RefusedBecause, ProxyError], None],
    ) -> None:
        """Do what Need.CHALLENGE or Need.REJECT asks for: `answer` the session, or `refuse` it, late if it failed."""
        if session.need is Need.REJECT:
            await asyncio.sleep(self.way.delay)
            refuse(RefusedBecause.AUTHENTICATION, password_failed(session.user))
            return
        try:
            challenge = await self._challenge(session.user, session.packets.visitor)
        except UpstreamUnavailable as error:
            refuse(RefusedBecause.AUTHENTICATION, error)
        else:
            answer(lambda: session.challenged(challenge))

    async def _challenge(self, user: str, visitor: Visitor) -> Challenge:
        way = self.way
        found = way.users.get(user)
        if found is None and way.query and self._ask is not None:
            try:
                text = await self._ask(way.query, user)
            except UpstreamUnavailable as error:
                if self._reporter is not None:
                    self._reporter.auth_query_failed(error)
                raise unverifiable(user) from error
            found = None if text is None else secret_of(user, text, way.mock_key)
        return Challenge(
            mock_verifier(way.mock_key, user) if found is None else found.verifier,
            _nonce(),
            None if visitor.secured is None else visitor.secured.binding,
            None if found is None else found.password,
            _nonce(),
        )


def secured_by(certificate: dict[str, Any], alpn: str | None, binding: bytes | None = None) -> Secured:
    """Return what a client's certificate, as `ssl` decodes a verified one, says of it.

    Its names are the first common name, as the server takes it, and what is listed beside it: host and mail names.
    """
    subject = [
        value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"
    ]
    beside = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "email")]
    return Secured(frozenset((*subject[:1], *beside)), bool(certificate), alpn, binding)


def _nonce() -> bytes:
    return base64.b64encode(secrets.token_bytes(18))
