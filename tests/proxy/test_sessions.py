"""A running proxy and the life of its sessions: limits, time-outs, drain, reload."""

import signal
import socket
import subprocess
import sys
import urllib.error
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.fix_proxy import RunningProxy, config_text
from tests.fix_servers import Database
from tests.raw import RawClient, cancel_request, frame, query, startup
from tests.waiting import wait_until

StartProxy = Callable[..., RunningProxy]

SHOP = """
CREATE SCHEMA app;
CREATE TABLE app.users (id int PRIMARY KEY, name text, deleted_at timestamptz);
CREATE TABLE app.orders (id int PRIMARY KEY, deleted_at timestamptz);
INSERT INTO app.users SELECT n, 'user ' || n FROM generate_series(1, 10) n;
INSERT INTO app.orders VALUES (1), (2);
"""
PROTECT_USERS = '[tables."app.users"]'


@pytest.fixture
def shop(database: Database) -> Database:
    database.execute(SHOP)
    return database


def connect(proxy: RunningProxy, dbname: str | None = None) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(proxy.dsn(dbname), autocommit=True)


def test_deleted_row_is_gone_for_everyone_and_still_there(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS)
    with connect(proxy) as one, connect(proxy) as other:
        assert one.execute("DELETE FROM app.users WHERE id <= 3").statusmessage == "DELETE 3"
        assert other.execute("SELECT count(*) FROM app.users").fetchone() == (7,)
    assert shop.execute("SELECT count(*), count(deleted_at) FROM app.users") == [(10, 3)]
    assert proxy.metric("pgsoftproxy_soft_deleted_rows_total", table="app.users") == 3
    assert proxy.metric("pgsoftproxy_statements_total", kind="delete", outcome="rewritten") == 1
    assert proxy.metric("pgsoftproxy_bytes_total", direction="from_upstream") > 0


def test_client_above_the_limit_is_refused_in_due_form(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"connections": 2})
    with connect(proxy) as first, connect(proxy):
        with pytest.raises(psycopg.OperationalError, match="FATAL:  sorry, too many clients already"):
            connect(proxy)
        with RawClient(proxy.host, proxy.port) as third:
            assert third.send(startup(user="postgres", database=shop.name)).fatal()["C"] == "53300"
        assert proxy.metric("pgsoftproxy_connections_refused_total", reason="limit") == 2
        assert first.execute("SELECT 1").fetchone() == (1,)
    with wait_for_room(proxy) as again:
        assert again.execute("SELECT 1").fetchone() == (1,)


def wait_for_room(proxy: RunningProxy) -> psycopg.Connection[tuple[object, ...]]:
    """Connect as soon as a session that was closed here has left there too."""
    wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") < 2)
    return connect(proxy)


def test_query_can_be_cancelled_when_the_limit_is_reached(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"connections": 1})
    with RawClient(proxy.host, proxy.port) as client:
        client.send(startup(user="postgres", database=shop.name))
        key_data = dict(client.until(b"Z"))[b"K"]
        client.send(query("SELECT pg_sleep(60)"))
        wait_until(
            lambda: shop.execute("SELECT 1 FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'") != []
        )
        with RawClient(proxy.host, proxy.port) as canceller:
            assert canceller.send(cancel_request(key_data)).recv() == (b"", b"")
        answer = client.until(b"Z")
        assert b"C57014\0" in answer[-2][1]
    assert proxy.metric("pgsoftproxy_cancel_requests_total") == 1


@pytest.mark.parametrize(
    "said",
    [b"", b"\0\0", startup(user="postgres", database="postgres")[:20]],
    ids=["nothing", "half a length", "half a startup packet"],
)
def test_client_that_does_not_log_in_is_sent_away(
    shop: Database, start_proxy: StartProxy, said: bytes
) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"login_timeout": 0.3})
    with RawClient(proxy.host, proxy.port) as client:
        fields = client.send(said).fatal()
    assert (fields["S"], fields["C"]) == ("FATAL", "57014")
    assert fields["M"] == "canceling authentication due to timeout"
    assert proxy.metric("pgsoftproxy_connections_refused_total", reason="login_timeout") == 1


