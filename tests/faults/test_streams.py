"""Large results and COPYs through the proxy, cut anywhere: the bytes of a direct connection, whatever breaks in."""

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from random import Random

import psycopg
import pytest

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database
from tests.raw import RawClient, cancel_request, error_fields, frame, query, startup
from tests.waiting import wait_until

StartProxy = Callable[..., RunningProxy]
Answer = list[tuple[bytes, bytes]]

ROWS = 20_000
RESULTS = {
    "narrow rows": f"SELECT n FROM generate_series(1, {ROWS}) AS n",
    "rows of all lengths": f"SELECT n, repeat('x', n * 7919 % 300), NULL FROM generate_series(1, {ROWS}) AS n",
    "rows longer than a read": "SELECT repeat('x', n * 100000) FROM generate_series(1, 9) AS n",
    "an error in their midst": f"SELECT 1 / ({ROWS} - n) FROM generate_series(1, 2 * {ROWS}) AS n",
    "notices among them": f"SELECT tell(n) FROM generate_series(1, {ROWS} / 10) AS n",
    "two results": f"SELECT n FROM generate_series(1, {ROWS}) AS n; SELECT id FROM users; SELECT 'end'",
    "COPY out": f"COPY (SELECT n, repeat('x', n % 90) FROM generate_series(1, {ROWS}) AS n) TO STDOUT",
    "an error in a COPY": f"COPY (SELECT 1 / ({ROWS} - n) FROM generate_series(1, 2 * {ROWS}) AS n) TO STDOUT",
}


@pytest.fixture
def shop(database: Database) -> Database:
    database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, deleted_at timestamptz); INSERT INTO users VALUES (1), (2)"
    )
    database.execute("CREATE TABLE lines (id int, line text)")
    database.execute(
        "CREATE FUNCTION tell(n int) RETURNS text LANGUAGE plpgsql AS "
        "$$BEGIN IF n % 100 = 0 THEN RAISE NOTICE 'row %', n; END IF; RETURN repeat('y', n % 50); END$$"
    )
    return database


@pytest.fixture
def proxy(shop: Database, start_proxy: StartProxy) -> RunningProxy:
    return start_proxy(shop, "[tables.users]")


def digest(answer: Answer) -> tuple[str, list[bytes]]:
    """Return what tells answers apart: a hash of all bytes, and the types other than rows and COPY data."""
    whole = hashlib.sha256()
    for kind, body in answer:
        whole.update(frame(kind, body))
    return whole.hexdigest(), [kind for kind, _ in answer if kind not in (b"D", b"d")]


@pytest.fixture
def direct(shop: Database) -> Iterator[RawClient]:
    with RawClient(shop.server.host, shop.server.port) as client:
        yield client.login(shop.name)


class Cutter:
    """A relay before the server that hands on its bytes in pieces of random sizes, none of which waits for the next."""

    def __init__(self, host: str, port: int) -> None:
        self._place = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *given: object) -> None:
        self._threads.append(threading.Thread(target=work, args=given, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._place)
            self._sockets += (near, far)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._hand_on, near, far, 0)
            self._start(self._hand_on, far, near, 1)

    def _hand_on(self, source: socket.socket, target: socket.socket, seed: int) -> None:
        rng = Random(seed)  # noqa: S311 - no secret
        try:
            while data := source.recv(1 << 16):
                while data:
                    size = rng.choice((1, 4, 5, 6, 30, 1000, 1 << 16))
                    target.sendall(data[:size])
                    data = data[size:]
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def stop(self) -> None:
        """Close everything."""
        for sock in self._sockets:
            with contextlib.suppress(OSError):  # its other end has closed it
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def cut_proxy(shop: Database, start_proxy: StartProxy) -> Iterator[RunningProxy]:
    cutter = Cutter(shop.server.host, shop.server.port)
    yield start_proxy(shop, "[tables.users]", upstream={"host": "127.0.0.1", "port": cutter.port})
    cutter.stop()


def test_streams_of_the_server_come_as_from_itself_however_they_are_cut(
    shop: Database, proxy: RunningProxy, cut_proxy: RunningProxy, direct: RawClient
) -> None:
    clients = [RawClient(one.host, one.port).login(shop.name) for one in (proxy, cut_proxy)]
    try:
        for name, text in RESULTS.items():
            wanted = digest(direct.query(text))
            for client in (*clients, clients[0]):
                assert digest(client.query(text)) == wanted, name
    finally:
        for client in clients:
            client.sock.close()


def upload(client: RawClient, data: bytes, rng: Random) -> None:
    """Send COPY data in pieces of random sizes."""
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data:
        size = rng.choice((1, 3, 5, 7, 40, 3000, 1 << 17, 1 << 20))
        client.send(data[:size])
        data = data[size:]


