"""Who decides which clients become sessions, as a session sees it. A contract only; `listener` keeps it."""

from typing import TYPE_CHECKING, Protocol

from pgsoftproxy.errors import ProxyError

if TYPE_CHECKING:
    from pgsoftproxy.proxy.relay import Relay


class Gate(Protocol):
    """Who decides whether a client may become a session, and is told when it is gone."""

    def arrived(self, relay: "Relay") -> ProxyError | None:
        """Note a connection; return why it cannot even be heard, if so."""

    def admit(self, relay: "Relay") -> ProxyError | None:
        """Return why this client cannot become a session, if so."""

    def left(self, relay: "Relay") -> None:
        """Note that both connections are closed."""
