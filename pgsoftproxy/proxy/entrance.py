"""The way in for clients, as it is now: what is asked of them, and the certificate that the proxy shows them.

A reload puts another door and another certificate in place; whoever is inside already keeps theirs. Must not know what
a session says.
"""

import ssl
from collections.abc import Callable
from typing import Any

from pgsoftproxy.kernel import Wire
from pgsoftproxy.proxy.tls import Handshake, Tls
from pgsoftproxy.proxy.wires import Owner
from pgsoftproxy.session.door import Door, Secured

EVERYBODY = Door()


class Entrance:
    """What new clients meet; `context` is None where nobody is to encrypt."""

    def __init__(
        self,
        door: Door = EVERYBODY,
        context: ssl.SSLContext | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.door = door
        self._context = context
        self._report = report

    def replace(self, door: Door, context: ssl.SSLContext | None) -> None:
        """Put others in place for those who come from now on."""
        self.door = door
        self._context = context

    def secure(self, wire: Wire, owner: Owner, tell: Callable[[Secured], None]) -> Tls:
        """Return a client's connection as it is encrypted, once it is started; `tell` when that is done."""
        assert self._context is not None, "nobody is told to encrypt without one"

        def done(failed: ssl.SSLError | None) -> None:
            if failed is None:
                tell(secured_by(tls.peer, tls.alpn))
            elif self._report is not None:
                self._report(failed.reason or type(failed).__name__)

        tls = Tls(wire, owner, Handshake(self._context, server_side=True), done)
        wire.own(tls)
        return tls


def secured_by(certificate: dict[str, Any], alpn: str | None) -> Secured:
    """Return what a client's certificate, as `ssl` decodes a verified one, says of it.

    Its names are the first common name, as the server takes it, and what is listed beside it: host and mail names.
    """
    subject = [
        value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"
    ]
    beside = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "email")]
    return Secured(frozenset((*subject[:1], *beside)), verified=bool(certificate), alpn=alpn)
