"""The steps of a restore over one connection, inside one transaction. Must not know in which order they are taken.

Theory. READ COMMITTED is enough. Every row that comes back is locked FOR UPDATE first, which looks at its newest
version: one that was restored or purged meanwhile is not chosen. Its live parents are locked FOR KEY SHARE, and
only then, in a statement with a snapshot of its own, it is asked whether all parents are live or chosen: who deletes
one now waits, and finds the children live. Keys that others insert meanwhile meet the unique index itself.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import errors, sql

from pgsoftproxy.db import restore_links, restore_sql
from pgsoftproxy.db.connection import Connection
from pgsoftproxy.db.restore_keys import note_taken_keys
from pgsoftproxy.db.restore_sql import CHOSEN, CONFLICTS
from pgsoftproxy.errors import RestoreFailed
from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.model.links import Link
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.model.restore import Because, Conflict, ConflictKind, LinkCount, Selection, TableCount

Cursor = psycopg.AsyncCursor[tuple[Any, ...]]
SHOWN_CONFLICTS = 100
LOST = (errors.AdminShutdown, errors.CrashShutdown, errors.IdleSessionTimeout)
IN_CONFLICT = (
    errors.UniqueViolation,
    errors.ExclusionViolation,
    errors.ForeignKeyViolation,
    errors.CheckViolation,
    errors.NotNullViolation,
)


@asynccontextmanager
async def transaction(connection: Connection, lock_timeout: float) -> AsyncIterator["Restoring"]:
    """Open the transaction of a restore; it is rolled back unless `commit` was called.

    Raises RestoreFailed for what the server refuses inside.
    """
    try:
        await connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        try:
            timeout = sql.SQL("SET LOCAL lock_timeout = {}").format(
                sql.Literal(f"{round(lock_timeout * 1000)}ms")
            )
            await connection.execute(timeout.as_bytes(None))
            await connection.execute("SET LOCAL client_min_messages = 'warning'")
            await connection.execute(restore_sql.TEMPORARY.encode())
            yield Restoring(connection)
        finally:
            if not connection.closed:
                await connection.execute("ROLLBACK")
    except LOST:
        raise
    except psycopg.Error as error:
        if connection.closed:
            raise
        raise _failure(error) from error


class Restoring:
    """The open transaction of a restore."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def commit(self) -> None:
        """Make it so. Constraints that wait are checked before."""
        await self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        await self._connection.execute("COMMIT")

    async def choose_asked(self, selection: Selection, protection: Protection, home: Relation) -> int | None:
        """Choose what is asked for of one table; None if its columns cannot answer."""
        where = restore_sql.asked(selection, protection)
        if where is None:
            return None
        query = restore_sql.choose(protection, home, where, (sql.Literal(0), Because.ASKED))
        # In binary form there can be no second statement in the operator's own SQL.
        return (await self._run(query, binary=True)).rowcount

    async def choose_below(self, link: Link, home: Relation, step: int) -> int:
        """Choose what went along a link with the rows chosen in a step."""
        where = restore_sql.below(link, sql.Literal(step))
        assert link.child.protection is not None
        if where is None:
            return 0
        query = restore_sql.choose(link.child.protection, home, where, (sql.Literal(step + 1), Because.BELOW))
        return (await self._run(query)).rowcount

    async def choose_parents(self, link: Link, home: Relation) -> int:
        """Choose the deleted parents of chosen rows."""
        assert link.parent.protection is not None
        query = restore_sql.choose(
            link.parent.protection, home, restore_sql.above(link), (sql.Literal(-1), Because.PARENT)
        )
        return (await self._run(query)).rowcount

    async def count_again(self) -> None:
        """Let the planner know how many rows are chosen."""
        await self._run(sql.SQL("ANALYZE {}").format(CHOSEN))

    async def lock_live_parents(self, link: Link) -> None:
        """Keep the live parents of chosen rows as they are."""
        await self._run(restore_sql.lock_live_parents(link))

    async def note_orphans(self, link: Link) -> int:
        """Note the chosen rows whose parent is not there; return how many."""
        return (await self._run(restore_sql.note_orphans(link))).rowcount

    async def note_taken_keys(self, protection: Protection) -> int:
        """Note the chosen rows whose key is taken; return how many."""
        noted = 0
        for (statement,) in await self._rows(note_taken_keys(protection)):
            noted += (await self._connection.execute(statement.encode())).rowcount
        return noted

    async def drop_conflicting(self) -> int:
        """Leave out what is in conflict; return how many rows that are."""
        return (await self._run(restore_sql.drop_conflicting())).rowcount

    async def note_emptied(self, number: int, link: Link) -> None:
        """Note what the journal has of a link for the chosen rows, before these forget their deletion."""
        query = restore_links.note_emptied(number, link)
        if query is not None:
            await self._run(query)

    async def has_journal(self) -> bool:
        """Tell whether `migrate` has made the journal."""
        return await self._value(sql.SQL("SELECT to_regclass('pgsoftproxy.journal') IS NOT NULL")) is True

    async def bring_back(self, group: Sequence[Protection]) -> list[int]:
        """Bring back the chosen rows of some tables. Raises one of IN_CONFLICT, after which nothing is changed."""
        async with self._connection.transaction():
            counts: list[int] = await self._value(restore_sql.bring_back(group))
            await self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return counts

    async def bring_back_one(self, protection: Protection, rel: int, tup: str) -> Conflict | None:
        """Bring back one row, or say why the server does not let it."""
        only = sql.SQL("x.rel = {} AND x.tup = {}::tid").format(sql.Literal(rel), sql.Literal(tup))
        try:
            async with self._connection.transaction():
                await self._run(restore_sql.bring_back([protection], only.as_string(None)))
                await self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except IN_CONFLICT as error:
            return server_conflict(protection.label, error)
        return None

    async def note_refused(self, rel: int, tup: str, conflict: Conflict) -> None:
        """Note what the server says of one row."""
        await self._run(
            sql.SQL("INSERT INTO {} SELECT 'server', {}, {}::tid, {}, NULL, {}, NULL, false, {}").format(
                CONFLICTS,
                *(
                    sql.Literal(value)
                    for value in (rel, tup, conflict.table, conflict.name, conflict.message)
                ),
            )
        )

    async def places(self, home: Relation) -> list[tuple[int, str]]:
        """Return where the chosen rows of a table are, in an order that stays."""
        query = sql.SQL("SELECT rel::int8, tup::text FROM {} WHERE home = {} ORDER BY rel, tup")
        return await self._rows(query.format(CHOSEN, sql.Literal(home.oid)))

    async def put_back(self, number: int, link: Link) -> LinkCount | None:
        """Put a link back where the rows were not changed meanwhile; None if nothing was noted for it."""
        noted = [row[0] for row in await self._rows(restore_links.keys_of(number))]
        if not noted:
            return None
        done = [row[0] for row in await self._rows(restore_links.put_back(number, link))]
        return LinkCount(link.label, len(done), tuple(key for key in noted if key not in done))

    async def forget_links(self) -> None:
        """Take what was put back out of the journal."""
        await self._run(restore_links.FORGET_LINKS)

    async def counts(self) -> dict[int, TableCount]:
        """Return how many rows of each table are chosen, by its oid."""
        found: dict[int, dict[str, int]] = {}
        query = sql.SQL("SELECT home::int8, because, count(*) FROM {} GROUP BY 1, 2").format(CHOSEN)
        for home, because, count in await self._rows(query):
            found.setdefault(home, {})[because] = count
        return {
            home: TableCount("", by.get("asked", 0), by.get("below", 0), by.get("parent", 0))
            for home, by in found.items()
        }

    async def conflicts(self) -> tuple[int, tuple[Conflict, ...]]:
        """Return how many conflicts there are, and the first of them."""
        count = await self._value(sql.SQL("SELECT count(*) FROM {}").format(CONFLICTS))
        query = sql.SQL(
            "SELECT kind, tab, key, name, other, restored, message FROM {}\n"
            "ORDER BY kind, tab, name, key, other LIMIT {}"
        ).format(CONFLICTS, sql.Literal(SHOWN_CONFLICTS))
        rows = await self._rows(query)
        return count, tuple(Conflict(ConflictKind(kind), *rest) for kind, *rest in rows)

    async def _run(self, query: sql.Composable, *, binary: bool = False) -> Cursor:
        return await self._connection.execute(query.as_bytes(None), binary=binary)

    async def _rows(self, query: sql.Composable) -> list[tuple[Any, ...]]:
        return await (await self._run(query)).fetchall()

    async def _value(self, query: sql.Composable) -> Any:
        row = await (await self._run(query)).fetchone()
        return row[0] if row else None


def server_conflict(table: str, error: psycopg.Error) -> Conflict:
    """Return what the server said as a conflict."""
    diag = error.diag
    name = diag.constraint_name or ""
    message = ". ".join(part for part in (diag.message_primary, diag.message_detail) if part)
    return Conflict(
        ConflictKind.SERVER,
        f"{diag.schema_name}.{diag.table_name}" if diag.table_name else table,
        None,
        name,
        message=message,
    )


def _failure(error: psycopg.Error) -> RestoreFailed:
    diag = error.diag
    return RestoreFailed(
        diag.message_primary or str(error), sqlstate=error.sqlstate, detail=diag.message_detail
    )
