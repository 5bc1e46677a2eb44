"""A wire between two sockets: order, back-pressure, and how it ends."""

import asyncio
import socket

from tests.proxy.test_pair import Side, joined

MUCH = bytes(range(256)) * 32 * 1024


async def read(peer: socket.socket, size: int) -> bytes:
    """Read so many bytes, or less at the end of file."""
    peer.setblocking(False)
    found = bytearray()
    while len(found) < size:
        piece = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(peer, 65536), 10)
        if not piece:
            break
        found += piece
    return bytes(found)


async def test_what_a_socket_does_not_take_follows_in_order_and_the_owner_is_told() -> None:
    side = Side()
    wire, peer = joined(side)
    wire.set_write_buffer_limits(1024 * 1024, 1024)
    wire.writelines((MUCH, b"second"))
    wire.writelines((b"third",))
    assert side.told == ["pause"]
    assert await read(peer, len(MUCH) + 11) == MUCH + b"secondthird"
    assert side.told == ["pause", "resume"]
    wire.abort()
    await side.lost
    peer.close()


async def test_end_of_file_is_said_behind_all_that_was_written() -> None:
    side = Side(stays_open=True)
    wire, peer = joined(side)
    wire.writelines((MUCH,))
    wire.write_eof()
    wire.writelines((b"too late",))
    assert await read(peer, len(MUCH) + 1) == MUCH
    peer.sendall(b"last words")
    peer.close()
    await asyncio.wait_for(side.ended.wait(), 10)
    assert side.heard == b"last words"
    assert not side.lost.done()
    wire.close()
    await asyncio.wait_for(side.lost, 10)


async def test_closing_waits_for_what_was_written() -> None:
    side = Side()
    wire, peer = joined(side)
    wire.writelines((MUCH,))
    wire.close()
    assert wire.is_closing()
    assert await read(peer, len(MUCH) + 1) == MUCH
    await asyncio.wait_for(side.lost, 10)
    peer.close()


async def test_a_paused_wire_reads_when_it_is_resumed() -> None:
    side = Side()
    wire, peer = joined(side)
    wire.pause_reading()
    peer.sendall(b"patience")
    peer.shutdown(socket.SHUT_WR)
    wire.writelines((b"still written",))
    assert await read(peer, 13) == b"still written"
    assert side.heard == b""
    wire.resume_reading()
    await asyncio.wait_for(side.lost, 10)
    assert side.heard == b"patience"
    peer.close()


async def test_a_peer_that_is_gone_is_noticed_by_writing() -> None:
    side = Side()
    wire, peer = joined(side)
    wire.pause_reading()
    peer.close()
    while not side.lost.done():
        wire.writelines((MUCH,))
        await asyncio.sleep(0)
    assert wire.is_closing()
