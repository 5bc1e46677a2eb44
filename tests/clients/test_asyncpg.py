"""asyncpg through the proxy: everything prepared, its own cache of statements, binary results."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import asyncpg
import pytest

from tests.clients.shop import ALL_USERS, LIVE_USERS, Shop

USERS = "SELECT id, name FROM app.users ORDER BY id"


@pytest.fixture
async def connection(shop: Shop) -> AsyncIterator[Any]:
    made = await asyncpg.connect(**shop.proxied.keywords)
    yield made
    await made.close()


@pytest.fixture
async def support(shop: Shop) -> AsyncIterator[Any]:
    made = await asyncpg.connect(**shop.proxied.as_user("support").keywords)
    yield made
    await made.close()


async def users(connection: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.fetch(USERS)]


async def test_deleted_rows_are_gone_from_reads_and_still_there(shop: Shop, connection: Any) -> None:
    assert await users(connection) == LIVE_USERS
    assert await connection.execute("DELETE FROM app.users WHERE id = 2") == "DELETE 1"
    assert await connection.execute("DELETE FROM app.users WHERE id = $1", 3) == "DELETE 1"
    assert await connection.execute("DELETE FROM app.users WHERE id = $1", 4) == "DELETE 0"
    assert await users(connection) == LIVE_USERS[:1]
    row = await connection.fetchrow("DELETE FROM app.users WHERE id = $1 RETURNING *", 1)
    assert (row["name"], row["deleted_at"], row["deleted_by"], row["deletion_id"]) == (
        "Ada",
        None,
        None,
        None,
    )
    assert [shop.is_deleted(number) for number in (1, 2, 3)] == [True] * 3


async def test_a_statement_object_follows_the_visibility_of_its_use(support: Any) -> None:
    statement = await support.prepare("SELECT count(*) FROM app.users WHERE id > $1")
    seen = []
    for visibility in ("live", "all", "live", "deleted", "live"):
        await support.execute(f"SET pgsoftproxy.visibility = '{visibility}'")
        seen.append(await statement.fetchval(0))
    assert seen == [3, 5, 3, 2, 3]
    async with support.transaction():
        await support.execute("SET LOCAL pgsoftproxy.visibility = 'all'")
        assert await statement.fetchval(0) == 5
    assert await statement.fetchval(0) == 3
    assert len(await statement.fetch(0)) == 1
    assert statement.get_statusmsg() == "SELECT 1"


async def test_cached_statements_follow_the_visibility_of_their_use(support: Any) -> None:
    for visibility, expected in (("live", LIVE_USERS), ("all", ALL_USERS), ("live", LIVE_USERS)):
        await support.execute(f"SET pgsoftproxy.visibility = '{visibility}'")
        for _ in range(3):
            assert await users(support) == expected
    assert await support.fetchval("SHOW pgsoftproxy.visibility") == "live"
    counted = await support.fetchval("/* pgsoftproxy: visibility=all */ SELECT count(*) FROM app.users")
    assert counted == 5


async def test_visibility_is_denied_to_a_role_without_it(connection: Any) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("SET pgsoftproxy.visibility = 'all'")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch("/* pgsoftproxy: visibility=all */ SELECT * FROM app.users")
    assert await users(connection) == LIVE_USERS


async def test_cursors_hide_deleted_rows(connection: Any) -> None:
    async with connection.transaction():
        assert [row["id"] async for row in connection.cursor(USERS, prefetch=1)] == [1, 2, 3]
        cursor = await connection.cursor("SELECT name FROM app.users WHERE id > $1 ORDER BY id", 1)
        assert await cursor.fetchrow() == ("Bob",)
        assert await cursor.forward(1) == 1
        assert await cursor.fetch(5) == []


async def test_copy_goes_both_ways(shop: Shop, connection: Any) -> None:
    out = BytesIO()
    assert (
        await connection.copy_from_table("users", schema_name="app", columns=["id", "name"], output=out)
        == "COPY 3"
    )
    assert out.getvalue() == b"1\tAda\n2\tBob\n3\tCyd\n"
    out = BytesIO()
    assert (
        await connection.copy_from_query("SELECT name FROM app.users WHERE id < $1", 3, output=out)
        == "COPY 2"
    )
    assert out.getvalue() == b"Ada\nBob\n"
    records = [(number, f"{number}@example.org", None) for number in range(100, 200)]
    columns = ["id", "email", "name"]
    copied = await connection.copy_records_to_table(
        "users", schema_name="app", records=records, columns=columns
    )
    assert copied == "COPY 100"
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.copy_records_to_table("users", schema_name="app", records=records, columns=columns)
    assert await connection.fetchval("SELECT count(*) FROM app.users") == 103


async def test_executemany_deletes_softly_all_or_none(shop: Shop, connection: Any) -> None:
    delete = "DELETE FROM app.orders WHERE id = $1::bigint / $2::bigint"
    with pytest.raises(asyncpg.DivisionByZeroError):
        await connection.executemany(delete, [(1, 1), (1, 0), (3, 1)])
    assert await connection.fetchval("SELECT count(*) FROM app.orders") == 3
    await connection.executemany(delete, [(1, 1), (2, 1), (3, 1)])
    assert await connection.fetchval("SELECT count(*) FROM app.orders") == 1
    assert shop.rows("SELECT count(*) FROM app.orders") == [(5,)]


async def test_a_timeout_cancels_the_statement_and_not_the_session(connection: Any) -> None:
    with pytest.raises(TimeoutError):
        await connection.fetch("SELECT pg_sleep(60) FROM app.users", timeout=0.2)
    assert await users(connection) == LIVE_USERS


async def test_notifications_arrive(shop: Shop, connection: Any) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    await connection.add_listener("mail", lambda *arguments: heard.put_nowait(arguments[3]))
    shop.execute("NOTIFY mail, 'foreign'")
    assert await asyncio.wait_for(heard.get(), 20) == "foreign"
    await connection.execute("NOTIFY mail, 'own'")
    assert await asyncio.wait_for(heard.get(), 20) == "own"


async def test_transactions_and_savepoints(shop: Shop, connection: Any) -> None:
    async with connection.transaction(isolation="serializable"):
        await connection.execute("DELETE FROM app.users WHERE id = 1")
        with pytest.raises(asyncpg.FeatureNotSupportedError):
            async with connection.transaction():
                await connection.execute("DELETE FROM app.users WHERE id = 2")
                await connection.execute("TRUNCATE app.users")
        assert await users(connection) == LIVE_USERS[1:]
    assert (shop.is_deleted(1), shop.is_deleted(2)) == (True, False)


async def test_a_refused_statement_cannot_be_prepared_and_harms_nothing(connection: Any) -> None:
    for _ in range(2):
        with pytest.raises(asyncpg.FeatureNotSupportedError) as caught:
            await connection.prepare("DROP TABLE app.users")
        assert caught.value.hint
        assert await users(connection) == LIVE_USERS


async def test_errors_name_their_place_in_the_clients_text(connection: Any) -> None:
    with pytest.raises(asyncpg.UndefinedColumnError) as caught:
        await connection.fetch("SELECT id FROM app.users WHERE nothing = $1", 1)
    assert caught.value.position == "32"


async def test_a_changed_table_invalidates_cached_statements_as_on_a_direct_connection(
    shop: Shop, connection: Any
) -> None:
    query = "SELECT * FROM app.users ORDER BY id"
    assert len(await connection.fetch(query)) == 3
    shop.execute("ALTER TABLE app.users ADD extra int DEFAULT 7")
    try:
        rows = await connection.fetch(query)
    finally:
        shop.execute("ALTER TABLE app.users DROP extra")
    assert [row["extra"] for row in rows] == [7, 7, 7]


async def test_a_pool_resets_and_reconnects(shop: Shop) -> None:
    keywords = shop.proxied.as_user("support").keywords
    ended = asyncio.Event()
    async with asyncpg.create_pool(**keywords, min_size=1, max_size=1) as pool:
        async with pool.acquire() as connection:
            await connection.execute("SET pgsoftproxy.visibility = 'all'")
            assert await users(connection) == ALL_USERS
            pid = connection.get_server_pid()
            connection.add_termination_listener(lambda _: ended.set())
        async with pool.acquire() as connection:  # the pool has sent RESET ALL
            assert await users(connection) == LIVE_USERS
        shop.execute(f"SELECT pg_terminate_backend({pid})")
        await asyncio.wait_for(ended.wait(), 20)
        async with pool.acquire() as connection:
            assert await users(connection) == LIVE_USERS
            assert connection.get_server_pid() != pid


async def test_types_are_introspected_through_the_proxy(shop: Shop, connection: Any) -> None:
    shop.execute(
        "CREATE TYPE app.mood AS ENUM ('sad', 'happy'); CREATE TYPE app.pair AS (a int, b app.mood[])"
    )
    try:
        value = await connection.fetchval("SELECT ROW(1, ARRAY['happy'])::app.pair FROM app.users LIMIT 1")
        assert tuple(value) == (1, ["happy"])
        assert await connection.fetchval("SELECT u FROM app.users u WHERE id = 1") is not None
    finally:
        shop.execute("DROP TYPE app.pair; DROP TYPE app.mood")
