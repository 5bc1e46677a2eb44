"""Connections to the upstream server: which host, how long to try, socket options.

Must not know sessions or messages; a cancel request is just bytes to deliver.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from pgsoftproxy.errors import UpstreamUnavailable
from pgsoftproxy.ops.logs import Logger, Once
from pgsoftproxy.ops.metrics import Metrics

KEEPALIVE_IDLE_SECONDS = 60
REPEAT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where the upstream server is; a host that starts with "/" is a socket directory."""

    hosts: tuple[str, ...]
    port: int
    connect_timeout: float = 10.0


class Upstream:
    """Open connections to the first host that accepts one."""

    def __init__(self, address: Address, metrics: Metrics, logger: Logger) -> None:
        self._address = address
        self._metrics = metrics
        self._logger = logger
        self._repeats = Once(REPEAT_SECONDS, time.monotonic)

    async def connect(self, factory: Callable[[], asyncio.Protocol]) -> asyncio.Transport:
        """Return the transport of a new connection. Raises UpstreamUnavailable when every host has failed."""
        for host in self._address.hosts:
            started = time.monotonic()
            try:
                async with asyncio.timeout(self._address.connect_timeout):
                    transport = await self._open(host, factory)
            except OSError as error:  # TimeoutError and the resolver's errors are OSErrors too
                self._failed(host, error)
            else:
                self._metrics.upstream_connect_seconds.observe(time.monotonic() - started)
                return transport
        raise UpstreamUnavailable("the upstream server cannot be reached now", hint="Try again later.")

    async def deliver(self, packet: bytes) -> None:
        """Send a cancel request on a connection of its own and wait until the server closes it.

        Raises UpstreamUnavailable.
        """
        ended = asyncio.get_running_loop().create_future()
        transport = await self.connect(lambda: _Delivery(packet, ended))
        try:
            async with asyncio.timeout(self._address.connect_timeout):
                await ended
        except TimeoutError:
            self._logger.warning("cancel_request_unanswered")
        finally:
            transport.close()

    async def _open(self, host: str, factory: Callable[[], asyncio.Protocol]) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        if host.startswith("/"):
            transport, _ = await loop.create_unix_connection(factory, f"{host}/.s.PGSQL.{self._address.port}")
        else:
            transport, _ = await loop.create_connection(factory, host, self._address.port)
        return transport

    def _failed(self, host: str, error: OSError) -> None:
        self._metrics.figures.upstream_connect_failures += 1
        reason = "timeout" if isinstance(error, TimeoutError) else error.strerror or str(error)
        suppressed = self._repeats.allows((host, reason))
        if suppressed is not None:
            place = {"host": host, "port": self._address.port}
            self._logger.warning("upstream_unreachable", **place, reason=reason, suppressed=suppressed)


class _Delivery(asyncio.Protocol):
    def __init__(self, packet: bytes, ended: asyncio.Future[None]) -> None:
        self._packet = packet
        self._ended = ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._packet)  # uvloop's is no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_result(None)


class Owner(Protocol):
    """Who asked for an upstream connection, and is told what comes of it."""

    def upstream_made(self, transport: asyncio.Transport) -> None:
        """Take the connection."""

    def upstream_data(self, data: bytes) -> None:
        """Take bytes that the server sent."""

    def upstream_full(self, full: bool) -> None:
        """Note whether the connection takes no more for now."""

    def upstream_gone(self, transport: asyncio.Transport) -> None:
        """Note that the connection is closed."""


class UpstreamSide(asyncio.Protocol):
    """The upstream's side of a session; all it knows is who owns it."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take an opened connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._owner.upstream_made(self._transport)

    def data_received(self, data: bytes) -> None:
        """Hand the server's bytes on."""
        self._owner.upstream_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is closed."""
        assert self._transport is not None
        self._owner.upstream_gone(self._transport)

    def pause_writing(self) -> None:
        """Stop the client: the server does not keep up."""
        self._owner.upstream_full(True)

    def resume_writing(self) -> None:
        """Let the client go on."""
        self._owner.upstream_full(False)


def tune(transport: asyncio.BaseTransport) -> None:
    """Set the options of a connection on the query path: no Nagle delay, keepalive."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
