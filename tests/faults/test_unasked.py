"""What the server says unasked, to who is idle or in the midst of a pipeline, comes at once and in its place."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.clients.raw import FLUSH, SYNC, Message, RawClient, bind, comparable, execute, parse, query
from tests.clients.shop import Shop, Target

READ = "SELECT count(*) FROM app.notes"
NOTIFY = "NOTIFY news, 'more of it'"
RAISE = "DO $$ BEGIN RAISE NOTICE 'by the way'; RAISE WARNING 'mind this'; END $$"


@contextmanager
def idle(target: Target, *first: str) -> Iterator[RawClient]:
    """Give a session that has nothing to say any more, after what it has asked first."""
    with RawClient(target) as client:
        client.log_in(application_name="idle")
        # More than once: then its statements are known to be plain, and take the short way.
        for text in (*first, READ, READ, READ):
            client.ask(query(text))
        yield client


def both(shop: Shop) -> tuple[Target, Target]:
    """Return the way through the proxy, and that past it."""
    return shop.proxied, shop.direct.as_user("ann")


def without_pid(messages: list[Message]) -> list[tuple[bytes, object]]:
    """Return messages, of notifications what another session would be told, too."""
    return [
        (kind, body[4:]) if kind == b"A" and isinstance(body, bytes) else (kind, body)
        for kind, body in comparable(messages)
    ]


def test_a_notification_reaches_who_says_nothing(shop: Shop) -> None:
    for target in both(shop):
        with idle(target, "LISTEN news") as client:
            for number in range(3):
                shop.execute(f"NOTIFY news, '{number}'")
                kind, body = client.read_message()
                assert (kind, body[4:]) == (b"A", b"news\0%d\0" % number)
            # What was said meanwhile is not taken for an answer.
            assert [one.type for one in client.ask(query(READ))] == [b"T", b"D", b"C", b"Z"]


def test_a_notification_waits_for_the_end_of_a_transaction(shop: Shop) -> None:
    found = []
    for target in both(shop):
        with idle(target, "LISTEN news", "BEGIN") as client:
            shop.execute(NOTIFY)
            answers = [client.ask(query(READ)), client.ask(query("COMMIT"))]
            if not any(one.type == b"A" for one in answers[1]):
                answers.append([client.read_message()])
            found.append(without_pid([one for answer in answers for one in answer if one.type != b"Z"]))
    assert found[0] == found[1]
    assert [kind for kind, _ in found[0]].count(b"A") == 1


PIPELINES = {
    "notices between results": query(f"SELECT 1; {RAISE}; SELECT 2"),
    "notices in a pipeline": b"".join(
        parse(text) + bind() + execute() for text in (READ, RAISE, "DELETE FROM app.notes WHERE id < 0", RAISE, READ)
    )
    + SYNC,
    "notices behind an error": parse("SELECT 1/0") + bind() + execute() + SYNC + query(RAISE) + query(READ),
    "a notification of its own in a pipeline": parse(NOTIFY) + bind() + execute() + SYNC + query(READ),
    "a notification of its own, rolled back": query(f"BEGIN; {NOTIFY}; ROLLBACK") + query(READ),
    "settings that change in a pipeline": query("SET DateStyle = 'German'; SELECT date '2024-12-31'")
    + parse("SET TimeZone = 'Asia/Tokyo'") + bind() + execute() + parse("SELECT 1/0") + bind() + execute() + SYNC
    + query("SET application_name = 'another'; RESET DateStyle")
    + query("BEGIN; SET IntervalStyle = 'iso_8601'; ROLLBACK"),
    "warnings of the server": query("ROLLBACK") + query("BEGIN; BEGIN; COMMIT; COMMIT"),
    "notices of a protected table": query("DROP TABLE IF EXISTS app.nothing; DELETE FROM app.users WHERE id = 99"),
}  # fmt: skip


@pytest.mark.parametrize("name", PIPELINES)
def test_notices_notifications_and_settings_come_in_their_place(shop: Shop, name: str) -> None:
    found = []
    for target in both(shop):
        with idle(target, "LISTEN news") as client:
            client.send(PIPELINES[name] + query("SELECT 'the end of it'"))
            messages = [client.read_message()]
            while b"the end of it" not in messages[-1].body:
                messages.append(client.read_message())
            found.append(without_pid(messages))
    assert found[0] == found[1]


@pytest.fixture
def interval_style(shop: Shop) -> Iterator[None]:
    """Have the server's own configuration say another style of intervals, for which its sessions must not wait."""
    yield
    shop.execute("ALTER SYSTEM RESET IntervalStyle")
    shop.execute("SELECT pg_reload_conf()")


@pytest.mark.usefixtures("interval_style")
def test_a_reload_of_the_server_is_told_with_the_next_answer(shop: Shop) -> None:
    with psycopg.connect(shop.proxied.conninfo, autocommit=True) as watching, idle(shop.proxied) as client:
        shop.execute("ALTER SYSTEM SET IntervalStyle = 'sql_standard'")
        shop.execute("SELECT pg_reload_conf()")
        while watching.execute("SHOW IntervalStyle").fetchone() != ("sql_standard",):
            pass
        assert watching.info.parameter_status("IntervalStyle") == "sql_standard"
        answer = client.ask(query(READ))
        while Message(b"S", b"IntervalStyle\0sql_standard\0") not in answer:
            answer = client.ask(query(READ))
        assert [one.type for one in client.ask(query(READ))] == [b"T", b"D", b"C", b"Z"]


@pytest.mark.parametrize("first", [(), ("BEGIN",), ("BEGIN", "SELECT 1/0")], ids=["idle", "open", "failed"])
def test_a_session_that_is_ended_while_it_says_nothing_is_told_so(shop: Shop, first: tuple[str, ...]) -> None:
    found = []
    for target in both(shop):
        with idle(target, *first) as client:
            shop.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'idle'"
            )
            found.append(comparable(client.read_to_end()))
    assert found[0] == found[1]
    ((kind, fields),) = found[0]
    assert isinstance(fields, dict)
    assert (kind, fields["S"], fields["C"]) == (b"E", "FATAL", "57P01")


TIMEOUTS = {
    "57P05": ("SET idle_session_timeout = 50",),
    "25P03": ("SET idle_in_transaction_session_timeout = 50", "BEGIN"),
}


@pytest.mark.parametrize("sqlstate", TIMEOUTS)
def test_the_servers_own_time_outs_reach_who_says_nothing(shop: Shop, sqlstate: str) -> None:
    found = []
    for target in both(shop):
        with RawClient(target) as client:
            client.log_in()
            client.send(b"".join(query(text) for text in TIMEOUTS[sqlstate]))
            found.append(comparable(client.read_to_end()))
    assert found[0] == found[1]
    assert isinstance(found[0][-1][1], dict)
    assert found[0][-1][1]["C"] == sqlstate


def test_a_session_that_is_ended_in_a_pipeline_gets_what_came_ahead(shop: Shop) -> None:
    found = []
    for target in both(shop):
        with RawClient(target) as client:
            client.log_in()
            end = "SELECT pg_terminate_backend(pg_backend_pid())"
            client.send(
                b"".join(parse(text) + bind() + execute() for text in (READ, end, READ))
                + FLUSH
                + SYNC
                + query(READ)
            )
            found.append(comparable(client.read_to_end()))
    assert found[0] == found[1]
