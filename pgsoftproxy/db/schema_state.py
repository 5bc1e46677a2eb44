"""Read what a database has besides its catalog: indexes in full, what is ours, sizes, privileges, steps done.

Must not know what should be there. Needs no privilege on tables, but for the history on those of schema pgsoftproxy.
"""

from collections import defaultdict
from typing import Any

from pgsoftproxy.db import schema_queries as queries
from pgsoftproxy.db.connection import Connection, connect
from pgsoftproxy.model.present import (
    Applied,
    FunctionState,
    GrantState,
    IndexState,
    SchemaState,
    TableState,
    TriggerState,
    UpsertingRoutine,
)
from pgsoftproxy.model.steps import Kind, Lock, Statement

HISTORY = frozenset({"journal", "ledger"})


async def load_state(dsn: str, database: str | None = None, *, with_history: bool) -> SchemaState:
    """Return the state of one database of the DSN's server. Raises UpstreamUnavailable.

    Its history, which is the steps done and whether deletions left notes, takes a role that may read them.
    """
    async with connect(dsn, database) as connection:
        await connection.execute(queries.SESSION)
        return await _read_state(connection, with_history)


async def _read_state(connection: Connection, with_history: bool) -> SchemaState:
    indexes: dict[int, list[IndexState]] = defaultdict(list)
    for row in await _rows(connection, queries.INDEXES):
        indexes[row[1]].append(_index(row))
    functions = [FunctionState(*row) for row in await _rows(connection, queries.FUNCTIONS)]
    own = frozenset(row[0] for row in await _rows(connection, queries.OWN))
    noted = with_history and own >= HISTORY and (await _rows(connection, queries.NOTED))[0][0]
    applied = await _rows(connection, queries.APPLIED) if with_history and "steps" in own else []
    return SchemaState(
        indexes={oid: tuple(found) for oid, found in indexes.items()},
        triggers=tuple(TriggerState(*row) for row in await _rows(connection, queries.TRIGGERS)),
        functions={function.name: function for function in functions},
        tables=await _tables(connection),
        own=own,
        noted=noted,
        views={(row[0], row[1]): row[2] for row in await _rows(connection, queries.VIEWS)},
        view_options={row[0]: tuple(row[1]) for row in await _rows(connection, queries.VIEW_OPTIONS)},
        upserting=tuple(UpsertingRoutine(*row) for row in await _rows(connection, queries.UPSERTING)),
        roles=frozenset(row[0] for row in await _rows(connection, queries.ROLES)),
        applied=tuple(_applied(row) for row in applied),
    )


async def _rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query.encode())).fetchall()


def _index(row: tuple[Any, ...]) -> IndexState:
    fields = list(row)
    fields[4], fields[14] = tuple(row[4]), tuple(row[14])
    return IndexState(*fields)


async def _tables(connection: Connection) -> dict[int, TableState]:
    grants: dict[int, list[GrantState]] = defaultdict(list)
    for oid, role, privilege, grantable in await _rows(connection, queries.GRANTS):
        grants[oid].append(GrantState(role, privilege, grantable))
    return {
        oid: TableState(
            rows, size, owner, tuple(grants[oid]), row_security, dict(zip(names, comments, strict=True))
        )
        for oid, rows, size, owner, row_security, names, comments in await _rows(connection, queries.TABLES)
    }


def _applied(row: tuple[Any, ...]) -> Applied:
    identity, kind, title, table, down = row
    return Applied(identity, Kind(kind), title, table, tuple(statement_from_json(one) for one in down))


def statement_to_json(statement: Statement) -> dict[str, Any]:
    """Return a statement as JSON keeps it."""
    return {
        "sql": statement.sql,
        "lock": statement.lock.value,
        "in_transaction": statement.in_transaction,
        "cleanup": statement.cleanup,
    }


def statement_from_json(kept: dict[str, Any]) -> Statement:
    """Return a statement from what was kept of it."""
    return Statement(kept["sql"], Lock(kept["lock"]), kept["in_transaction"], kept["cleanup"])
