"""Two workers behind one port look like one proxy, also when one of them is killed."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.fix_proxy import ROOT, RunningProxy
from tests.fix_servers import Database
from tests.processes import alive, children
from tests.raw import PROTOCOL, RawClient, cancel_request, query, startup
from tests.waiting import wait_until

TABLES = """
CREATE TABLE public.users (id int PRIMARY KEY, deleted_at timestamptz);
INSERT INTO users SELECT n, CASE WHEN n % 2 = 0 THEN now() END FROM generate_series(1, 10) AS n;
"""
PROTECTED = '[tables."public.users"]'
SESSIONS = 24
"""So many fall to one of two workers alone once in millions of runs."""
COUNT = "SELECT count(*) FROM users"


@pytest.fixture
def proxy(database: Database, start_proxy: Callable[..., RunningProxy]) -> RunningProxy:
    """Give a proxy of two workers before a protected table."""
    database.execute(TABLES)
    return start_proxy(database, PROTECTED, listen={"workers": 2})


@pytest.fixture
def sessions(proxy: RunningProxy) -> Iterator[list[psycopg.Connection]]:
    """Give sessions enough to be of both workers."""
    with ExitStack() as opened:
        yield [opened.enter_context(psycopg.connect(proxy.dsn(), autocommit=True)) for _ in range(SESSIONS)]


def count(session: psycopg.Connection) -> int | None:
    """Return the rows that a session sees; None if it is gone."""
    try:
        row = session.execute(COUNT).fetchone()
    except psycopg.OperationalError:
        return None
    return None if row is None else int(row[0])


def counts_of_new_sessions(proxy: RunningProxy, number: int = SESSIONS) -> set[int | None]:
    """Return what new sessions see; raises if one is refused, or waits for long."""
    seen = set()
    for _ in range(number):
        with psycopg.connect(proxy.dsn(), connect_timeout=10, autocommit=True) as session:
            seen.add(count(session))
    return seen


def workers(proxy: RunningProxy) -> list[int]:
    """Return the processes that serve."""
    return children(proxy.process.pid)


def connections_of(pid: int, port: int) -> int:
    """Return how many clients of the port a process holds."""
    table = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in table if row[1].endswith(f":{port:04X}") and row[3] == "01"}
    links = (f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd"))
    return sum(os.readlink(link) in inodes for link in links if os.path.islink(link))


def started(proxy: RunningProxy) -> int:
    """Return how many workers have replaced one."""
    return sum(entry["event"] == "worker_started" for entry in proxy.logs())


def test_both_workers_serve_and_one_endpoint_counts_what_both_have_done(
    proxy: RunningProxy, sessions: list[psycopg.Connection]
) -> None:
    assert [count(session) for session in sessions] == [5] * SESSIONS
    held = [connections_of(pid, proxy.port) for pid in workers(proxy)]
    assert sum(held) == SESSIONS
    assert min(held) > 0
    assert proxy.metric("pgsoftproxy_connections_open") == SESSIONS
    assert proxy.metric("pgsoftproxy_connections_total") == SESSIONS
    assert proxy.metric("pgsoftproxy_statements_total", kind="select", outcome="rewritten") == SESSIONS
    assert proxy.metric("pgsoftproxy_guarded_reads_total", table="public.users") == SESSIONS
    assert proxy.metric("pgsoftproxy_workers") == 2
    assert proxy.metric("pgsoftproxy_databases") == 1
    assert proxy.metric("pgsoftproxy_build_info") == 1
    assert proxy.get("/readyz") == "ready\n"
    assert proxy.get("/healthz") == "ok\n"
    # The supervisor forks: a second thread could hold a lock that no child would ever get.
    assert len(os.listdir(f"/proc/{proxy.process.pid}/task")) == 1


def test_a_worker_that_is_killed_takes_its_own_sessions_along_and_nothing_else(
    proxy: RunningProxy, sessions: list[psycopg.Connection]
) -> None:
    before = [count(session) for session in sessions]
    counted = proxy.metric("pgsoftproxy_guarded_reads_total")
    victim = workers(proxy)[0]
    lost = connections_of(victim, proxy.port)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not alive(victim))
    # No pause: some of these come to the share of the port that nobody takes at the moment.
    assert counts_of_new_sessions(proxy) == {5}
    after = [count(session) for session in sessions]
    assert after.count(None) == lost
    assert {*before, *after} == {5, None}
    died = proxy.wait_for("worker_died")
    assert (died["pid"], died["fate"]) == (victim, "SIGKILL")
    proxy.wait_for("worker_started")
    assert len(workers(proxy)) == 2
    assert proxy.metric("pgsoftproxy_worker_restarts_total") == 1
    assert proxy.metric("pgsoftproxy_guarded_reads_total") >= counted + SESSIONS // 2


def test_nobody_waits_for_a_worker_that_dies_again_and_again(proxy: RunningProxy) -> None:
    steady, *_ = workers(proxy)
    for number in range(3):
        (other,) = [pid for pid in workers(proxy) if pid != steady]
        os.kill(other, signal.SIGKILL)
        wait_until(lambda pid=other: not alive(pid))  # type: ignore[misc]
        assert counts_of_new_sessions(proxy, 8) == {5}
        wait_until(lambda wanted=number + 1: started(proxy) == wanted)  # type: ignore[misc]
    assert proxy.get("/readyz") == "ready\n"


def test_a_worker_that_is_told_to_end_hands_its_share_over_first(proxy: RunningProxy) -> None:
    with ExitStack() as opened:
        busy = [opened.enter_context(psycopg.connect(proxy.dsn())) for _ in range(SESSIONS)]
        assert {count(session) for session in busy} == {5}  # each in a transaction, which holds the drain
        leaving, _ = workers(proxy)
        os.kill(leaving, signal.SIGTERM)
        proxy.wait_for("draining")
        assert counts_of_new_sessions(proxy) == {5}
        assert alive(leaving)
        for session in busy:
            session.rollback()
        proxy.wait_for("worker_started")


def test_a_new_rule_is_in_force_in_all_workers_or_in_none(
    proxy: RunningProxy, sessions: list[psycopg.Connection]
) -> None:
    text = proxy.config.read_text()
    refused = proxy.reload(text.replace("public.users", "public.nobody"))
    assert refused["event"] == "reload_refused"
    assert len(refused["problems"]) == 1
    assert {count(session) for session in sessions} == {5}
    assert proxy.reload("[listen\n")["event"] == "reload_refused"
    assert {count(session) for session in sessions} == {5}
    assert proxy.reload(text.replace(PROTECTED, ""))["event"] == "reloaded"
    assert {count(session) for session in sessions} == {10}
    assert proxy.metric("pgsoftproxy_reloads_total", result="failed") == 2
    assert proxy.metric("pgsoftproxy_reloads_total", result="ok") == 1
    # A worker that comes later begins with what is in force, not with what the file says by then.
    proxy.config.write_text("[listen\n")
    for pid in workers(proxy):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: started(proxy) == 2)
    assert counts_of_new_sessions(proxy) == {10}


def test_sigterm_ends_idle_sessions_and_a_second_one_those_that_are_busy(
    proxy: RunningProxy, sessions: list[psycopg.Connection]
) -> None:
    pids = workers(proxy)
    with psycopg.connect(proxy.dsn()) as busy:
        assert count(busy) == 5
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_for("draining")

        def unready() -> bool:
            with socket.create_connection((proxy.host, proxy.metrics_port)) as probe:
                probe.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                return probe.recv(4096).startswith(b"HTTP/1.0 503 ")

        wait_until(unready)
        wait_until(lambda: {count(session) for session in sessions} == {None})
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((proxy.host, proxy.port), 5)
        assert count(busy) == 5
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(30) == 0
        assert count(busy) is None
        assert not any(alive(pid) for pid in pids)


def test_workers_do_not_outlive_a_supervisor_that_is_killed(proxy: RunningProxy) -> None:
    pids = workers(proxy)
    proxy.process.kill()
    wait_until(lambda: not any(alive(pid) for pid in pids))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((proxy.host, proxy.port), 5)


def run(config: Path) -> "subprocess.CompletedProcess[str]":
    """Run a proxy that is expected not to start."""
    command = [sys.executable, "-m", "pgsoftproxy", "run", "--config", str(config)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=False)


def test_proxy_that_cannot_have_its_port_or_does_not_fit_the_database_does_not_start(
    proxy: RunningProxy,
) -> None:
    text = proxy.config.read_text()
    other = proxy.config.with_name("other.toml")
    for wrong, told in (
        (text.replace('"port" = 0', f'"port" = {proxy.port}', 1), f"cannot listen on 127.0.0.1:{proxy.port}"),
        (text.replace("public.users", "public.nobody"), f"\n{other}:"),
    ):
        other.write_text(wrong)
        done = run(other)
        assert done.returncode == 2
        assert done.stderr.count(told) == 1, done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("minor", [0, 2])
def test_a_cancel_request_reaches_its_session_through_any_worker_and_no_other(
    proxy: RunningProxy, database: Database, minor: int
) -> None:
    long = minor == 2 and database.server.version >= 18  # an older server speaks 3.0 whatever it is asked for
    with RawClient(proxy.host, proxy.port) as client, psycopg.connect(proxy.dsn()) as other:
        client.send(startup(PROTOCOL + minor, user="postgres", database=database.name))
        (key,) = [body for kind, body in client.until(b"Z") if kind == b"K"]
        assert (len(key) > 8) == long
        watched = threading.Thread(target=other.execute, args=("SELECT pg_sleep(1)",))
        watched.start()
        asleep = (
            "SELECT 1 FROM pg_stat_activity "
            f"WHERE pid = {int.from_bytes(key[:4], 'big')} AND wait_event = 'PgSleep'"
        )
        for _ in range(8):
            client.send(query("SELECT pg_sleep(60)"))
            wait_until(lambda: bool(database.execute(asleep)))
            for packet in (key[:-1] + bytes((key[-1] ^ 1,)), key):
                with RawClient(proxy.host, proxy.port) as canceller:
                    assert list(canceller.send(cancel_request(packet)).messages()) == []
            (error,) = [body for kind, body in client.until(b"Z") if kind == b"E"]
            assert b"C57014\0" in error
        watched.join()
    assert proxy.metric("pgsoftproxy_cancel_requests_total") == 16


def test_a_cancel_request_that_comes_too_late_never_hits_the_next_query(
    proxy: RunningProxy, database: Database
) -> None:
    with RawClient(proxy.host, proxy.port) as client:
        client.send(startup(PROTOCOL + 2, user="postgres", database=database.name))
        key = dict(client.until(b"Z"))[b"K"]
        for _ in range(100):
            assert client.query(COUNT)[-1] == (b"Z", b"I")
            with RawClient(proxy.host, proxy.port) as canceller:
                # Answered, as by the server, once the signal is on its way: it finds the session idle.
                assert list(canceller.send(cancel_request(key)).messages()) == []
            assert [kind for kind, _ in client.query(f"{COUNT}; SELECT pg_sleep(0.001)")] == list(
                map(bytes, zip(b"TDCTDCZ"))
            )
    assert proxy.metric("pgsoftproxy_cancel_requests_total") == 100
