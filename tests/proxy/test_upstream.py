"""Connections that are made without waiting, and which ones are not."""

import socket
import ssl
from pathlib import Path

import pytest

from pgsoftproxy.ops.logs import make_logger
from pgsoftproxy.ops.metrics import Metrics
from pgsoftproxy.proxy.encryption import Encryption
from pgsoftproxy.proxy.upstream import Address, Upstream
from pgsoftproxy.proxy.wires import Connection
from pgsoftproxy.session.door import TlsMode
from tests.proxy.test_pair import Side


class Taken(Side):
    """A side that keeps the connection which it is given."""

    connection: Connection | None = None

    def connection_made(self, connection: Connection) -> None:
        self.connection = connection


def upstream(host: str, port: int, encryption: Encryption | None = None) -> Upstream:
    """Return what connects there."""
    address = Address((host, "127.0.0.1"), port)
    return Upstream(address, Metrics(), make_logger("json", "error"), encryption or Encryption())


async def said_at_once(server: socket.socket, host: str, port: int) -> bytes:
    """Return what a server hears of a connection that was made without waiting."""
    side = Taken()
    assert upstream(host, port).connects_at_once(side)
    assert side.connection is not None
    side.connection.writelines((b"hello",))
    side.connection.close()
    accepted, _ = server.accept()
    with accepted:
        heard = accepted.recv(5)
    await side.lost
    return heard


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
async def test_a_server_on_this_machine_is_connected_without_waiting(family: int, host: str) -> None:
    with socket.create_server((host, 0), family=family) as server:
        assert await said_at_once(server, host, server.getsockname()[1]) == b"hello"


async def test_so_is_one_behind_a_socket_of_the_file_system(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / ".s.PGSQL.5432"))
        server.listen()
        assert await said_at_once(server, str(tmp_path), 5432) == b"hello"


async def test_nobody_listens_so_it_is_left_to_the_way_that_waits_tries_others_and_reports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    side = Taken()
    assert not upstream("127.0.0.1", port).connects_at_once(side)
    assert side.connection is None


@pytest.mark.parametrize("host", ["localhost", "192.0.2.1"])
async def test_a_server_that_may_be_far_is_not_even_tried(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = upstream(host, 5432)
    monkeypatch.setattr(socket, "socket", None)
    assert not elsewhere.connects_at_once(Taken())


@pytest.mark.parametrize("mode", [mode for mode in TlsMode if mode is not TlsMode.DISABLE])
async def test_what_may_be_encrypted_takes_its_time(mode: TlsMode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        encryption = Encryption(mode, ssl.create_default_context())
        assert not upstream("127.0.0.1", server.getsockname()[1], encryption).connects_at_once(Taken())
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
