"""Whoever does not keep up waits alone: memory stays bounded, the others are served, nothing is lost."""

import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database
from tests.raw import RawClient, frame, query
from tests.waiting import wait_until, wait_until_still

StartProxy = Callable[..., RunningProxy]

MEGABYTE = 2**20
ROWS = 120_000
ROW = 1000
BOUND = 12 * MEGABYTE
"""What a result or an upload of 120 MB may cost the proxy: its buffers hold less than 1 MB, the rest is noise."""


@pytest.fixture
def shop(database: Database) -> Database:
    database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, deleted_at timestamptz); INSERT INTO users VALUES (1), (2)"
    )
    database.execute("CREATE TABLE lines (line text)")
    return database


@pytest.fixture
def proxy(shop: Database, start_proxy: StartProxy) -> RunningProxy:
    proxy = start_proxy(shop, "[tables.users]")
    with psycopg.connect(proxy.dsn()) as connection:  # what the first session costs is not to be counted
        connection.execute("SELECT * FROM users")
    return proxy


def memory(proxy: RunningProxy) -> int:
    """Return the resident memory of the process, in bytes."""
    pages = int(Path(f"/proc/{proxy.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak_memory(proxy: RunningProxy) -> int:
    """Return the highest resident memory that the process ever had, in bytes."""
    lines = Path(f"/proc/{proxy.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def served(proxy: RunningProxy) -> bool:
    """Tell whether another client gets its answer."""
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        return connection.execute("SELECT count(*) FROM users").fetchone() == (2,)


@pytest.mark.parametrize(("rows", "size"), [(ROWS, ROW), (1, ROWS * ROW)], ids=["many rows", "one huge row"])
def test_result_that_nobody_reads_stays_in_the_server(proxy: RunningProxy, rows: int, size: int) -> None:
    before = memory(proxy)
    with RawClient(proxy.host, proxy.port, receive_buffer=65536) as client:
        client.login(proxy.dsn().rpartition("/")[2])
        client.send(query(f"SELECT repeat('x', {size}) FROM generate_series(1, {rows})"))
        passed = wait_until_still(lambda: proxy.metric("pgsoftproxy_bytes_total", direction="from_upstream"))
        assert passed < 20 * MEGABYTE
        assert memory(proxy) - before < BOUND
        assert served(proxy)
        sizes = [len(body) - 6 for kind, body in client.until(b"Z") if kind == b"D"]
    assert sizes == [size] * rows
    grown = peak_memory(proxy) - before
    print(f"{rows * size // MEGABYTE} MB passed, memory grew by {grown / MEGABYTE:.1f} MB")
    assert grown < BOUND


def test_upload_that_the_server_does_not_take_stays_in_the_client(
    shop: Database, proxy: RunningProxy
) -> None:
    before = memory(proxy)
    chunk = frame(b"d", b"x" * (ROW - 1) + b"\n") * 100
    sent = 0
    with psycopg.connect(shop.dsn) as locker, RawClient(proxy.host, proxy.port) as client:
        client.login(shop.name)
        locker.execute("SELECT pg_advisory_lock(7)")
        # The server stops reading in the midst of the COPY: the trigger of a row waits for our lock.
        shop.execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END$$"
        )
        stopped = threading.Event()

        def upload() -> None:
            nonlocal sent
            for _ in range(ROWS // 100):
                client.send(chunk)
                sent += len(chunk)
            client.send(frame(b"c"))
            stopped.set()

        shop.execute("CREATE TRIGGER wait BEFORE INSERT ON lines FOR EACH ROW EXECUTE FUNCTION wait()")
        client.send(query("COPY lines FROM STDIN"))
        assert client.until(b"G")[-1][0] == b"G"
        thread = threading.Thread(target=upload)
        thread.start()
        wait_until_still(lambda: sent)
        assert not stopped.is_set()
        assert sent < 40 * MEGABYTE
        assert memory(proxy) - before < BOUND
        assert served(proxy)
        locker.execute("SELECT pg_advisory_unlock(7)")
        thread.join(60)
        answer = client.until(b"Z")
    assert (b"C", f"COPY {ROWS}\0".encode()) in answer
    assert peak_memory(proxy) - before < BOUND


def test_client_that_leaves_in_the_midst_of_a_result_leaves_nothing_behind(
    shop: Database, proxy: RunningProxy
) -> None:
    with RawClient(proxy.host, proxy.port, receive_buffer=65536) as client:
        client.login(shop.name)
        client.send(query(f"SELECT repeat('x', {ROW}) FROM generate_series(1, {ROWS})"))
        assert client.until(b"D")[-1][0] == b"D"
    wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == 0)
    others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^SELECT repeat'"
    wait_until(lambda: shop.execute(others) == [])
    assert served(proxy)


@pytest.fixture
def silent(proxy: RunningProxy) -> Iterator[list[RawClient]]:
    clients = [RawClient(proxy.host, proxy.port) for _ in range(300)]
    yield clients
    for client in clients:
        client.sock.close()


def test_clients_that_say_nothing_delay_nobody(proxy: RunningProxy, silent: list[RawClient]) -> None:
    wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == len(silent))
    assert served(proxy)
