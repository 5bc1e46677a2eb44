"""Limits and time-outs of a running proxy: who is refused, who is ended, which query is stopped, in which words."""

import time
from collections.abc import Callable

import psycopg
import pytest

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database
from tests.raw import Message, RawClient, error_fields, frame, query, startup
from tests.waiting import wait_until

StartProxy = Callable[..., RunningProxy]

PROTECT_USERS = "[tables.users]"
SYNC = frame(b"S")


@pytest.fixture
def shop(database: Database) -> Database:
    database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, deleted_at timestamptz); INSERT INTO users VALUES (1), (2)"
    )
    return database


def refusal(proxy: RunningProxy, user: str, database: str) -> dict[str, str]:
    """Return the error that a client gets instead of a session."""
    with RawClient(proxy.host, proxy.port) as client:
        return client.send(startup(user=user, database=database)).fatal()


@pytest.mark.parametrize(
    ("key", "reason", "words"),
    [
        ("connections_per_user", "user_limit", 'too many connections for role "postgres"'),
        ("connections_per_database", "database_limit", 'too many connections for database "{database}"'),
        ("connections_per_address", "address_limit", 'too many connections from address "127.0.0.1"'),
    ],
)
def test_one_connection_too_many_of_a_kind_is_refused_and_there_is_room_again(
    shop: Database, start_proxy: StartProxy, key: str, reason: str, words: str
) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={key: 1})
    with RawClient(proxy.host, proxy.port) as first:
        first.login(shop.name)
        fields = refusal(proxy, user="postgres", database=shop.name)
        assert (fields["S"], fields["C"]) == ("FATAL", "53300")
        assert fields["M"] == words.format(database=shop.name)
        assert fields["H"] == f"The limit is limits.{key} of the proxy's configuration."
        assert proxy.metric("pgsoftproxy_connections_refused_total", reason=reason) == 1
        assert first.query("SELECT 1")[-1] == (b"Z", b"I")
    wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == 0)
    with RawClient(proxy.host, proxy.port) as again:
        again.login(shop.name)


def test_limit_of_one_kind_leaves_room_for_others(shop: Database, start_proxy: StartProxy) -> None:
    limits = {"connections_per_user": 1, "connections_per_database": 1}
    proxy = start_proxy(shop, PROTECT_USERS, limits=limits)
    with RawClient(proxy.host, proxy.port) as first:
        first.login(shop.name)
        fields = refusal(proxy, user="nobody_at_all", database="postgres")
        assert fields["C"] == "28000"  # the server's own word: it was asked
        wait_until(
            lambda: proxy.metric("pgsoftproxy_connections_open") == 1
        )  # who was refused counts no more
        assert refusal(proxy, user="nobody_at_all", database="postgres")["C"] == "28000"


def test_reload_changes_the_limits_of_running_sessions(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"connections": 1, "idle_timeout": 0})
    with RawClient(proxy.host, proxy.port) as first, RawClient(proxy.host, proxy.port) as second:
        first.login(shop.name)
        text = proxy.config.read_text().replace('"connections" = 1\n', '"connections" = 2\n')
        assert proxy.reload(text)["event"] == "reloaded"
        assert proxy.metric("pgsoftproxy_connections_limit") == 2
        second.login(shop.name)
        proxy.reload(text.replace('"idle_timeout" = 0\n', '"idle_timeout" = 0.2\n'))
        assert first.fatal()["C"] == second.fatal()["C"] == "57P05"
    assert proxy.metric("pgsoftproxy_timeouts_total", kind="idle") == 2


def test_client_that_trickles_its_startup_packet_is_sent_away(
    shop: Database, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"login_timeout": 0.6})
    packet = startup(user="postgres", database=shop.name, application_name="x" * 5000)
    with RawClient(proxy.host, proxy.port) as client:
        client.sock.settimeout(0.01)
        fed = iter(packet)
        answer = b""
        while not answer:
            client.sock.send(bytes([next(fed)]))
            try:
                answer = client.sock.recv(1000)
            except TimeoutError:
                continue
    assert b"C57014\0" in answer


def test_session_idle_in_a_transaction_is_ended_and_rolled_back(
    shop: Database, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"idle_in_transaction_timeout": 0.3})
    with RawClient(proxy.host, proxy.port) as client, RawClient(proxy.host, proxy.port) as idle:
        idle.login(shop.name)
        client.login(shop.name)
        assert client.query("BEGIN; DELETE FROM users")[-1] == (b"Z", b"T")
        assert client.query("SELECT pg_sleep(0.6)")[-1] == (b"Z", b"T")
        fields = client.fatal()
        assert (fields["S"], fields["C"]) == ("FATAL", "25P03")
        assert fields["M"] == "terminating connection due to idle-in-transaction timeout"
        assert idle.query("SELECT count(*) FROM users")[1] == (b"D", b"\0\1\0\0\0\0012")
    assert shop.execute("SELECT count(deleted_at) FROM users") == [(0,)]
    assert proxy.metric("pgsoftproxy_timeouts_total", kind="idle_in_transaction") == 1
    assert proxy.wait_for("timed_out")["kind"] == "idle_in_transaction"