def test_login_timeout_ends_with_the_login(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"login_timeout": 0.5})
    with connect(proxy) as connection:
        assert connection.execute("SELECT pg_sleep(1), 1").fetchone() == ("", 1)
        assert connection.execute("SELECT 2").fetchone() == (2,)


def test_idle_session_is_ended(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"idle_timeout": 0.4})
    with RawClient(proxy.host, proxy.port) as client:
        client.login(shop.name)
        fields = client.fatal()
    assert (fields["S"], fields["C"]) == ("FATAL", "57P05")
    assert fields["M"] == "terminating connection due to idle-session timeout"


def test_session_in_a_transaction_or_a_query_is_not_idle(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"idle_timeout": 0.3})
    with RawClient(proxy.host, proxy.port) as client:
        client.login(shop.name)
        assert client.query("SELECT pg_sleep(0.8)")[-1] == (b"Z", b"I")
        assert client.query("BEGIN")[-1] == (b"Z", b"T")
        with RawClient(proxy.host, proxy.port) as other:
            other.login(shop.name)
            assert other.fatal()["C"] == "57P05"  # meanwhile the time for `client` has passed too
        assert client.query("COMMIT")[-1] == (b"Z", b"I")
        assert client.fatal()["C"] == "57P05"


def test_drain_lets_transactions_end_and_idle_sessions_go(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS)
    assert proxy.get("/readyz") == "ready\n"
    with RawClient(proxy.host, proxy.port) as idle, RawClient(proxy.host, proxy.port) as busy:
        idle.login(shop.name)
        busy.login(shop.name)
        busy.query("BEGIN; DELETE FROM app.users WHERE id = 1")
        proxy.process.send_signal(signal.SIGTERM)
        fields = idle.fatal()
        assert (fields["C"], fields["M"]) == ("57P01", "terminating connection due to administrator command")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            proxy.get("/readyz")
        assert proxy.get("/healthz") == "ok\n"
        with pytest.raises(ConnectionRefusedError):
            RawClient(proxy.host, proxy.port)
        assert busy.query("SELECT count(*) FROM app.users")[1][1].endswith(b"9")
        committed = busy.query("COMMIT")
        assert committed[-1] == (b"Z", b"I")
        assert busy.fatal()["C"] == "57P01"
    assert proxy.process.wait(30) == 0
    assert proxy.wait_for("drained")["cut_off"] == 0
    assert shop.execute("SELECT count(deleted_at) FROM app.users") == [(1,)]


def test_drain_cuts_off_who_takes_too_long(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"drain_timeout": 0.5})
    with RawClient(proxy.host, proxy.port) as client:
        client.login(shop.name)
        client.query("BEGIN; DELETE FROM app.users")
        proxy.process.send_signal(signal.SIGTERM)
        assert client.fatal()["C"] == "57P01"
    assert proxy.process.wait(30) == 0
    assert proxy.wait_for("drained")["cut_off"] == 1
    assert shop.execute("SELECT count(deleted_at) FROM app.users") == [(0,)]


def test_second_signal_ends_the_drain(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS)
    with RawClient(proxy.host, proxy.port) as client:
        client.login(shop.name)
        client.query("BEGIN")
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_for("draining")
        proxy.process.send_signal(signal.SIGINT)
        assert proxy.process.wait(30) == 0
        assert proxy.wait_for("drain_forced")["cut_off"] == 1
        assert client.recv() == (b"", b"")


