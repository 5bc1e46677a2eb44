"""Who may come in, how many at once, and how everybody leaves: the listening socket and the drain.

Must not know what a session says. A cancel request is heard also when no session more is admitted.
"""

import asyncio
import errno
import resource
import socket
from collections.abc import Collection, Iterable

from pgsoftproxy.errors import ProxyError, UpstreamUnavailable
from pgsoftproxy.kernel import Wire
from pgsoftproxy.ops.metrics import RefusedBecause
from pgsoftproxy.proxy.bounds import NOWHERE, Admission, Elsewhere, Visit, too_many
from pgsoftproxy.proxy.pair import LINGER_SECONDS
from pgsoftproxy.proxy.refusals import shutdown
from pgsoftproxy.proxy.relay import Relay
from pgsoftproxy.proxy.services import Services
from pgsoftproxy.proxy.sockets import Share, bind
from pgsoftproxy.session.door import LOCAL

AT_ONCE = 64
"""How many connections are accepted before the sessions have their turn again."""
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
PAUSE_SECONDS = 1.0
"""How long nobody is accepted when the process, or the machine, has no more files or memory."""
UNADMITTED = 100
"""Connections beyond the limit that are heard out: cancel requests, and clients to be refused in due form."""
SPARE_FILES = 64


class Listener:
    """Accept clients, hold their sessions, end them in order."""

    def __init__(self, services: Services, elsewhere: Elsewhere = NOWHERE) -> None:
        self._services = services
        self._admission = Admission(services.bounds, elsewhere)
        self._figures = services.reporter.metrics.figures
        self._relays: set[Relay] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._sockets: list[socket.socket] = []

    def open(self, host: str, port: int, passed: Share = ()) -> int:
        """Listen, on the sockets that were passed if any were; return the real port.

        Raises ConfigError if the address cannot be had.
        """
        sockets = passed or bind(host, port, 1)[0]
        self.take(sockets)
        return int(sockets[0].getsockname()[1])

    def take(self, sockets: Iterable[socket.socket]) -> None:
        """Accept clients from these listening sockets, too."""
        for sock in sockets:
            self._sockets.append(sock)
            asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    def leave(self, sockets: Iterable[socket.socket]) -> None:
        """Accept no more clients from these; they stay open, as others accept there."""
        for sock in sockets:
            self._sockets.remove(sock)
            if sock not in self._sockets:  # a share of another worker may be the same socket
                asyncio.get_running_loop().remove_reader(sock)

    def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(AT_ONCE):
            try:
                client, place = sock.accept()
            except OSError as error:
                if error.errno in EXHAUSTED:
                    loop.remove_reader(sock)
                    loop.call_later(PAUSE_SECONDS, self._accept_again, sock)
                return  # nobody waits any more, or who did is gone
            client.setblocking(False)
            relay = Relay(self._services, self, place[0])
            relay.connection_made(
                Wire(loop, client, relay, self._figures.bytes_from_client, from_client=True)
            )

    def _accept_again(self, sock: socket.socket) -> None:
        if sock in self._sockets:
            asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    async def drain(self, seconds: float) -> int:
        """Stop accepting, end each session when it is idle; after `seconds`, end the rest.

        Return how many had to be ended in the midst of something.
        """
        self.stop_accepting()
        for relay in list(self._relays):
            relay.drain()
        await self._emptied(seconds)
        rest = len(self._admission)
        for relay in list(self._relays):
            relay.end(shutdown())
        await self._emptied(LINGER_SECONDS + 1.0)
        self.abort()
        return rest

    def stop_accepting(self) -> None:
        """Close the listening socket; sessions go on."""
        self._figures.draining = True
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._sockets.clear()

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

    def relays(self) -> Collection[Relay]:
        """Return the sessions of now, those that are still logging in included."""
        return self._relays

    # Gate

    def arrived(self, relay: Relay) -> ProxyError | None:
        """Note a connection; return why it cannot even be heard, if so."""
        self._relays.add(relay)
        self._empty.clear()
        self._figures.connections += 1
        self._figures.connections_open = len(self._relays)
        if self._figures.draining:
            return self._refused(RefusedBecause.DRAINING, UpstreamUnavailable("pgsoftproxy is shutting down"))
        if len(self._relays) > self._services.bounds.now.connections.all + UNADMITTED:
            return self._refused(RefusedBecause.LIMIT, too_many())
        return None

    def admit(self, relay: Relay) -> ProxyError | None:
        """Return why this client cannot become a session, if so."""
        address = None if relay.host == LOCAL else relay.host
        visit = Visit(relay.session.user, relay.session.database, address)
        refusal = self._admission.admit(relay, visit)
        return None if refusal is None else self._refused(*refusal)

    def left(self, relay: Relay) -> None:
        """Note that both connections of a session are closed."""
        self._relays.discard(relay)
        self._admission.left(relay)
        self._figures.connections_open = len(self._relays)
        if not self._relays:
            self._empty.set()

    def _refused(self, reason: RefusedBecause, error: ProxyError) -> ProxyError:
        self._services.reporter.connection_refused(reason, error)
        return error


def raise_file_limit(connections: int) -> None:
    """Let this process have files enough for so many sessions, as far as the hard limit allows."""
    wanted = 2 * (connections + UNADMITTED) + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
