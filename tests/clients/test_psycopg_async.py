"""psycopg 3 through the proxy, asynchronous: many sessions at once, each with its own answers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.clients.shop import ALL_USERS, LIVE_USERS, Shop

Connection = psycopg.AsyncConnection[Any]
USERS = "SELECT id, name FROM app.users ORDER BY id"


@pytest.fixture
async def connection(shop: Shop) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(shop.proxied.conninfo, autocommit=True) as made:
        yield made


async def fetch(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(sql)
    return await cursor.fetchall()


async def test_a_deleted_row_is_gone_and_still_there(shop: Shop, connection: Connection) -> None:
    cursor = await connection.execute("DELETE FROM app.users WHERE id = ANY(%s)", [[1, 4]])
    assert (cursor.rowcount, cursor.statusmessage) == (1, "DELETE 1")
    assert await fetch(connection, USERS) == LIVE_USERS[1:]
    assert shop.is_deleted(1)


async def test_pipelines_cursors_and_copy_work_side_by_side_in_many_sessions(shop: Shop) -> None:
    async def one_session(number: int) -> list[tuple[Any, ...]]:
        own = f"/* session {number} */ SELECT {number}, count(*) FROM app.users"
        async with await psycopg.AsyncConnection.connect(
            shop.proxied.conninfo, autocommit=True
        ) as connection:
            async with connection.pipeline():
                cursors = [await connection.execute(own) for _ in range(5)]
                rows = [row for cursor in cursors for row in await cursor.fetchall()]
            async with connection.transaction(), connection.cursor("live") as cursor:
                await cursor.execute(USERS)
                rows += [row async for row in cursor]
            async with connection.cursor().copy("COPY app.users (id, name) TO STDOUT") as copy:
                copy.set_types(["int8", "text"])
                rows += [row async for row in copy.rows()]
            return rows

    answers = await asyncio.gather(*(one_session(number) for number in range(20)))
    assert answers == [[(number, 3)] * 5 + LIVE_USERS * 2 for number in range(20)]


async def test_visibility_of_one_session_is_not_that_of_another(shop: Shop) -> None:
    support = shop.proxied.as_user("support").conninfo
    async with (
        await psycopg.AsyncConnection.connect(support, autocommit=True, prepare_threshold=0) as one,
        await psycopg.AsyncConnection.connect(support, autocommit=True, prepare_threshold=0) as other,
    ):
        await one.execute("SET pgsoftproxy.visibility = 'all'")
        assert [await fetch(one, USERS), await fetch(other, USERS)] == [ALL_USERS, LIVE_USERS]
        await one.execute("RESET ALL")
        await other.execute("SET pgsoftproxy.visibility = 'deleted'")
        assert [await fetch(one, USERS), await fetch(other, USERS)] == [LIVE_USERS, ALL_USERS[3:]]


async def test_a_cancelled_task_cancels_its_statement(connection: Connection) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await connection.execute("SELECT pg_sleep(60) FROM app.users")
    assert await fetch(connection, USERS) == LIVE_USERS


async def test_an_error_in_a_pipeline_of_deletes_undoes_them(shop: Shop, connection: Connection) -> None:
    with pytest.raises(errors.DivisionByZero):
        async with connection.pipeline():
            await connection.execute("DELETE FROM app.users WHERE id = 1")
            await connection.execute("SELECT 1/0")
            await connection.execute("DELETE FROM app.users WHERE id = 2")
    assert await fetch(connection, USERS) == LIVE_USERS
    assert not shop.is_deleted(1)