def lines(count: int) -> bytes:
    """Return so many rows, each a message of its own."""
    return b"".join(
        frame(b"d", b"%d\t%b\n" % (number, b"x" * (number * 7919 % 90))) for number in range(count)
    )


def test_rows_copied_in_arrive_however_they_are_cut_and_what_breaks_them_is_answered_as_by_the_server(
    shop: Database, proxy: RunningProxy, direct: RawClient
) -> None:
    rows, rng = lines(ROWS), Random(1)  # noqa: S311 - no secret
    long = frame(b"d", b"1\t" + b"y" * 3_000_000 + b"\n")
    endings = {
        "all": (rows + long + frame(b"c"), 1),
        "given up": (rows + frame(b"f", b"enough\0"), 1),
        "a row the server does not take": (rows + frame(b"d", b"no number\tx\n") + rows + frame(b"c"), 1),
        "other messages": (rows + frame(b"H") + rows + frame(b"S") + rows + frame(b"c"), 1),
        "a query behind": (rows + frame(b"c") + query("SELECT count(*) FROM lines"), 2),
        "data that nobody wants": (rows + frame(b"c") + rows + query("SELECT id FROM users"), 2),
    }
    with RawClient(proxy.host, proxy.port) as client:
        client.login(shop.name)
        for name, (data, answers) in endings.items():
            found = []
            for way in (direct, client):
                shop.execute("TRUNCATE lines")
                way.send(query("COPY lines FROM STDIN"))
                assert way.until(b"G")[-1][0] == b"G"
                upload(way, data, rng)
                answer = [way.until(b"Z") for _ in range(answers)]
                found.append((answer, shop.execute("SELECT count(*), sum(id), sum(length(line)) FROM lines")))
            assert found[0] == found[1], name


def test_a_message_that_is_wrong_ends_a_copy_and_nothing_of_it_stays(
    shop: Database, proxy: RunningProxy
) -> None:
    for wrong in (b"d\0\0\0\3", b"d\xff\xff\xff\xff", b"\0\0\0\0\4"):
        with RawClient(proxy.host, proxy.port) as client:
            client.login(shop.name).send(query("COPY lines FROM STDIN"))
            assert client.until(b"G")[-1][0] == b"G"
            upload(client, lines(2000) + wrong, Random(2))  # noqa: S311 - no secret
            assert client.fatal()["C"] == "08P01"
    assert shop.execute("SELECT count(*) FROM lines") == [(0,)]


ENDLESS = query("SELECT generate_series(1, 1000000000), 'a row that goes on and on'")


def test_a_stream_can_be_cancelled_and_the_session_goes_on(shop: Database, proxy: RunningProxy) -> None:
    with RawClient(proxy.host, proxy.port) as client, RawClient(proxy.host, proxy.port) as other:
        client.send(startup(user="postgres", database=shop.name))
        key = dict(client.until(b"Z"))[b"K"]
        client.send(ENDLESS)
        for _ in range(100_000):
            client.recv()
        other.send(cancel_request(key))
        *_, (kind, body), (last, status) = client.until(b"Z")
        assert (kind, error_fields(body)["C"], last, status) == (b"E", "57014", b"Z", b"I")
        assert (b"C", b"SELECT 2\0") in client.query("SELECT id FROM users")


def end_stream(shop: Database) -> None:
    """Kill the server process that sends the endless rows."""
    its = "query ~ 'on and on' AND pid != pg_backend_pid()"
    assert shop.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {its}") == [(True,)]


def test_a_stream_starves_nobody_and_its_bytes_are_counted(shop: Database, proxy: RunningProxy) -> None:
    with RawClient(proxy.host, proxy.port) as client, psycopg.connect(proxy.dsn()) as other:
        client.login(shop.name).send(ENDLESS)
        read, buffer = 0, bytearray(1 << 20)

        def drain() -> None:
            nonlocal read
            while size := client.sock.recv_into(buffer):
                read += size

        thread = threading.Thread(target=drain)
        thread.start()
        for _ in range(20):
            before = read
            assert other.execute("SELECT count(*) FROM users").fetchone() == (2,)
            wait_until(lambda before=before: read > before)  # type: ignore[misc]
        seen = read
        assert proxy.metric("pgsoftproxy_bytes_total", direction="from_upstream") >= seen > 1_000_000
        end_stream(shop)
        thread.join(30)
        assert not thread.is_alive()


def test_a_server_that_dies_in_a_stream_is_told_behind_what_it_has_sent(
    shop: Database, proxy: RunningProxy
) -> None:
    with RawClient(proxy.host, proxy.port) as client:
        client.login(shop.name).send(ENDLESS)
        assert client.until(b"D")[-1][0] == b"D"
        end_stream(shop)
        assert client.fatal()["C"] == "57P01"
