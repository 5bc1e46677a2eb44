"""The server dies, refuses, or is not there yet: clients are told, the proxy stays up and serves again."""

import os
import signal
import threading
import urllib.error
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.fix_proxy import RunningProxy
from tests.fix_servers import VERSIONS
from tests.raw import RawClient, query, startup
from tests.servers import LocalServer, execute, find_programs
from tests.waiting import wait_until

StartProxy = Callable[..., RunningProxy]

SHOP = """
CREATE TABLE users (id int PRIMARY KEY, name text, deleted_at timestamptz);
INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 1000) n;
"""


# Servers to be killed run on this machine itself, so only versions whose programs it has can be had.
LOCAL = [version for version in VERSIONS if find_programs(version)] or [18]

BACKENDS = """
SELECT pid FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name = ''
"""


@pytest.fixture(params=LOCAL, ids=lambda version: f"pg{version}")
def own_server(
    request: pytest.FixtureRequest, new_server: Callable[..., LocalServer]
) -> Iterator[LocalServer]:
    # Servers of the tests confirm what a crash can undo; this one is killed, and must still have its tables.
    server = new_server(request.param, synchronous_commit="on")
    execute(server.dsn(), SHOP)
    yield server


class Load:
    """Clients that query until their connection fails; `errors` holds what each was told at the end."""

    def __init__(self, dsn: str, clients: int) -> None:
        self.errors: list[psycopg.Error] = []
        self.queries = [0] * clients
        self._threads = [threading.Thread(target=self._run, args=(dsn, number)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, dsn: str, number: int) -> None:
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                while True:
                    connection.execute("SELECT count(*) FROM users WHERE id > %s", (number,))
                    self.queries[number] += 1
        except psycopg.Error as error:
            self.errors.append(error)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client still waits"


def serves(proxy: RunningProxy) -> bool:
    """Tell whether a new client is served."""
    try:
        with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
            return connection.execute("SELECT count(*) FROM users").fetchone() is not None
    except psycopg.OperationalError:
        return False


def test_killed_server_is_an_error_for_every_client_and_serves_again_when_back(
    own_server: LocalServer, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(own_server, "[tables.users]")
    load = Load(proxy.dsn(), 20)
    wait_until(lambda: all(load.queries))
    own_server.kill()
    load.join()
    assert len(load.errors) == 20
    assert proxy.process.poll() is None
    with pytest.raises(psycopg.OperationalError, match="the upstream server cannot be reached now"):
        psycopg.connect(proxy.dsn())
    assert proxy.get("/healthz") == "ok\n"
    own_server.start()
    wait_until(lambda: serves(proxy))
    wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == 0)
    assert proxy.metric("pgsoftproxy_session_crashes_total") == 0
    assert proxy.metric("pgsoftproxy_upstream_connect_failures_total") >= 1


def test_idle_client_is_told_when_its_backend_is_killed(
    own_server: LocalServer, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(own_server, "[tables.users]")
    with RawClient(proxy.host, proxy.port) as client:
        client.login("postgres")
        ((pid,),) = execute(own_server.dsn(), BACKENDS)
        os.kill(pid, signal.SIGKILL)
        fields = client.fatal()
    assert (fields["S"], fields["C"]) == ("FATAL", "08006")
    assert fields["M"] == "the upstream server closed the connection unexpectedly"


def test_words_of_a_server_that_shuts_down_reach_the_client(
    own_server: LocalServer, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(own_server, "[tables.users]")
    with RawClient(proxy.host, proxy.port) as client:
        client.login("postgres")
        client.send(query("SELECT pg_sleep(60)"))
        wait_until(
            lambda: (
                execute(own_server.dsn(), "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'") != []
            )
        )
        own_server.stop("fast")
        errors = [body for kind, body in client.messages() if kind == b"E"]
    assert len(errors) == 1
    assert b"C57P01\0" in errors[0]


def test_proxy_starts_before_its_server_and_serves_when_it_is_there(
    own_server: LocalServer, start_proxy: StartProxy
) -> None:
    own_server.stop("fast")
    proxy = start_proxy(own_server, "[tables.users]")
    with pytest.raises(urllib.error.HTTPError, match="503"):
        proxy.get("/readyz")
    with RawClient(proxy.host, proxy.port) as client:
        fields = client.send(startup(user="postgres", database="postgres")).fatal()
    assert (fields["S"], fields["C"]) == ("FATAL", "57P03")
    assert fields["M"] == 'database "postgres" cannot be served now: its catalog cannot be read'
    assert str(own_server.port) not in str(fields)
    own_server.start()
    proxy.wait_for("ready")
    assert proxy.get("/readyz") == "ready\n"
    execute(own_server.dsn(), "UPDATE users SET deleted_at = now() WHERE id > 10")
    with psycopg.connect(proxy.dsn()) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (10,)


def test_database_whose_catalog_cannot_be_read_is_never_served(
    new_server: Callable[..., LocalServer], start_proxy: StartProxy
) -> None:
    server = new_server(
        hba="host secret control 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 trust\nlocal all all trust\n"
    )
    execute(server.dsn(), "CREATE ROLE control LOGIN")
    execute(server.dsn(), "CREATE DATABASE secret")
    proxy = start_proxy(server, control={"dsn": server.dsn(user="control")})
    with RawClient(proxy.host, proxy.port) as client:
        fields = client.send(startup(user="postgres", database="secret")).fatal()
    assert (fields["C"], fields["H"]) == ("57P03", "The proxy's log has the reason.")
    assert "pg_hba.conf rejects" in proxy.wait_for("catalog_cannot_be_read")["reason"]
    with psycopg.connect(proxy.dsn("postgres")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert proxy.metric("pgsoftproxy_connections_refused_total", reason="catalog") == 1


def test_database_that_does_not_exist_is_told_as_the_server_does(
    own_server: LocalServer, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(own_server)
    with RawClient(proxy.host, proxy.port) as client:
        fields = client.send(startup(user="postgres", database="nowhere")).fatal()
    assert (fields["S"], fields["C"], fields["M"]) == ("FATAL", "3D000", 'database "nowhere" does not exist')


def test_first_of_several_hosts_that_accepts_is_used(
    own_server: LocalServer, start_proxy: StartProxy
) -> None:
    # 127.0.0.2 answers, but nobody listens there.
    proxy = start_proxy(own_server, upstream={"host": ["127.0.0.2", own_server.host]})
    assert serves(proxy)
    assert proxy.wait_for("upstream_unreachable")["host"] == "127.0.0.2"
