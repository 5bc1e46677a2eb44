"""Read one database's catalog over a control connection: a few set-based queries in one snapshot.

Needs no privilege beyond CONNECT. Must not know what the configuration protects. For PostgreSQL 13 to 18.

Theory. The snapshot covers what the queries read, but pg_get_viewdef, pg_get_expr and format_type look at
the catalogs as they are now, and the first two lock relations in ACCESS SHARE mode. So DDL that commits in
between makes them return NULL or fail: what was dropped is left out, and after a failure all is read again.
And one open ALTER TABLE would keep every session of the database waiting: after `lock_timeout` the expressions
of relations that are locked so are left out, each in the way that protects more. An index counts as not
partial, a default and a view's definition as unknown (None and ""), until the next reading.
"""

import asyncio
from itertools import count
from typing import Any

from psycopg import AsyncCursor, IsolationLevel, errors

from pgsoftproxy.db.assemble import LOCKED_OUT, QUERIES, assemble, closure
from pgsoftproxy.db.connection import Connection, connect
from pgsoftproxy.db.queries import LOCKED, MEMBERSHIPS, SEARCH_PATHS, SERVER, SERVER_FILE_PATH, SESSION
from pgsoftproxy.errors import UpstreamUnavailable
from pgsoftproxy.model.catalog import DEFAULT_SEARCH_PATH, Catalog
from pgsoftproxy.model.parsing import parse_search_path
from pgsoftproxy.model.routines import OPAQUE

PAUSE_SECONDS = 0.05
LONGEST_PAUSE = 10
"""In multiples of PAUSE_SECONDS, which is how the pause between two attempts grows."""
LOAD_TIMEOUT = 60.0
CHUNK = 1000
MOVING = (
    errors.InternalError_,
    errors.UndefinedTable,
    errors.UndefinedObject,
    errors.LockNotAvailable,
    errors.DeadlockDetected,
)
"""What the server raises where DDL of others gets in the way."""
SERVER_WIDE = frozenset({"default", "environment variable", "configuration file", "command line"})
"""Sources in pg_settings that hold for every session of the server."""

Rows = list[tuple[Any, ...]]
Listed = list[int] | list[str] | None
"""The one parameter of a query, if it has any."""


async def load_catalog(dsn: str, database: str | None = None) -> Catalog:
    """Return the catalog of a database of the DSN's server, of the DSN's own if none is named.

    A view's `definition` comes without its final semicolon, and with every name outside pg_catalog qualified.
    A NOT ENFORCED foreign key (18) is left out: the server does nothing for it. Raises UpstreamUnavailable.
    """
    try:
        async with asyncio.timeout(LOAD_TIMEOUT), connect(dsn, database) as connection:
            locked: list[int] = []
            for attempt in count():
                try:
                    return await _load(connection, locked)
                except MOVING as error:
                    if isinstance(error, errors.LockNotAvailable):
                        locked = await _exclusively_locked(connection)
                    else:
                        await asyncio.sleep(PAUSE_SECONDS * min(attempt, LONGEST_PAUSE))
    except TimeoutError:
        message = f"the catalog was not read within {LOAD_TIMEOUT:g} seconds"
        raise UpstreamUnavailable(message) from None
    raise AssertionError("attempts do not end by themselves")


async def _exclusively_locked(connection: Connection) -> list[int]:
    async with connection.cursor() as cursor:
        return [row[0] for row in await _rows(cursor, LOCKED)]


async def _load(connection: Connection, locked: list[int]) -> Catalog:
    await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    await connection.set_read_only(True)
    cursor = connection.cursor()
    server = await _rows(cursor, SERVER)  # before SESSION changes the search_path
    async with connection.transaction():
        await cursor.execute(SESSION)
        found = {
            name: await _rows(cursor, query, _parameter(name, query, locked))
            for name, query in QUERIES.items()
        }
        paths = await _search_paths(cursor, server[0])
        memberships = await _rows(cursor, MEMBERSHIPS)
    name, version = server[0][:2]
    # In a thread, for the event loop serves every session of the process meanwhile.
    parts = await asyncio.to_thread(assemble, found.__getitem__)
    return Catalog(
        database=name,
        server_version=version,
        relations=parts.relations,
        foreign_keys=parts.foreign_keys,
        search_path=paths.get("", DEFAULT_SEARCH_PATH),
        search_paths={role: path for role, path in paths.items() if role},
        memberships=closure(memberships),
        routines=parts.routines,
        marks=parts.marks,
        privileges=parts.privileges,
    )


def _parameter(name: str, query: str, locked: list[int]) -> Listed:
    if "%s" not in query:
        return None
    return locked if name in LOCKED_OUT else sorted(OPAQUE)


async def _rows(cursor: AsyncCursor[Any], query: str, listed: Listed = None) -> Rows:
    # In chunks, for the event loop serves every session of the process meanwhile.
    await cursor.execute(query.encode(), None if listed is None else (listed,))
    found: Rows = []
    while rows := await cursor.fetchmany(CHUNK):
        found.extend(rows)
        await asyncio.sleep(0)
    return found


async def _search_paths(cursor: AsyncCursor[Any], server: tuple[Any, ...]) -> dict[str, tuple[str, ...]]:
    """Return the path that each role's sessions start with; "" stands for roles without one of their own.

    Precedence as in process_settings(): role in database, role, database, ALTER ROLE ALL, server.
    """
    _, _, own, source, boot, may_read_files = server
    paths: dict[str, str] = {"": own if source in SERVER_WIDE else boot}
    if source not in SERVER_WIDE and may_read_files:
        # The control role's own setting hides the server's; the files still show it.
        paths.update(await _rows(cursor, SERVER_FILE_PATH))
    paths.update(await _rows(cursor, SEARCH_PATHS))  # ordered: the stronger setting comes later
    return {role: _parsed(text) for role, text in paths.items()}


def _parsed(setting: str) -> tuple[str, ...]:
    try:
        return parse_search_path(setting)
    except ValueError as error:
        raise UpstreamUnavailable(f"a search_path default cannot be understood: {error}") from None
