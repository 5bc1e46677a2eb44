"""Limits of connections hold for all workers together, also while clients storm in, and after a worker was killed."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsoftproxy.workers.tally import Tally
from tests.fix_proxy import RunningProxy, config_text
from tests.fix_servers import Database, create_database, drop_database
from tests.processes import alive
from tests.servers import Server
from tests.waiting import wait_until
from tests.workers.test_workers import connections_of, workers

WORKERS = 3
STEPS = st.lists(st.tuples(st.integers(0, WORKERS - 1), st.integers(0, 7), st.integers(0, 3)), max_size=60)


@given(STEPS)
def test_every_worker_sees_what_the_others_have(steps: list[tuple[int, int, int]]) -> None:
    tally = Tally()
    parts = [tally.part(slot, WORKERS) for slot in range(WORKERS)]
    truth: list[Counter[str]] = [Counter() for _ in range(WORKERS)]
    for slot, number, count in steps:
        key = f"user {number}"
        with parts[slot]:
            parts[slot].note(key, count)
        truth[slot][key] = count
        for looker, part in enumerate(parts):
            with part:
                for name in truth[slot]:
                    expected = sum(other[name] for at, other in enumerate(truth) if at != looker)
                    assert part.count(name) == expected
    os.close(parts[0].fileno())


def test_more_keys_than_are_read_at_once_are_all_found_and_given_back() -> None:
    tally = Tally()
    one, other = tally.part(0, 2), tally.part(1, 2)
    with one:
        for number in range(1000):
            one.note(f"address {number}", number + 1)
    with other:
        assert [other.count(f"address {number}") for number in range(1000)] == list(range(1, 1001))
    tally.forget(0)
    with other:
        assert other.count("address 7") == 0
    os.close(one.fileno())


def test_a_worker_that_dies_while_it_counts_keeps_nobody_from_counting() -> None:
    tally = Tally()
    part = tally.part(1, 2)
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with tally.part(0, 2):
            os.write(told, b"!")
            signal.pause()
    os.read(ready, 1)
    os.kill(child, signal.SIGKILL)
    with part:
        assert part.count("user x") == 0
    os.waitpid(child, 0)
    for fd in (ready, told, part.fileno()):
        os.close(fd)


@pytest.fixture(scope="module")
def shop(server: Server) -> Iterator[Database]:
    made = create_database(server, f"test_{uuid4().hex[:12]}")
    yield made
    drop_database(made)


def text_of(shop: Database, **limits: int) -> str:
    return config_text(shop.server, shop.name, "", {"listen": {"workers": 2}, "limits": limits})


@pytest.fixture(scope="module")
def proxy(shop: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    config = tmp_path_factory.mktemp("tally") / "proxy.toml"
    config.write_text(text_of(shop))
    running = RunningProxy(config, shop.server, shop.name)
    yield running
    running.stop()
    print(running.output())


def storm(proxy: RunningProxy, number: int) -> list[psycopg.Connection]:
    """Let so many clients come at once; return those that got in. Whoever did not was told why."""

    def come(_: int) -> psycopg.Connection | None:
        try:
            return psycopg.connect(proxy.dsn(), connect_timeout=20)
        except psycopg.OperationalError as error:
            assert "too many" in str(error), error
            return None

    with ThreadPoolExecutor(12) as pool:
        return [session for session in pool.map(come, range(number)) if session is not None]


@pytest.mark.parametrize(
    "key", ["connections", "connections_per_user", "connections_per_database", "connections_per_address"]
)
def test_limit_is_one_for_all_workers_and_has_back_what_a_killed_one_had(
    shop: Database, proxy: RunningProxy, key: str
) -> None:
    wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == 0)
    assert proxy.reload(text_of(shop, **{key: 8}))["event"] == "reloaded"
    with ExitStack() as opened:
        for session in (first := storm(proxy, 24)):
            opened.enter_context(session)
        assert len(first) == 8
        victim = max(workers(proxy), key=lambda pid: connections_of(pid, proxy.port))
        lost = connections_of(victim, proxy.port)
        before = len(proxy.logs())
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not alive(victim))
        proxy.wait_for("worker_died", after=before)
        for session in (second := storm(proxy, 24)):
            opened.enter_context(session)
        assert len(second) == lost
        for session in first + second:
            session.close()
    wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == 0)
    wait_until(lambda: len(workers(proxy)) == 2)
    last = storm(proxy, 24)
    assert len(last) == 8
    for session in last:
        session.close()
