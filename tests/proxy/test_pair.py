"""The end of a session's two connections."""

import asyncio
import socket
import struct

from pgsoftproxy.kernel import Cell, Wire
from pgsoftproxy.proxy.pair import Pair


class Side:
    """The owner of a wire: it remembers what it was told."""

    def __init__(self, *, stays_open: bool = False) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.heard = bytearray()
        self.told: list[str] = []
        self._stays_open = stays_open

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def eof_received(self) -> bool:
        self.ended.set()
        return self._stays_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


def joined(side: Side) -> tuple[Wire, socket.socket]:
    """Return a wire of that owner and the socket at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    accepted.setblocking(False)
    return Wire(asyncio.get_running_loop(), accepted, side, Cell(), from_client=True), peer


async def test_client_that_is_reset_in_the_moment_of_the_end_harms_nobody() -> None:
    side = Side()
    wire, client = joined(side)
    pair = Pair()
    pair.take_client(wire)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    pair.finish(asyncio.get_running_loop().call_later)
    await asyncio.wait_for(side.lost, 10)
    pair.client_lost()
    assert pair.gone
