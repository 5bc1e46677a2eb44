"""The end of a session's two connections."""

import asyncio
import socket
import struct

from pgsoftproxy.proxy.pair import Pair


class Side(asyncio.Protocol):
    """A connection that tells when it is made and when it is lost."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.made: asyncio.Future[asyncio.Transport] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.made.set_result(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


async def test_client_that_is_reset_in_the_moment_of_the_end_harms_nobody() -> None:
    loop = asyncio.get_running_loop()
    side = Side()
    server = await loop.create_server(lambda: side, "127.0.0.1", 0)
    async with server:
        client = socket.create_connection(server.sockets[0].getsockname())
        pair = Pair()
        pair.take_client(await side.made)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        pair.finish(loop.call_later)
        await asyncio.wait_for(side.lost, 10)
        pair.client_lost()
    assert pair.gone