def test_reload_puts_new_rules_in_force_for_open_sessions(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS)
    shop.execute("UPDATE app.orders SET deleted_at = now() WHERE id = 1")
    with connect(proxy) as connection:
        assert connection.execute("SELECT count(*) FROM app.orders").fetchone() == (2,)
        event = proxy.reload(proxy.config.read_text() + '\n[tables."app.orders"]\n')
        assert (event["event"], event["databases"]) == ("reloaded", 1)
        assert connection.execute("SELECT count(*) FROM app.orders").fetchone() == (1,)
    assert proxy.metric("pgsoftproxy_reloads_total", result="ok") == 1


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ('[tables."app.nothing"]', 'table "app.nothing" does not exist in database'),
        ('[tables."app.users', ""),
        ("[limits]\nconections = 3", "conections"),
    ],
    ids=["no such table", "no TOML", "unknown key"],
)
def test_bad_reload_changes_nothing_and_says_why(
    shop: Database, start_proxy: StartProxy, wrong: str, problem: str
) -> None:
    proxy = start_proxy(shop, PROTECT_USERS)
    good = proxy.config.read_text()
    with connect(proxy) as connection:
        connection.execute("DELETE FROM app.users WHERE id = 1")
        event = proxy.reload(good.replace(PROTECT_USERS, wrong))
        assert event["event"] == "reload_refused"
        assert problem in event["problems"][0]
        assert event["problems"][0].startswith(str(proxy.config))
        assert connection.execute("SELECT count(*) FROM app.users").fetchone() == (9,)
        assert proxy.reload(good)["event"] == "reloaded"
    assert proxy.metric("pgsoftproxy_reloads_total", result="failed") == 1


def test_reload_names_the_sections_that_need_a_restart(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, upstream={"connect_timeout": 10})
    proxy.reload(proxy.config.read_text().replace("= 10\n", "= 20\n"))
    assert proxy.wait_for("reload_needs_restart")["sections"] == ["upstream"]


def test_wrong_configuration_starts_nothing(shop: Database, tmp_path: object) -> None:
    config = f"{tmp_path}/proxy.toml"
    with open(config, "w") as file:
        file.write(config_text(shop.server, shop.name, '[tables."app.nothing"]'))
    ended = subprocess.run(
        [sys.executable, "-m", "pgsoftproxy", "run", "--config", config],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert f'table "app.nothing" does not exist in database "{shop.name}"' in ended.stderr
    assert '"listening"' not in ended.stderr


def test_taken_port_is_told(shop: Database, start_proxy: StartProxy, tmp_path: object) -> None:
    proxy = start_proxy(shop, PROTECT_USERS)
    config = f"{tmp_path}/second.toml"
    with open(config, "w") as file:
        file.write(config_text(shop.server, shop.name, sections={"listen": {"port": proxy.port}}))
    ended = subprocess.run(
        [sys.executable, "-m", "pgsoftproxy", "run", "--config", config],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1:{proxy.port}: " in ended.stderr


def test_client_that_ends_its_side_still_gets_its_answers(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS)
    with RawClient(proxy.host, proxy.port) as client:
        client.login(shop.name)
        client.send(query("DELETE FROM app.users WHERE id = 1") + query("SELECT count(*) FROM app.users"))
        client.sock.shutdown(socket.SHUT_WR)
        kinds = [kind for kind, _ in client.messages()]
    assert kinds == [b"C", b"Z", b"T", b"D", b"C", b"Z"]
    wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == 0)


def test_client_that_leaves_at_once_has_its_last_words_heard(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS)
    with RawClient(proxy.host, proxy.port) as client:
        client.login(shop.name)
        client.send(query("DELETE FROM app.users WHERE id = 1") + query("DELETE FROM app.users WHERE id = 2"))
        client.send(frame(b"X"))
    wait_until(lambda: shop.execute("SELECT count(deleted_at) FROM app.users") == [(2,)])
    wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == 0)


def test_thousand_clients_come_and_go(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS)

    def visit(number: int) -> bool:
        with RawClient(proxy.host, proxy.port) as client:
            client.login(shop.name)
            return client.query(f"SELECT name FROM app.users WHERE id = {number % 10 + 1}")[-1] == (
                b"Z",
                b"I",
            )

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(visit, range(1000)))
    wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == 0)
    assert proxy.metric("pgsoftproxy_connections_total") == 1000
    assert proxy.metric("process_open_fds") < 50


def test_ddl_is_seen_by_every_session_of_its_database(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, '[tables."app.*"]')
    with connect(proxy) as maker, connect(proxy) as other:
        maker.execute("CREATE TABLE app.notes (id int, deleted_at timestamptz)")
        maker.execute("INSERT INTO app.notes VALUES (1), (2)")
        assert other.execute("DELETE FROM app.notes WHERE id = 1").statusmessage == "DELETE 1"
        assert maker.execute("SELECT count(*) FROM app.notes").fetchone() == (1,)
    assert shop.execute("SELECT count(*) FROM app.notes") == [(2,)]
