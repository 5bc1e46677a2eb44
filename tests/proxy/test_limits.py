"""Limits and time-outs of a running proxy: who is refused, who is ended, which query is stopped, in which words.

All of it can be reloaded, so one proxy does for all of these tests.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.fix_proxy import RunningProxy, config_text
from tests.fix_servers import Database, create_database, drop_database
from tests.raw import Message, RawClient, error_fields, frame, query, startup
from tests.servers import Server
from tests.waiting import wait_until

TABLES = """
CREATE TABLE users (id int PRIMARY KEY, deleted_at timestamptz);
INSERT INTO users VALUES (1), (2);
"""
SYNC = frame(b"S")
TWO = (b"D", b"\0\1\0\0\0\0012")
COUNT = "SELECT count(*) FROM users"

Limited = Callable[..., RunningProxy]


@pytest.fixture(scope="module")
def shop(server: Server) -> Iterator[Database]:
    made = create_database(server, f"test_{uuid4().hex[:12]}")
    made.execute(TABLES)
    yield made
    drop_database(made)


@pytest.fixture(scope="module")
def proxy(shop: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    config: Path = tmp_path_factory.mktemp("limits") / "proxy.toml"
    config.write_text(config_text(shop.server, shop.name, "[tables.users]"))
    running = RunningProxy(config, shop.server, shop.name)
    yield running
    running.stop()
    print(running.output())


@pytest.fixture
def limited(proxy: RunningProxy, shop: Database) -> Limited:
    """Give the proxy with other limits: `limited(connections=2)`; nobody is connected to it any more."""

    def reload(**limits: float) -> RunningProxy:
        text = config_text(shop.server, shop.name, "[tables.users]", {"limits": limits})
        assert proxy.reload(text)["event"] == "reloaded"
        return proxy

    wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == 0)
    return reload


def client_of(proxy: RunningProxy, database: str = "") -> RawClient:
    """Return a client, logged in if a database is named."""
    client = RawClient(proxy.host, proxy.port)
    return client.login(database) if database else client


def refusal(proxy: RunningProxy, user: str, database: str) -> dict[str, str]:
    """Return the error that a client gets instead of a session."""
    with client_of(proxy) as client:
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
    shop: Database, limited: Limited, key: str, reason: str, words: str
) -> None:
    proxy = limited(**{key: 1})
    with client_of(proxy, shop.name) as first:
        fields = refusal(proxy, user="postgres", database=shop.name)
        assert (fields["S"], fields["C"]) == ("FATAL", "53300")
        assert fields["M"] == words.format(database=shop.name)
        assert fields["H"] == f"The limit is limits.{key} of the proxy's configuration."
        assert proxy.metric("pgsoftproxy_connections_refused_total", reason=reason) == 1
        assert first.query("SELECT 1")[-1] == (b"Z", b"I")
    wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == 0)
    with client_of(proxy, shop.name) as again:
        assert again.query("SELECT 1")[-1] == (b"Z", b"I")


def test_limit_of_one_kind_leaves_room_for_others_and_who_fails_to_log_in_counts_no_more(
    shop: Database, limited: Limited
) -> None:
    proxy = limited(connections_per_user=1, connections_per_database=1)
    with client_of(proxy, shop.name):
        for _ in range(2):
            fields = refusal(proxy, user="nobody_at_all", database="postgres")
            assert fields["C"] == "28000"  # the server's own word: it was asked
            wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == 1)


def test_client_that_leaves_while_it_logs_in_counts_no_more(shop: Database, limited: Limited) -> None:
    proxy = limited(connections_per_user=1)
    for _ in range(20):
        with client_of(proxy) as client:
            client.send(startup(user="postgres", database=shop.name))
    wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == 0)
    with client_of(proxy, shop.name) as again:
        assert again.query("SELECT 1")[-1] == (b"Z", b"I")


def test_reload_changes_the_limits_of_running_sessions(shop: Database, limited: Limited) -> None:
    proxy = limited(connections=1)
    timed_out = proxy.metric("pgsoftproxy_timeouts_total", kind="idle")
    with client_of(proxy, shop.name) as first, client_of(proxy) as second:
        limited(connections=2)
        assert proxy.metric("pgsoftproxy_connections_limit") == 2
        second.login(shop.name)
        limited(idle_timeout=0.2)
        assert first.fatal()["C"] == second.fatal()["C"] == "57P05"
    assert proxy.metric("pgsoftproxy_timeouts_total", kind="idle") == timed_out + 2


def test_client_that_trickles_its_startup_packet_is_sent_away(shop: Database, limited: Limited) -> None:
    proxy = limited(login_timeout=0.4)
    packet = startup(user="postgres", database=shop.name, application_name="x" * 5000)
    with client_of(proxy) as client:
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


def test_session_idle_in_a_transaction_is_ended_and_rolled_back(shop: Database, limited: Limited) -> None:
    proxy = limited(idle_in_transaction_timeout=0.3)
    with client_of(proxy, shop.name) as client, client_of(proxy, shop.name) as idle:
        assert client.query("BEGIN; DELETE FROM users")[-1] == (b"Z", b"T")
        assert client.query("SELECT pg_sleep(0.6)")[-1] == (b"Z", b"T")
        fields = client.fatal()
        assert (fields["S"], fields["C"]) == ("FATAL", "25P03")
        assert fields["M"] == "terminating connection due to idle-in-transaction timeout"
        assert idle.query(COUNT)[1] == TWO
    assert shop.execute("SELECT count(deleted_at) FROM users") == [(0,)]
    assert proxy.metric("pgsoftproxy_timeouts_total", kind="idle_in_transaction") == 1
    assert proxy.wait_for("timed_out")["user"] == "postgres"


def stopped(messages: list[Message]) -> tuple[str, str, str]:
    """Return severity, SQLSTATE and message of the one error among messages."""
    (fields,) = (error_fields(body) for kind, body in messages if kind == b"E")
    return fields["S"], fields["C"], fields["M"]


STOPPED = ("ERROR", "57014", "canceling statement due to statement timeout")


def test_query_that_takes_too_long_is_cancelled_and_the_session_lives_on(
    shop: Database, limited: Limited
) -> None:
    proxy = limited(query_timeout=0.3)
    before = proxy.metric("pgsoftproxy_timeouts_total", kind="query")
    with client_of(proxy, shop.name) as client:
        for _ in range(3):  # the third is one that the lane carries
            assert stopped(client.query("SELECT pg_sleep(60)")) == STOPPED
            assert client.query(COUNT)[1] == TWO
        assert client.query("BEGIN; DELETE FROM users")[-1] == (b"Z", b"T")
        messages = client.query("SELECT pg_sleep(60)")
        assert (stopped(messages), messages[-1]) == (STOPPED, (b"Z", b"E"))
        assert client.query("ROLLBACK")[-1] == (b"Z", b"I")
    assert proxy.metric("pgsoftproxy_timeouts_total", kind="query") == before + 4
    assert proxy.metric("pgsoftproxy_errors_total", **{"class": "57"}) >= 4


def test_query_that_takes_too_long_on_the_lane_is_cancelled(shop: Database, limited: Limited) -> None:
    proxy = limited(query_timeout=0.3)
    text = "SELECT pg_sleep_for(current_setting('my.pause')::interval) FROM users WHERE id = 1"
    with client_of(proxy, shop.name) as client:
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
    shop: Database, limited: Limited
) -> None:
    with client_of(limited(query_timeout=0.3), shop.name) as client:
        slow, swift = (parsed(text) + bound() + SYNC for text in ("SELECT pg_sleep(60)", "SELECT 7"))
        client.send(slow + swift + query(COUNT))
        assert stopped(client.until(b"Z")) == STOPPED
        assert [kind for kind, _ in client.until(b"Z")] == [b"1", b"2", b"D", b"C", b"Z"]
        assert client.until(b"Z")[1] == TWO


def test_what_a_client_sends_and_its_end_wait_for_the_cancel_request(
    shop: Database, limited: Limited
) -> None:
    with client_of(limited(query_timeout=0.3), shop.name) as client:
        client.send(query("SELECT pg_sleep(60)"))
        for number in range(100, 110):
            client.send(query(f"SELECT {number}"))
        client.send(frame(b"X"))
        assert stopped(client.until(b"Z")) == STOPPED
        answers = [client.until(b"Z")[1][1][-3:] for _ in range(10)]
        assert answers == [b"%d" % number for number in range(100, 110)]
        assert client.recv() == (b"", b"")


def test_each_query_of_a_pipeline_has_the_whole_time(shop: Database, limited: Limited) -> None:
    with client_of(limited(query_timeout=0.8), shop.name) as client:
        client.send((parsed("SELECT pg_sleep(0.4)") + bound() + SYNC) * 4)
        assert [client.until(b"Z")[-2][0] for _ in range(4)] == [b"C"] * 4


def test_query_timeout_is_never_early(limited: Limited) -> None:
    with psycopg.connect(limited(query_timeout=0.5).dsn(), autocommit=True) as connection:
        started = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled, match="due to statement timeout"):
            connection.execute("SELECT pg_sleep(60)")
        assert time.monotonic() - started >= 0.5
        assert connection.execute(COUNT).fetchone() == (2,)


def test_query_that_somebody_else_cancels_keeps_the_servers_words(shop: Database, limited: Limited) -> None:
    with psycopg.connect(limited(query_timeout=30).dsn(), autocommit=True) as connection:
        connection.execute("SET statement_timeout = '100ms'")
        with pytest.raises(psycopg.errors.QueryCanceled, match="due to statement timeout"):
            connection.execute("SELECT pg_sleep(60)")
        with pytest.raises(psycopg.errors.QueryCanceled, match="due to user request"):
            connection.execute("SELECT pg_cancel_backend(pg_backend_pid())")


def test_copy_has_all_the_time_while_it_waits_for_data_and_all_of_it_again_from_its_end(
    shop: Database, limited: Limited
) -> None:
    proxy = limited(query_timeout=0.4)
    shop.execute(
        """
        CREATE TABLE slow (id int);
        CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END';
        CREATE TRIGGER slowly AFTER INSERT ON slow EXECUTE FUNCTION slowly();
        """
    )
    with client_of(proxy, shop.name) as client, client_of(proxy, shop.name) as other:
        client.send(query("COPY slow FROM STDIN") + frame(b"d", b"3\n"))
        assert client.recv()[0] == b"G"
        for _ in range(2):
            assert stopped(other.query("SELECT pg_sleep(60)")) == STOPPED  # the copy has waited for as long
        client.send(frame(b"d", b"4\n") + frame(b"c"))
        assert client.until(b"Z") == [(b"C", b"COPY 2\0"), (b"Z", b"I")]
