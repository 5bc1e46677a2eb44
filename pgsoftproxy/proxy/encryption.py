"""How the way to the server is encrypted: whether it is asked for, and a handshake before anybody owns the connection.

As libpq's `sslmode` has it (fe-connect.c): ALLOW goes in clear first, PREFER encrypts if the server will; each takes
the other way if the server refuses the first at once. A socket in the file system is never encrypted.
"""

import asyncio
import socket
import ssl
from dataclasses import dataclass

from pgsoftproxy.kernel import Wire
from pgsoftproxy.proxy.tls import Handshake, Tls
from pgsoftproxy.proxy.wires import Connection
from pgsoftproxy.session.door import TlsMode
from pgsoftproxy.wire import frontend


@dataclass(frozen=True, slots=True)
class Encryption:
    """The mode, and what handshakes are made with where it is not DISABLE."""

    mode: TlsMode = TlsMode.DISABLE
    context: ssl.SSLContext | None = None

    async def asks(self, sock: socket.socket, *, again: bool) -> bool:
        """Ask the server to encrypt, if the mode will have it; return whether it does. Raises OSError.

        `again`: it has refused the other way of two.
        """
        if sock.family == socket.AF_UNIX or not self._wanted(again=again):
            return False
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, frontend.request(frontend.SSL_REQUEST))
        # One byte: whatever came behind it in clear would be read as a part of the handshake, and break it.
        answer = await loop.sock_recv(sock, 1)
        if answer == b"S":
            return True
        if answer != b"N":
            raise OSError("the server does not know what encryption is")
        if self.mode is TlsMode.PREFER:
            return False
        raise OSError("the server does not encrypt")

    def other_way(self, connection: Connection) -> bool:
        """Tell whether a server that refuses this connection at once may take the other way."""
        match self.mode:
            case TlsMode.ALLOW:
                return not isinstance(connection, Tls)
            case TlsMode.PREFER:
                return isinstance(connection, Tls)
            case _:
                return False

    async def secure(self, wire: Wire, gate: "Waiting", host: str) -> Tls:
        """Return a wire's connection as it is encrypted, still without an owner. Raises OSError."""
        assert self.context is not None
        try:
            tls = Tls(wire, gate, Handshake(self.context, server_side=False, host=host), gate.done)
        except ValueError as error:  # no name that could stand in a certificate
            wire.abort()
            raise OSError(str(error)) from None
        wire.own(tls)
        try:
            tls.start()
            await gate.secured
            if gate.broken:
                raise OSError("the server spoke, or left, before it was asked anything")
        except BaseException:
            tls.abort()
            raise
        return tls

    def _wanted(self, *, again: bool) -> bool:
        match self.mode:
            case TlsMode.DISABLE:
                return False
            case TlsMode.ALLOW:
                return again
            case TlsMode.PREFER:
                return not again
            case _:
                return True


class Waiting:
    """Who owns a connection until its handshake is made; `broken` if that is not all that has come."""

    def __init__(self) -> None:
        self.broken = False
        self.secured: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(self, failed: ssl.SSLError | None) -> None:
        """Take the end of the handshake."""
        if self.secured.done():
            return
        if failed is None:
            self.secured.set_result(None)
        else:
            self.secured.set_exception(failed)

    def data_received(self, data: bytes) -> None:
        """Note what must not be there."""
        self.broken = True

    def eof_received(self) -> bool:
        """Have the connection closed."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the server has gone."""
        self.broken = True
        if not self.secured.done():
            self.secured.set_exception(exc or OSError("the server closed the connection in the handshake"))

    def pause_writing(self) -> None:
        """Pass over it: a handshake is short."""

    def resume_writing(self) -> None:
        """Pass over it."""
