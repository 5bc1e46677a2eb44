"""Relay and listener inside the test's own process, where a bug can be planted: one session pays for it."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import psycopg
import pytest

from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.model.catalog import Catalog
from pgsoftproxy.model.context import Context
from pgsoftproxy.model.policy import Policy, TableRule
from pgsoftproxy.ops.logs import make_logger
from pgsoftproxy.ops.metrics import Metrics
from pgsoftproxy.ops.reporter import Reporter
from pgsoftproxy.proxy.listener import Listener
from pgsoftproxy.proxy.policies import PolicyStore, Rules
from pgsoftproxy.proxy.services import Services
from pgsoftproxy.proxy.tasks import Tasks
from pgsoftproxy.proxy.upstream import Address, Upstream
from pgsoftproxy.rewrite.cache import Planner
from pgsoftproxy.rewrite.plan import Plan
from pgsoftproxy.rewrite.rewriter import rewrite
from tests.fix_servers import Database

Connection = psycopg.AsyncConnection[tuple[object, ...]]


def rewrite_with_a_bug(sql: str, policy: Policy, context: Context) -> Plan:
    """Plan as the rewriter does, but for one text."""
    if "bug" in sql:
        raise ZeroDivisionError(sql)
    return rewrite(sql, policy, context)


@dataclass
class Running:
    """A listener with what a test looks at."""

    database: Database
    listener: Listener
    port: int
    metrics: Metrics
    log: io.StringIO
    broken_catalog: bool = False
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    may_read: asyncio.Event = field(default_factory=asyncio.Event)

    async def connect(self) -> Connection:
        dsn = f"postgresql://{self.database.server.user}@127.0.0.1:{self.port}/{self.database.name}"
        return await psycopg.AsyncConnection.connect(dsn, autocommit=True)

    @property
    def events(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@pytest.fixture
async def running(database: Database) -> AsyncIterator[Running]:
    database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, deleted_at timestamptz); INSERT INTO users VALUES (1), (2)"
    )
    log = io.StringIO()
    logger = make_logger("json", "debug", log)
    metrics = Metrics()
    reporter = Reporter(metrics, logger)
    server = database.server

    async def load(name: str | None) -> Catalog:
        if found.broken_catalog:
            raise ZeroDivisionError("planted")
        found.reading.set()
        await found.may_read.wait()
        return await load_catalog(server.dsn(database.name), name)

    store = PolicyStore(load, Rules((TableRule("public.users"), TableRule("public.*"))), reporter)
    planner = Planner(rewrite_with_a_bug, 2**20, lambda: 0.0, metrics.rewrite_seconds.observe)
    tasks = Tasks(logger)
    upstream = Upstream(Address((server.host,), server.port), metrics, logger)
    listener = Listener(Services(planner, reporter, store, upstream, tasks))
    found = Running(database, listener, 0, metrics, log)
    found.may_read.set()
    found.port = listener.open("127.0.0.1", 0)
    yield found
    await listener.drain(5.0)
    await tasks.stop()


async def test_bug_in_one_session_ends_that_session_alone(running: Running) -> None:
    one, other = await running.connect(), await running.connect()
    with pytest.raises(psycopg.errors.InternalError_, match="internal error in pgsoftproxy") as caught:
        await one.execute("SELECT 'bug'")
    assert caught.value.diag.severity_nonlocalized == "FATAL"
    assert caught.value.diag.sqlstate == "XX000"
    assert one.closed
    cursor = await other.execute("SELECT count(*) FROM users")
    assert await cursor.fetchone() == (2,)
    await other.close()
    crash = next(event for event in running.events if event["event"] == "session_crashed")
    assert crash["exception"].endswith("builtins.ZeroDivisionError")
    assert "rewrite_with_a_bug" in crash["exception"]
    assert crash["database"] == running.database.name
    assert "'bug'" not in running.log.getvalue()
    assert running.metrics.figures.session_crashes == 1


async def test_bug_in_a_task_ends_its_session_alone(running: Running) -> None:
    running.broken_catalog = True
    with pytest.raises(psycopg.OperationalError, match="internal error in pgsoftproxy"):
        await running.connect()
    running.broken_catalog = False
    async with await running.connect() as connection:
        cursor = await connection.execute("SELECT count(*) FROM users")
        assert await cursor.fetchone() == (2,)
    crash = next(event for event in running.events if event["event"] == "session_crashed")
    assert crash["exception"].endswith("builtins.ZeroDivisionError")
    assert running.metrics.figures.session_crashes == 1


async def test_bug_while_a_catalog_is_refreshed_ends_the_session_that_changed_it(running: Running) -> None:
    async with await running.connect() as one, await running.connect() as other:
        running.broken_catalog = True
        with pytest.raises(psycopg.Error):
            await one.execute("CREATE TABLE orders (id int)")
            await one.execute("SELECT 1")
        running.broken_catalog = False
        cursor = await other.execute("SELECT count(*) FROM users")
        assert await cursor.fetchone() == (2,)


async def test_who_hears_that_ddl_is_done_finds_it_known_in_every_session(running: Running) -> None:
    running.database.execute("CREATE TABLE notes (id int); INSERT INTO notes VALUES (1)")
    async with await running.connect() as one, await running.connect() as other:
        running.may_read.clear()
        running.reading.clear()
        altered = asyncio.ensure_future(one.execute("ALTER TABLE notes ADD COLUMN deleted_at timestamptz"))
        await running.reading.wait()
        asyncio.get_running_loop().call_later(0.2, running.may_read.set)
        await altered
        assert running.may_read.is_set()
        await other.execute("DELETE FROM notes")
        assert running.database.execute("SELECT count(deleted_at) FROM notes") == [(1,)]


async def test_what_was_pipelined_behind_ddl_is_answered_in_order(running: Running) -> None:
    async with await running.connect() as one:
        async with one.pipeline():
            await one.execute("CREATE TABLE notes (id int, deleted_at timestamptz)")
            cursors = [await one.execute("SELECT %s::int", (number,)) for number in range(50)]
            shown = [await cursor.fetchone() for cursor in cursors]
        assert shown == [(number,) for number in range(50)]
        await one.execute("INSERT INTO notes VALUES (1)")
        await one.execute("DELETE FROM notes")
        assert running.database.execute("SELECT count(deleted_at) FROM notes") == [(1,)]


async def test_sessions_are_logged_and_counted_from_login_to_end(running: Running) -> None:
    async with await running.connect():
        assert running.metrics.figures.connections_open == 1
    while running.metrics.figures.connections_open:  # noqa: ASYNC110 - a figure has no event to wait for
        await asyncio.sleep(0.01)
    assert [event["event"] for event in running.events if event["event"].startswith("session")] == [
        "session_opened",
        "session_closed",
    ]
    assert running.events[-1]["database"] == running.database.name


async def test_drain_of_no_sessions_is_immediate(running: Running) -> None:
    async with asyncio.timeout(2):
        assert await running.listener.drain(60.0) == 0
    with pytest.raises(psycopg.OperationalError, match="refused"):
        await running.connect()
