"""Connections to the upstream server: which host, how long to try, socket options.

Must not know sessions or messages; a cancel request is just bytes to deliver.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol

from pgsoftproxy.errors import UpstreamUnavailable
from pgsoftproxy.kernel import Wire
from pgsoftproxy.ops.logs import Logger, Once
from pgsoftproxy.ops.metrics import Metrics
from pgsoftproxy.proxy import wires
from pgsoftproxy.proxy.encryption import Encryption, Waiting
from pgsoftproxy.proxy.tls import Tls
from pgsoftproxy.proxy.wires import Connection
from pgsoftproxy.session.door import TlsMode

KEEPALIVE_IDLE_SECONDS = 60
REPEAT_SECONDS = 10.0
IN_CLEAR = Encryption()
_SO_FAR = frozenset({0, errno.EINPROGRESS})
_DONE = frozenset({0, errno.EISCONN})


@dataclass(frozen=True, slots=True)
class Address:
    """Where the upstream server is; a host that starts with "/" is a socket directory."""

    hosts: tuple[str, ...]
    port: int
    connect_timeout: float = 10.0


class Upstream:
    """Open connections to the first host that accepts one."""

    def __init__(
        self, address: Address, metrics: Metrics, logger: Logger, encryption: Encryption = IN_CLEAR
    ) -> None:
        self.encryption = encryption  # a reload puts another in its place
        self._address = address
        self._metrics = metrics
        self._logger = logger
        self._repeats = Once(REPEAT_SECONDS, time.monotonic)
        self._near = _near(address)

    async def connect(self, side: "Side", *, again: bool = False) -> Connection:
        """Return a new connection, which tells its side. Raises UpstreamUnavailable when every host has failed.

        `again`: the server has refused the first of two ways to encrypt.
        """
        for host in self._address.hosts:
            started = time.monotonic()
            try:
                async with asyncio.timeout(self._address.connect_timeout):
                    reached = await self._reach(host, again=again)
            except OSError as error:  # TimeoutError and the resolver's errors are OSErrors too
                self._failed(host, error)
            else:
                self._metrics.upstream_connect_seconds.observe(time.monotonic() - started)
                connection: Connection
                if isinstance(reached, Tls):
                    reached.own(side)
                    connection = reached
                else:
                    connection = self._wire(reached, side)
                side.connection_made(connection)
                return connection
        raise UpstreamUnavailable("the upstream server cannot be reached now", hint="Try again later.")

    def connects_at_once(self, side: "Side") -> bool:
        """Connect without waiting where that can be: on this machine, in clear; tell whether it is done."""
        if self._near is None or self.encryption.mode is not TlsMode.DISABLE:
            return False
        started = time.monotonic()
        family, place = self._near
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        # Asked again, the system says whether it is connected by now.
        if sock.connect_ex(place) not in _SO_FAR or sock.connect_ex(place) not in _DONE:
            sock.close()
            return False
        tune(sock)
        self._metrics.upstream_connect_seconds.observe(time.monotonic() - started)
        side.connection_made(self._wire(sock, side))
        return True

    async def deliver(self, packet: bytes) -> bool:
        """Send a cancel request on a connection of its own and wait until the server closes it; tell whether it did.

        A connection that broke tells nothing: the request may still be on its way. Raises UpstreamUnavailable.
        """
        ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        connection = await self.connect(_Delivery(packet, ended))
        try:
            async with asyncio.timeout(self._address.connect_timeout):
                return await ended
        except TimeoutError:
            self._logger.warning("cancel_request_unanswered")
            return False
        finally:
            connection.close()

    async def _reach(self, host: str, *, again: bool) -> socket.socket | Tls:
        """Connect, encrypted or not as is configured; raises OSError."""
        encryption = self.encryption
        if encryption.mode is TlsMode.DISABLE:
            return await self._open(host)
        try:
            return await self._reach_by(encryption, host, again=again)
        except ssl.SSLError:
            if encryption.mode is not TlsMode.PREFER or again:
                raise
            return await self._reach_by(encryption, host, again=True)

    async def _reach_by(self, encryption: Encryption, host: str, *, again: bool) -> socket.socket | Tls:
        sock = await self._open(host)
        try:
            if not await encryption.asks(sock, again=again):
                return sock
        except BaseException:
            sock.close()
            raise
        gate = Waiting()
        return await encryption.secure(self._wire(sock, gate), gate, host)

    def _wire(self, sock: socket.socket, owner: wires.Owner) -> Wire:
        meter = self._metrics.figures.bytes_from_upstream
        return Wire(asyncio.get_running_loop(), sock, owner, meter, from_client=False)

    async def _open(self, host: str) -> socket.socket:
        """Connect to the first of a host's addresses that accepts; raises OSError."""
        failed: OSError | None = None
        for family, place in await self._places(host):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, place)
                tune(sock)
            except OSError as error:
                sock.close()
                failed = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failed or OSError(f"no address of {host} was found")

    async def _places(self, host: str) -> list[tuple[int, Any]]:
        port = self._address.port
        known = _known_place(host, port)
        if known is not None:
            return [known]
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, place) for family, _, _, _, place in found]

    def _failed(self, host: str, error: OSError) -> None:
        self._metrics.figures.upstream_connect_failures += 1
        reason = "timeout" if isinstance(error, TimeoutError) else error.strerror or str(error)
        suppressed = self._repeats.allows((host, reason))
        if suppressed is not None:
            place = {"host": host, "port": self._address.port}
            self._logger.warning("upstream_unreachable", **place, reason=reason, suppressed=suppressed)


