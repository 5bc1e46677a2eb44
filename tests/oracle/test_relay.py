"""The relay that judges what a client gets: it misses nothing at the edges of what it reads."""

import socket
from collections.abc import Iterator
from threading import Thread

import pytest

from tests.oracle.compare import CANARY
from tests.oracle.relay import Relay


def message(kind: bytes, body: bytes) -> bytes:
    """Return a message as a server frames it."""
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def fields(*parts: str) -> bytes:
    """Return the body of an ErrorResponse."""
    return b"".join(part.encode() + b"\0" for part in parts) + b"\0"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Give what plays the server."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def relayed(listener: socket.socket, pieces: list[bytes]) -> tuple[Relay, bytes]:
    """Send the pieces one by one, each once the client has the one before; return the relay and what came."""
    relay = Relay("127.0.0.1", listener.getsockname()[1])
    received = bytearray()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            for piece in pieces:
                connection.sendall(piece)
                connection.recv(1)

    server = Thread(target=serve)
    server.start()
    with socket.create_connection(("127.0.0.1", relay.port)) as client:
        for piece in pieces:
            while len(received) < sum(map(len, pieces[: pieces.index(piece) + 1])):
                received += client.recv(65536)
            client.sendall(b".")
    server.join()
    relay.close()
    return relay, bytes(received)


def test_every_byte_passes_and_messages_are_counted(listener: socket.socket) -> None:
    sent = message(b"D", b"12345") + message(b"C", b"SELECT 1\0") + message(b"Z", b"I")
    relay, received = relayed(listener, [sent[:3], sent[3:8], sent[8:]])
    assert received == sent
    assert relay.messages == {"D": 1, "C": 1, "Z": 1}
    assert relay.leaks == []
    assert relay.errors == {}


def test_a_deleted_value_is_found_across_two_reads(listener: socket.socket) -> None:
    sent = message(b"D", b"before " + CANARY.upper() + b" after")
    cut = sent.index(CANARY.upper()) + 5
    relay, _ = relayed(listener, [sent[:cut], sent[cut:]])
    assert len(relay.leaks) == 1


def test_only_errors_without_a_place_in_the_servers_source_are_the_proxys(listener: socket.socket) -> None:
    own = message(b"E", fields("SERROR", "C0A000", "Mrefused", "Hwhy"))
    servers = message(b"E", fields("SERROR", "C42703", "Mno column", "Fparse_relation.c", "L1", "Rerror"))
    relay, _ = relayed(listener, [own + servers + own])
    assert relay.errors == {("0A000", "refused"): 2}
    assert relay.lost == 0


def test_a_fatal_error_is_a_lost_connection(listener: socket.socket) -> None:
    relay, _ = relayed(listener, [message(b"E", fields("SFATAL", "CXX000", "Mgone"))])
    assert relay.lost == 1
