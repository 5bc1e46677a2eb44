"""Read the evidence of an audit over a control connection: set-based queries, no table is scanned unless asked.

Must not know what is protected, but for the tables whose rows it is asked to count. What the role may not see is
told in words. Needs no privilege beyond CONNECT.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql

from pgsoftproxy.db import evidence_queries as queries
from pgsoftproxy.db.connection import Connection, connect
from pgsoftproxy.db.link_sql import is_deleted, table
from pgsoftproxy.model.evidence import (
    ColumnStatistics,
    Count,
    Event,
    Evidence,
    Member,
    Publication,
    Published,
    RuleEvidence,
    Signature,
    Storage,
    TriggerEvidence,
)
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.model.routines import Routine

TRIGGER_BITS = {4: Event.INSERT, 8: Event.DELETE, 16: Event.UPDATE, 32: Event.TRUNCATE}
ROW, BEFORE, INSTEAD = 1, 2, 64
"""Of pg_trigger.tgtype."""
RULE_EVENTS = {"1": Event.SELECT, "2": Event.UPDATE, "3": Event.INSERT, "4": Event.DELETE}
"""Of pg_rewrite.ev_type."""
IN = "i"


async def load_evidence(dsn: str, database: str | None, count: Iterable[Protection] = ()) -> Evidence:
    """Return the evidence of one database; rows of the tables in `count` are counted. Raises UpstreamUnavailable."""
    async with connect(dsn, database) as connection:
        await connection.execute(queries.SESSION)
        return await _read(connection, list(count))


async def _read(connection: Connection, count: list[Protection]) -> Evidence:
    async def rows(query: str) -> list[tuple[Any, ...]]:
        return await (await connection.execute(query.encode())).fetchall()

    counts, unseen = await _count(connection, count)
    signatures = await rows(queries.SIGNATURES)
    statistics: dict[int, dict[str, ColumnStatistics]] = defaultdict(dict)
    for oid, name, null_share, width, true in await rows(queries.STATISTICS):
        statistics[oid][name] = ColumnStatistics(null_share, width, true)
    return Evidence(
        triggers=tuple(_trigger(*row) for row in await rows(queries.TRIGGERS)),
        trigger_functions={row[0]: Routine(*row) for row in await rows(queries.TRIGGER_FUNCTIONS)},
        signatures={row[0]: _signature(row) for row in signatures},
        arguments={row[0]: row[1] for row in signatures},
        rules=tuple(
            RuleEvidence(oid, name, RULE_EVENTS[event], definition)
            for oid, name, event, definition in await rows(queries.RULES)
            if definition is not None
        ),
        published=tuple(Published(*row) for row in await rows(queries.PUBLISHED)),
        publications=await _publications(connection),
        definitions=dict(await rows(queries.DEFINITIONS)),
        logins=frozenset(row[0] for row in await rows(queries.LOGINS)),
        storage={row[0]: Storage(*row[1:]) for row in await rows(queries.STORAGE)},
        statistics=statistics,
        counts=counts,
        unseen=tuple(unseen),
    )


async def _publications(connection: Connection) -> tuple[Publication, ...]:
    if connection.info.server_version < 150000:
        return ()
    members: dict[str, list[Member]] = defaultdict(list)
    for name, oid, columns, row_filter in await (
        await connection.execute(queries.MEMBERS.encode())
    ).fetchall():
        members[name].append(Member(oid, tuple(columns), row_filter))
    found = await (await connection.execute(queries.PUBLICATIONS.encode())).fetchall()
    return tuple(
        Publication(name, every_table, schemas, via_root, publish, tuple(members[name]))
        for name, every_table, schemas, via_root, publish in found
    )


def _trigger(relation: int, name: str, function: int, bits: int, definition: str) -> TriggerEvidence:
    events = frozenset(event for bit, event in TRIGGER_BITS.items() if bits & bit)
    after_row = bool(bits & ROW) and not bits & (BEFORE | INSTEAD)
    return TriggerEvidence(relation, name, function, events, definition, after_row)


def _signature(row: tuple[Any, ...]) -> Signature:
    _, _, names, modes, are_rows, returns, returns_set, procedure = row
    arguments = tuple(
        (names[place] if place < len(names) else "", modes[place] if place < len(modes) else IN, is_row)
        for place, is_row in enumerate(are_rows)
    )
    return Signature(arguments, returns, returns_set, procedure)


async def _count(connection: Connection, tables: list[Protection]) -> tuple[dict[int, Count], list[str]]:
    """Count rows of tables; a table that may not be read is named instead."""
    counts: dict[int, Count] = {}
    unseen: list[str] = []
    for protection in tables:
        query = sql.SQL("SELECT count(*), count(*) FILTER (WHERE {}) FROM {} AS t").format(
            is_deleted("t", protection), table(protection.relation)
        )
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL statement_timeout = 0")
                row = await (await connection.execute(query)).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            unseen.append(f'rows of "{protection.label}" were not counted: the role may not read it')
            continue
        assert row is not None
        counts[protection.relation.oid] = Count(*row)
    return counts, unseen
