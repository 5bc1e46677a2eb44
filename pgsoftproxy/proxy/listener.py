"""Who may come in, how many at once, and how everybody leaves: the listening socket and the drain.

Must not know what a session says. A cancel request is heard also when no session more is admitted.
"""

import asyncio

from pgsoftproxy.errors import ConfigError, ProxyError, UpstreamUnavailable
from pgsoftproxy.ops.metrics import RefusedBecause
from pgsoftproxy.proxy.pair import LINGER_SECONDS
from pgsoftproxy.proxy.relay import Relay, shutdown
from pgsoftproxy.proxy.services import Services

BACKLOG = 1024
UNADMITTED = 100
"""Connections beyond the limit that are heard out: cancel requests, and clients to be refused in due form."""


class Listener:
    """Accept clients, hold their sessions, end them in order."""

    def __init__(self, services: Services, connections: int) -> None:
        self._services = services
        self._connections = connections
        self._figures = services.reporter.metrics.figures
        self._relays: set[Relay] = set()
        self._admitted: set[Relay] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen; return the real port. Raises ConfigError if the address cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Relay(self._services, self), host, port, backlog=BACKLOG, reuse_address=True
            )
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError((f"listen: cannot listen on {host}:{port}: {reason}",)) from error
        return int(self._server.sockets[0].getsockname()[1])

    async def drain(self, seconds: float) -> int:
        """Stop accepting, end each session when it is idle; after `seconds`, end the rest.

        Return how many had to be ended in the midst of something.
        """
        self.stop_accepting()
        for relay in list(self._relays):
            relay.drain()
        await self._emptied(seconds)
        rest = list(self._admitted)
        for relay in list(self._relays):
            relay.end(shutdown())
        await self._emptied(LINGER_SECONDS + 1.0)
        self.abort()
        return len(rest)

    def stop_accepting(self) -> None:
        """Close the listening socket; sessions go on."""
        self._figures.draining = True
        if self._server is not None:
            self._server.close()

    def abort(self) -> None:
        """Drop all connections now."""
        for relay in list(self._relays):
            relay.abort()

    async def _emptied(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return

    # Gate

    def arrived(self, relay: Relay) -> ProxyError | None:
        """Note a connection; return why it cannot even be heard, if so."""
        self._relays.add(relay)
        self._empty.clear()
        self._figures.connections += 1
        self._figures.connections_open = len(self._relays)
        if self._figures.draining:
            return self._refused(RefusedBecause.DRAINING, UpstreamUnavailable("pgsoftproxy is shutting down"))
        if len(self._relays) > self._connections + UNADMITTED:
            return self._refused(RefusedBecause.LIMIT, _too_many())
        return None

    def admit(self, relay: Relay) -> ProxyError | None:
        """Return why this client cannot become a session, if so."""
        if len(self._admitted) >= self._connections:
            return self._refused(RefusedBecause.LIMIT, _too_many())
        self._admitted.add(relay)
        return None

    def left(self, relay: Relay) -> None:
        """Note that both connections of a session are closed."""
        self._relays.discard(relay)
        self._admitted.discard(relay)
        self._figures.connections_open = len(self._relays)
        if not self._relays:
            self._empty.set()

    def _refused(self, reason: RefusedBecause, error: ProxyError) -> ProxyError:
        self._services.reporter.connection_refused(reason, error)
        return error


def _too_many() -> ProxyError:
    return ProxyError(
        "sorry, too many clients already",
        hint="The limit is limits.connections of the proxy's configuration.",
        sqlstate="53300",
    )
