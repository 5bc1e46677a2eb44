"""However a client leaves, and in the midst of what: its session at the server ends as it would without the proxy.

By a goodbye, by closing, by closing one direction, by a reset; what a client still reads is the server's own answer.
"""

import os
import socket
import struct
from collections.abc import Callable

import pytest

from tests.clients.raw import (
    FLUSH,
    TERMINATE,
    RawClient,
    bind,
    comparable,
    execute,
    function_call,
    message,
    parse,
    query,
    startup,
)
from tests.clients.shop import Shop, Target
from tests.fix_proxy import RunningProxy
from tests.waiting import wait_until

ROWS = 20_000
DATA = message(b"d", b"10\tnew\n")
HALF_A_CALL = function_call(957, b"\0\0\0\0")[:-5]
INSERT = "INSERT INTO app.orders (user_id) SELECT id FROM app.users WHERE id < 3"
SERIES = f"SELECT n, repeat('x', 50) FROM generate_series(1, {ROWS}) AS n"

MIDSTS: dict[str, tuple[bytes, bytes]] = {
    "nothing": (query("SELECT 1"), b"Z"),
    "a transaction": (query(f"BEGIN; {INSERT}"), b"Z"),
    "a failed transaction": (query(f"BEGIN; {INSERT}; SELECT 1/0"), b"Z"),
    "a query": (query(f"BEGIN; {INSERT}") + query("SELECT pg_sleep(0.1)"), b"Z"),
    "several queries": (query("SELECT pg_sleep(0.1)") + query(f"BEGIN; {INSERT}") + query("SELECT 7"), b""),
    "a pipeline": (parse(INSERT) + bind() + execute() + FLUSH, b"C"),
    "a pipeline that nobody flushed": (parse(INSERT) + bind() + execute(), b""),
    "a portal": (query("BEGIN") + parse(SERIES) + bind() + execute(rows=1) + FLUSH, b"s"),
    "a result": (query(SERIES), b"D"),
    "COPY out": (query(f"COPY ({SERIES}) TO STDOUT"), b"d"),
    "COPY in": (query("COPY app.notes FROM STDIN") + DATA, b"G"),
    "COPY in by the extended protocol": (
        parse("COPY app.notes FROM STDIN") + bind() + execute() + FLUSH + DATA,
        b"G",
    ),
    "a message": (query(INSERT)[:-3], b""),
    "a message of COPY": (query("COPY app.notes FROM STDIN") + DATA[:-5], b"G"),
    "a message whose last bytes a Flush could be": (query("SELECT pg_sleep(0.1)") + HALF_A_CALL, b""),
}
"""What a client has sent, and which answer it has seen of it."""


def shut(client: RawClient) -> None:
    client.socket.shutdown(socket.SHUT_WR)


def goodbye(client: RawClient) -> None:
    client.send(TERMINATE)


def goodbye_and_shut(client: RawClient) -> None:
    client.send(TERMINATE)
    client.socket.shutdown(socket.SHUT_WR)


def reset(client: RawClient) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


def close(client: RawClient) -> None:
    client.socket.close()


def vanish(client: RawClient) -> None:
    goodbye(client)
    reset(client)


def in_midst(target: Target, name: str, application: str) -> RawClient:
    """Return a client that is in the midst of something."""
    client = RawClient(target)
    client.log_in(application_name=application)
    data, seen = MIDSTS[name]
    client.send(data)
    if seen:
        client.read_until(seen)
    return client


def gone(shop: Shop, application: str) -> Callable[[], bool]:
    """Return a question: has the server no session of that name any more?"""
    sql = f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{application}'"
    return lambda: shop.rows(sql) == []


def unchanged(shop: Shop) -> bool:
    """Tell whether nothing was stored."""
    counts = "(SELECT count(*) FROM app.orders), (SELECT count(*) FROM app.notes)"
    return shop.rows(f"SELECT {counts}, count(*) FROM pg_largeobject_metadata") == [(5, 5, 0)]


def descriptors(proxy: RunningProxy) -> int:
    """Return how many files the process has open."""
    return len(os.listdir(f"/proc/{proxy.process.pid}/fd"))


@pytest.mark.parametrize("end", [shut, goodbye, goodbye_and_shut], ids=lambda end: end.__name__)
def test_who_goes_on_reading_reads_what_the_server_would_have_said(
    shop: Shop, end: Callable[[RawClient], None]
) -> None:
    for name in MIDSTS:
        if end is not shut and ("message" in name or name.startswith("COPY in")):
            continue  # the goodbye would be a part of it, or wait there for an end that direct sessions wait for, too
        answers = []
        for target in (shop.proxied, shop.direct.as_user("ann")):
            with in_midst(target, name, "reads on") as client:
                end(client)
                answers.append(comparable(client.read_to_end()))
            wait_until(gone(shop, "reads on"))
        assert answers[0] == answers[1], name
        # What was executed, but in no transaction of its own that had ended, is undone.
        assert unchanged(shop), name


@pytest.mark.parametrize("end", [close, reset, vanish], ids=lambda end: end.__name__)
def test_who_is_gone_leaves_no_session_and_no_descriptor_behind(
    shop: Shop, end: Callable[[RawClient], None]
) -> None:
    wait_until(lambda: shop.proxy.metric("pgsoftproxy_connections_open") == 0)
    before = descriptors(shop.proxy)
    for client in [in_midst(shop.proxied, name, "is gone") for name in MIDSTS]:
        end(client)
    with RawClient(shop.proxied) as early:
        early.send(startup((3, 0), {"user": "ann", "database": early.target.dbname})[:-1])
        end(early)
    wait_until(gone(shop, "is gone"))
    wait_until(lambda: shop.proxy.metric("pgsoftproxy_connections_open") == 0)
    wait_until(lambda: descriptors(shop.proxy) <= before)
    assert unchanged(shop)
    assert shop.proxy.metric("pgsoftproxy_session_crashes_total") == 0


def test_what_was_sent_along_with_the_startup_is_answered_though_nothing_follows(shop: Shop) -> None:
    answers = []
    for target in (shop.proxied, shop.direct.as_user("ann")):
        with RawClient(target) as client:
            packet = startup((3, 0), {"user": "ann", "database": target.dbname})
            client.send(packet + query("SELECT note FROM app.notes ORDER BY id"))
            shut(client)
            answers.append([one for one in comparable(client.read_to_end()) if one[0] != b"K"])
    assert answers[0] == answers[1]
    assert answers[0][-1] == (b"Z", b"I")


@pytest.mark.parametrize("end", [close, shut, reset, goodbye_and_shut], ids=lambda end: end.__name__)
def test_a_server_that_looks_for_its_client_finds_it_gone(
    shop: Shop, end: Callable[[RawClient], None]
) -> None:
    with RawClient(shop.proxied) as client:
        client.log_in(application_name="looked for", options="-c client_connection_check_interval=20ms")
        client.send(query(f"BEGIN; {INSERT}; SELECT pg_sleep(600)"))
        asleep = (
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'looked for' AND wait_event = 'PgSleep'"
        )
        wait_until(lambda: shop.rows(asleep) != [])
        end(client)
        wait_until(gone(shop, "looked for"))
    assert unchanged(shop)