class Side(wires.Owner, Protocol):
    """What a new connection belongs to."""

    def connection_made(self, connection: Connection) -> None:
        """Take the connection."""


class _Delivery:
    def __init__(self, packet: bytes, ended: asyncio.Future[bool]) -> None:
        self._packet = packet
        self._ended = ended

    def connection_made(self, connection: Connection) -> None:
        connection.writelines((self._packet,))

    def data_received(self, data: bytes) -> None:
        pass

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_result(exc is None)

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass


class Owner(Protocol):
    """Who asked for an upstream connection, and is told what comes of it."""

    def upstream_made(self, connection: Connection) -> None:
        """Take the connection."""

    def upstream_data(self, data: bytes) -> None:
        """Take bytes that the server sent."""

    def upstream_full(self, full: bool) -> None:
        """Note whether the connection takes no more for now."""

    def upstream_gone(self, connection: Connection) -> None:
        """Note that the connection is closed."""


class UpstreamSide:
    """The upstream's side of a session; all it knows is who owns it."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._connection: Connection | None = None

    def connection_made(self, connection: Connection) -> None:
        """Take an opened connection."""
        self._connection = connection
        self._owner.upstream_made(connection)

    def data_received(self, data: bytes) -> None:
        """Hand the server's bytes on."""
        self._owner.upstream_data(data)

    def eof_received(self) -> bool:
        """Have the connection closed: a server that says no more reads nothing either."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is closed."""
        assert self._connection is not None
        self._owner.upstream_gone(self._connection)

    def pause_writing(self) -> None:
        """Stop the client: the server does not keep up."""
        self._owner.upstream_full(True)

    def resume_writing(self) -> None:
        """Let the client go on."""
        self._owner.upstream_full(False)


def _known_place(host: str, port: int) -> tuple[int, Any] | None:
    """Return where a host is that needs no resolver, which works in a thread: a socket directory, or an address."""
    if host.startswith("/"):
        return socket.AF_UNIX, f"{host}/.s.PGSQL.{port}"
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return family, (host, port)
    return None


def _near(address: Address) -> tuple[int, Any] | None:
    """Return where the first host is, if that is this machine: connecting takes no time then."""
    known = _known_place(address.hosts[0], address.port)
    if known is None or known[0] == socket.AF_UNIX:
        return known
    return known if ip_address(address.hosts[0]).is_loopback else None


def tune(sock: socket.socket) -> None:
    """Set the options of a connection on the query path: no Nagle delay, keepalive.

    Accepted connections have those of the socket that listens.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
