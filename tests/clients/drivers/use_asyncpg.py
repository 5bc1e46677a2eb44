"""asyncpg: the extended protocol in binary, its cache of statements, cursors, COPY, a pool."""

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg

from tests.clients.drivers import harness
from tests.clients.drivers.harness import NAMES, PID, SLEEP

PLACE = harness.address()
INSERT = "INSERT INTO app.users (email, name) VALUES ($1, $2) RETURNING id, name"
DELETE = "DELETE FROM app.users WHERE email = $1"


def keywords() -> dict[str, Any]:
    """Return the arguments of a connection."""
    given = PLACE.keywords
    tls = ssl.create_default_context(cafile=PLACE.ca) if PLACE.ca else False
    names = {"host": "host", "port": "port", "dbname": "database", "user": "user", "password": "password"}
    return {**{name: given[key] for key, name in names.items()}, "ssl": tls}


@asynccontextmanager
async def connected() -> AsyncIterator[Any]:
    connection = await asyncpg.connect(**keywords())
    try:
        yield connection
    finally:
        await connection.close()


async def column(connection: Any, sql: str = NAMES, *values: Any) -> list[Any]:
    return [row[0] for row in await connection.fetch(sql, *values)]


async def count(connection: Any, sql: str, *values: Any) -> int:
    return int((await connection.execute(sql, *values)).split()[-1])


async def code(connection: Any, sql: str) -> str | None:
    try:
        await connection.fetch(sql)
    except asyncpg.PostgresError as error:
        return str(error.sqlstate)
    return None


async def connect() -> list[str]:
    async with connected() as connection:
        return await column(connection)


async def crud() -> dict[str, Any]:
    update = "UPDATE app.users SET name = 'Zoë' WHERE id = $1"
    delete = "DELETE FROM app.users WHERE id = $1"
    async with connected() as connection:
        number, name = await connection.fetchrow(INSERT, "zoe@example.org", "Zoe")
        return {
            "inserted": name,
            "updated": await count(connection, update, number),
            "untouched": await count(connection, update, 4),
            "returned": await column(connection, f"{delete} RETURNING name", number),
            "again": await count(connection, delete, number),
            "hidden": await count(connection, delete, 4),
            "names": await column(connection),
        }


async def in_transaction() -> dict[str, Any]:
    async with connected() as connection:
        outer = connection.transaction()
        await outer.start()
        await connection.execute("DELETE FROM app.users WHERE id = 1")
        inside = await column(connection)
        inner = connection.transaction()
        await inner.start()
        refused = await code(connection, "TRUNCATE app.users")
        failed = await code(connection, NAMES)
        await inner.rollback()
        kept = await column(connection)
        await outer.rollback()
        return {
            "inside": inside, "refused": refused, "failed": failed, "kept": kept,
            "after": await column(connection),
        }  # fmt: skip


async def batch() -> dict[str, Any]:
    # It sends many rows of one statement at once, and tells no counts of them.
    mail = "batch@example.org"
    async with connected() as connection:
        await connection.executemany(INSERT, [(mail, "Batch")])
        left = "SELECT count(*) FROM app.users WHERE email = $1"
        counts = [await connection.fetchval(left, mail)]
        await connection.executemany(DELETE, [("nobody@example.org",), (mail,)])
        counts += [1 - await connection.fetchval(left, mail), await count(connection, DELETE, mail)]
        return {"counts": counts, "names": await column(connection)}


async def cursor() -> list[str]:
    async with connected() as connection, connection.transaction():
        sql = "SELECT name FROM app.users WHERE id > $1 ORDER BY id"
        return [name async for (name,) in connection.cursor(sql, 0, prefetch=2)]


async def copy_out() -> str:
    async with connected() as connection:
        file = io.BytesIO()
        await connection.copy_from_table(
            "users", schema_name="app", columns=["id", "name"], output=file, format="text"
        )
        return file.getvalue().decode()


async def copy_in() -> dict[str, Any]:
    rows = [("copied1@example.org", "One"), ("copied2@example.org", "Two")]
    async with connected() as connection:
        tag = await connection.copy_records_to_table(
            "users", schema_name="app", columns=["email", "name"], records=rows
        )
        deleted = await count(connection, "DELETE FROM app.users WHERE email LIKE 'copied%'")
        return {"copied": int(tag.split()[1]), "deleted": deleted}


async def cancel() -> dict[str, Any]:
    async with connected() as connection, connected() as other:
        ended = asyncio.create_task(connection.fetch(SLEEP))
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"
        while await other.fetchval(asleep, connection.get_server_pid()) == 0:
            pass
        ended.cancel()  # by which it sends a cancel request of its own, whose error it keeps to itself
        try:
            await ended
        except asyncio.CancelledError:
            return {"code": "57014", "names": await column(connection)}
        return {"code": None}


async def prepared() -> dict[str, Any]:
    async with connected() as connection, connected() as other:
        star = await connection.prepare("SELECT * FROM app.users WHERE id = 1")
        await star.fetch()
        seen = []

        async def look() -> None:
            mail = "prepared@example.org"
            await connection.fetch(INSERT, mail, "Prepared")
            seen.append(await count(connection, DELETE, mail))
            seen.append(len(await column(connection)))

        await look()
        await other.execute("ALTER TABLE app.users ADD COLUMN more text")
        await look()
        try:
            await star.fetch()
            changed = None
        except asyncpg.PostgresError as error:
            changed = error.sqlstate
        await other.execute("ALTER TABLE app.users DROP COLUMN more")
        await look()
        return {"seen": seen, "changed": changed}


async def again(pool: Any, before: int) -> dict[str, Any]:
    """Take a connection of the pool, which makes a new one where the last is gone."""
    async with pool.acquire() as connection:
        return {"replaced": await column(connection, PID) != [before], "names": await column(connection)}


async def reconnect() -> dict[str, Any]:
    async with asyncpg.create_pool(**keywords(), min_size=1, max_size=1) as pool, connected() as other:
        async with pool.acquire() as connection:
            pid = connection.get_server_pid()
        await other.fetch("SELECT pg_terminate_backend($1, 20000)", pid)
        return await harness.insist_async(lambda: again(pool, pid))


def restart() -> dict[str, Any]:
    async def work() -> dict[str, Any]:
        async with asyncpg.create_pool(**keywords(), min_size=1, max_size=1) as pool:
            async with pool.acquire() as connection:
                pid = connection.get_server_pid()
            await asyncio.to_thread(harness.restarted)
            return await harness.insist_async(lambda: again(pool, pid))

    return asyncio.run(work())


def ended(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a step in a loop of its own."""
    return asyncio.run(work())


ASYNC = {
    "connect": connect, "crud": crud, "transaction": in_transaction, "batch": batch, "cursor": cursor,
    "copy_out": copy_out, "copy_in": copy_in, "cancel": cancel, "prepared": prepared, "reconnect": reconnect,
}  # fmt: skip
STEPS: dict[str, Callable[[], Any]] = {
    **{name: partial(ended, work) for name, work in ASYNC.items()},
    "restart": restart,
}

if __name__ == "__main__":
    harness.run(asyncpg.__version__, PLACE, STEPS)
