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
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncCursor, IsolationLevel, errors

from pgsoftproxy.db.connection import Connection, connect
from pgsoftproxy.db.queries import (
    COLUMNS,
    FOREIGN_KEYS,
    INHERITANCE,
    LOCKED,
    MEMBERSHIPS,
    RELATIONS,
    ROUTINE_CALLS,
    ROUTINE_READS,
    ROUTINES,
    SEARCH_PATHS,
    SERVER,
    SERVER_FILE_PATH,
    SESSION,
    UNIQUE_INDEXES,
    VIEW_CALLS,
    VIEW_READS,
)
from pgsoftproxy.errors import UpstreamUnavailable
from pgsoftproxy.model.catalog import (
    DEFAULT_SEARCH_PATH,
    Catalog,
    Column,
    ForeignKey,
    KeyAction,
    Relation,
    RelationKind,
    UniqueIndex,
)
from pgsoftproxy.model.parsing import parse_search_path
from pgsoftproxy.model.routines import OPAQUE, Routine

ATTEMPTS = 10
PAUSE_SECONDS = 0.05
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

_VIEWS = frozenset({RelationKind.VIEW.value, RelationKind.MATVIEW.value})

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
            for attempt in range(ATTEMPTS):
                try:
                    return await _load(connection, locked)
                except MOVING as error:
                    if attempt == ATTEMPTS - 1:
                        raise
                    if isinstance(error, errors.LockNotAvailable):
                        locked = await _exclusively_locked(connection)
                    else:
                        await asyncio.sleep(PAUSE_SECONDS * attempt)
    except TimeoutError:
        message = f"the catalog was not read within {LOAD_TIMEOUT:g} seconds"
        raise UpstreamUnavailable(message) from None
    raise AssertionError("the last attempt returns or raises")


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
        # First what looks past the snapshot, which only this query takes: SET takes none.
        relation_rows = await _rows(cursor, RELATIONS, locked)
        index_rows = await _rows(cursor, UNIQUE_INDEXES, locked)
        columns, numbers = await _columns(cursor, locked)
        parts = _Parts(
            columns=columns,
            numbers=numbers,
            parents=_grouped(await _rows(cursor, INHERITANCE)),
            reads=_grouped(await _rows(cursor, VIEW_READS)),
            calls=_grouped(await _rows(cursor, VIEW_CALLS)),
        )
        relations = _relations(relation_rows, _unique_indexes(index_rows, parts), parts)
        foreign_keys = _foreign_keys(await _rows(cursor, FOREIGN_KEYS), relations, parts)
        paths = await _search_paths(cursor, server[0])
        memberships = await _rows(cursor, MEMBERSHIPS)
        routines = await _routines(cursor)
    name, version = server[0][:2]
    return Catalog(
        database=name,
        server_version=version,
        relations=relations,
        foreign_keys=foreign_keys,
        search_path=paths.get("", DEFAULT_SEARCH_PATH),
        search_paths={role: path for role, path in paths.items() if role},
        memberships=closure(memberships),
        routines=routines,
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """What belongs to relations, by oid; `numbers` names a column by relation and attribute number."""

    columns: Mapping[int, tuple[Column, ...]]
    numbers: Mapping[tuple[int, int], str]
    parents: Mapping[int, tuple[int, ...]]
    reads: Mapping[int, tuple[int, ...]]
    calls: Mapping[int, tuple[int, ...]]


async def _rows(cursor: AsyncCursor[Any], query: str, listed: Listed = None) -> Rows:
    return [row async for rows in _chunks(cursor, query, listed) for row in rows]


async def _chunks(cursor: AsyncCursor[Any], query: str, listed: Listed) -> AsyncIterator[Rows]:
    # In chunks, for the event loop serves every session of the process meanwhile.
    await cursor.execute(query.encode(), None if listed is None else (listed,))
    while rows := await cursor.fetchmany(CHUNK):
        yield rows
        await asyncio.sleep(0)


def _grouped(rows: Rows) -> dict[int, tuple[int, ...]]:
    grouped: dict[int, list[int]] = defaultdict(list)
    for oid, other in rows:
        grouped[oid].append(other)
    return {oid: tuple(others) for oid, others in grouped.items()}


async def _columns(
    cursor: AsyncCursor[Any], locked: list[int]
) -> tuple[dict[int, tuple[Column, ...]], dict[tuple[int, int], str]]:
    grouped: dict[int, list[Column]] = defaultdict(list)
    numbers: dict[tuple[int, int], str] = {}
    async for rows in _chunks(cursor, COLUMNS, locked):
        for oid, number, name, type_name, not_null, generated, identity, default in rows:
            grouped[oid].append(Column(name, type_name, not_null, generated, default, identity))
            numbers[oid, number] = name
    return {oid: tuple(columns) for oid, columns in grouped.items()}, numbers


def _relations(
    rows: Rows, indexes: Mapping[int, tuple[UniqueIndex, ...]], parts: _Parts
) -> dict[int, Relation]:
    # A view without a definition was dropped since the snapshot.
    rows = [row for row in rows if row[3] not in _VIEWS or row[5] is not None]
    known = {row[0] for row in rows}
    relations: dict[int, Relation] = {}
    for oid, schema, name, kind, is_partition, definition in rows:
        relations[oid] = Relation(
            oid,
            schema,
            name,
            RelationKind(kind),
            parts.columns.get(oid, ()),
            indexes.get(oid, ()),
            tuple(parent for parent in parts.parents.get(oid, ()) if parent in known),
            is_partition,
            definition.rstrip().removesuffix(";") if kind in _VIEWS else None,
            tuple(read for read in parts.reads.get(oid, ()) if read in known),
            parts.calls.get(oid, ()),
        )
    return relations


def _unique_indexes(rows: Rows, parts: _Parts) -> dict[int, tuple[UniqueIndex, ...]]:
    grouped: dict[int, list[UniqueIndex]] = defaultdict(list)
    for oid, name, numbers, known, predicate, primary, constraint, valid in rows:
        if known and predicate is None:
            continue  # dropped, with its table, since the snapshot
        # Attribute number 0 is an expression.
        columns = tuple(parts.numbers.get((oid, number)) for number in numbers)
        grouped[oid].append(UniqueIndex(name, columns, predicate, primary, constraint, valid))
    return {oid: tuple(indexes) for oid, indexes in grouped.items()}


def _foreign_keys(rows: Rows, relations: Mapping[int, Relation], parts: _Parts) -> tuple[ForeignKey, ...]:
    return tuple(
        ForeignKey(
            name,
            child,
            parent,
            tuple(parts.numbers[child, number] for number in numbers),
            tuple(parts.numbers[parent, number] for number in parent_numbers),
            KeyAction(on_delete),
            KeyAction(on_update),
            deferrable,
        )
        for name, child, parent, numbers, parent_numbers, on_delete, on_update, deferrable in rows
        if child in relations and parent in relations
    )


async def _routines(cursor: AsyncCursor[Any]) -> dict[int, Routine]:
    rows = await _rows(cursor, ROUTINES, sorted(OPAQUE))
    reads: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for oid, schema, name in await _rows(cursor, ROUTINE_READS):
        reads[oid].append((schema, name))
    calls = _grouped(await _rows(cursor, ROUTINE_CALLS))
    return {
        oid: Routine(
            oid, schema, name, language, body, tuple(reads.get(oid, ())), calls.get(oid, ()), runs, takes_row
        )
        for oid, schema, name, language, body, runs, takes_row in rows
    }


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


def closure(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Map each member to every role it is a member of, directly or not.

    >>> closure([("ann", "staff"), ("staff", "all")])["ann"] == {"staff", "all"}
    True
    """
    direct: dict[str, set[str]] = defaultdict(set)
    for member, role in pairs:
        direct[member].add(role)
    closed: dict[str, frozenset[str]] = {}
    for member in direct:
        seen: set[str] = set()
        todo = [member]
        while todo:
            fresh = direct.get(todo.pop(), set()) - seen
            seen |= fresh
            todo.extend(fresh)
        closed[member] = frozenset(seen)
    return closed