def stopped(messages: list[Message]) -> tuple[str, str, str]:
    """Return severity, SQLSTATE and message of the one error among messages."""
    (fields,) = (error_fields(body) for kind, body in messages if kind == b"E")
    return fields["S"], fields["C"], fields["M"]


STOPPED = ("ERROR", "57014", "canceling statement due to statement timeout")


def test_query_that_takes_too_long_is_cancelled_and_the_session_lives_on(
    shop: Database, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"query_timeout": 0.3})
    with RawClient(proxy.host, proxy.port) as client:
        client.login(shop.name)
        for _ in range(3):  # the third is one that the lane carries
            assert stopped(client.query("SELECT pg_sleep(60)")) == STOPPED
            assert client.query("SELECT count(*) FROM users")[1] == (b"D", b"\0\1\0\0\0\0012")
        assert client.query("BEGIN; DELETE FROM users")[-1] == (b"Z", b"T")
        messages = client.query("SELECT pg_sleep(60)")
        assert (stopped(messages), messages[-1]) == (STOPPED, (b"Z", b"E"))
        assert client.query("ROLLBACK")[-1] == (b"Z", b"I")
    assert proxy.metric("pgsoftproxy_timeouts_total", kind="query") == 4
    assert proxy.metric("pgsoftproxy_errors_total", **{"class": "57"}) == 4


def test_query_that_takes_too_long_on_the_lane_is_cancelled(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"query_timeout": 0.3})
    text = "SELECT pg_sleep_for(current_setting('my.pause')::interval) FROM users WHERE id = 1"
    with RawClient(proxy.host, proxy.port) as client:
        client.login(shop.name)
        client.query("SET my.pause = '0'")
        for _ in range(4):
            assert client.query(text)[-1] == (b"Z", b"I")
        client.query("SET my.pause = '60'")
        assert stopped(client.query(text)) == STOPPED
        client.query("SET my.pause = '0'")
        assert client.query(text)[-2] == (b"C", b"SELECT 1\0")


def bound(name: str = "") -> bytes:
    return frame(b"B", b"\0" + name.encode() + b"\0" + bytes(6)) + frame(b"E", b"\0" + bytes(4))


def parsed(text: str) -> bytes:
    return frame(b"P", b"\0" + text.encode() + b"\0\0\0")


def test_what_is_pipelined_behind_a_query_that_takes_too_long_is_answered(
    shop: Database, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"query_timeout": 0.3})
    with RawClient(proxy.host, proxy.port) as client:
        client.login(shop.name)
        slow, swift = (parsed(text) + bound() + SYNC for text in ("SELECT pg_sleep(60)", "SELECT 7"))
        client.send(slow + swift + query("SELECT count(*) FROM users"))
        assert stopped(client.until(b"Z")) == STOPPED
        assert [kind for kind, _ in client.until(b"Z")] == [b"1", b"2", b"D", b"C", b"Z"]
        assert client.until(b"Z")[1] == (b"D", b"\0\1\0\0\0\0012")


def test_each_query_of_a_pipeline_has_the_whole_time(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"query_timeout": 0.8})
    with RawClient(proxy.host, proxy.port) as client:
        client.login(shop.name)
        client.send((parsed("SELECT pg_sleep(0.4)") + bound() + SYNC) * 4)
        assert [client.until(b"Z")[-2][0] for _ in range(4)] == [b"C"] * 4


def test_query_timeout_is_never_early(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"query_timeout": 0.5})
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        started = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled, match="due to statement timeout"):
            connection.execute("SELECT pg_sleep(60)")
        assert time.monotonic() - started >= 0.5
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (2,)


def test_copy_that_waits_for_its_data_has_all_the_time(shop: Database, start_proxy: StartProxy) -> None:
    proxy = start_proxy(shop, PROTECT_USERS, limits={"query_timeout": 0.2})
    with RawClient(proxy.host, proxy.port) as client, RawClient(proxy.host, proxy.port) as other:
        client.login(shop.name)
        other.login(shop.name)
        client.send(query("COPY users FROM STDIN") + frame(b"d", b"3\t\\N\n"))
        assert client.recv()[0] == b"G"
        assert stopped(other.query("SELECT pg_sleep(60)")) == STOPPED
        assert stopped(other.query("SELECT pg_sleep(60)")) == STOPPED  # the copy has waited for as long
        client.send(frame(b"d", b"4\t\\N\n") + frame(b"c"))
        assert client.until(b"Z") == [(b"C", b"COPY 2\0"), (b"Z", b"I")]
