"""Read what is known of one row's deletions: from its stamps, the journal and the ledger. Changes nothing."""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import IsolationLevel, sql

from pgsoftproxy.db.connection import Connection
from pgsoftproxy.db.link_sql import is_deleted, joined, refers
from pgsoftproxy.db.restore_sql import (
    has_key,
    id_of,
    key_object,
    literals,
    moment,
    same_deletion,
    source,
    typed_key,
)
from pgsoftproxy.errors import RestoreFailed
from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.model.history import Deletion, Emptied, Place, Stamps, State, Story, Undone
from pgsoftproxy.model.links import Link, Reaction, primary_key
from pgsoftproxy.model.policy import ColumnKind, Protection

NULL = sql.SQL("NULL")
HIGHEST = 10_000
"""Of a chain of rows, how many are followed upwards."""
Row = tuple[Protection, str, int]
"""A row by its table, ctid and tableoid; valid within one snapshot."""


async def tell(
    connection: Connection, protection: Protection, key: Sequence[str], links: Sequence[Link],
    tables: Iterable[Protection],
) -> Story:  # fmt: skip
    """Return the story of a row. Raises RestoreFailed if the key cannot be one of its table."""
    await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    await connection.set_read_only(True)
    try:
        async with connection.transaction():
            return await _Teller(connection, links, tuple(tables)).tell(protection, key)
    except (psycopg.DataError, psycopg.ProgrammingError) as error:
        raise RestoreFailed(error.diag.message_primary or str(error), sqlstate=error.sqlstate) from error


class _Teller:
    """Reads in one snapshot."""

    def __init__(self, connection: Connection, links: Sequence[Link], tables: tuple[Protection, ...]) -> None:
        self._connection = connection
        self._links = links
        self._tables = tables

    async def tell(self, protection: Protection, key: Sequence[str]) -> Story:
        relation = protection.relation
        names = [column.name for column in primary_key(relation)]
        typed = sql.SQL("jsonb_build_object({})").format(
            joined(
                sql.SQL("{}, {}").format(sql.Literal(name), value)
                for name, value in zip(names, typed_key(relation, literals(key)), strict=True)
            )
        )
        [(found,)] = await self._rows(sql.SQL("SELECT {}").format(typed))
        place = Place(protection.label, found)
        rows = await self._rows(
            sql.SQL("SELECT {}, r.ctid::text, r.tableoid::int8 FROM {} WHERE {}").format(
                is_deleted("r", protection), source(relation, "r"), has_key(relation, "r", literals(key))
            )
        )
        emptied, undone = await self._emptied(relation, typed), await self._undone(relation, typed)
        deletion = await self._deletion(protection, rows[0][1:]) if rows and rows[0][0] else None
        if rows:
            state = State.DELETED if deletion else State.LIVE
        else:
            state = State.GONE if emptied or undone else State.UNKNOWN
        return Story(place, state, deletion, emptied, undone)

    async def _deletion(self, protection: Protection, at: tuple[str, int]) -> Deletion:
        row: Row = (protection, *at)
        [(when, by, deletion_id)] = await self._rows(
            sql.SQL("SELECT {}, {}, {} FROM {} WHERE {}").format(
                moment("r", protection) if protection.kind is not ColumnKind.BOOLEAN else NULL,
                _column(protection.deleted_by, "{}::text"),
                _column(protection.deletion_id, "{}::text"),
                source(protection.relation, "r"),
                _is_row("r", row),
            )
        )
        stamps = Stamps(when, by, deletion_id)
        return Deletion(stamps, await self._path(row), await self._counts(stamps))

    async def _path(self, row: Row) -> tuple[Place, ...]:
        path: list[Place] = []
        seen: set[tuple[str, int]] = set()
        above: Row | None = row
        while above is not None and above[1:] not in seen and len(path) < HIGHEST:
            seen.add(above[1:])
            relation = above[0].relation
            [(key,)] = await self._rows(
                sql.SQL("SELECT {} FROM {} WHERE {}").format(
                    key_object(relation, "r"), source(relation, "r"), _is_row("r", above)
                )
            )
            path.append(Place(relation.label, key))
            above = await self._above(above)
        return tuple(reversed(path))

    async def _above(self, row: Row) -> Row | None:
        for link in self._links:
            parent = link.parent.protection
            if link.child.relation.oid != row[0].relation.oid or link.reaction is not Reaction.CASCADE:
                continue
            assert parent is not None  # or it would be no link
            same = same_deletion(("p", parent), ("r", row[0]))
            if same is None:
                continue
            rows = await self._rows(
                sql.SQL(
                    "SELECT p.ctid::text, p.tableoid::int8 FROM {} JOIN {} ON {} WHERE {} AND {} AND {} LIMIT 1"
                ).format(
                    source(parent.relation, "p"),
                    source(row[0].relation, "r"),
                    refers(link, "p", "r"),
                    _is_row("r", row),
                    is_deleted("p", parent),
                    same,
                )
            )
            if rows:
                return (parent, *rows[0])
        return None

    async def _counts(self, stamps: Stamps) -> tuple[tuple[str, int], ...]:
        found = []
        for protection in self._tables:
            if protection.deletion_id is not None and stamps.deletion_id is not None:
                given = sql.Literal(stamps.deletion_id)
                where = sql.SQL("{} = {}::uuid").format(id_of("r", protection), given)
            elif protection.kind is not ColumnKind.BOOLEAN and stamps.at is not None:
                where = sql.SQL("{} = {}").format(moment("r", protection), sql.Literal(stamps.at))
            else:
                continue
            query = sql.SQL("SELECT count(*) FROM {} WHERE {} AND {}").format(
                source(protection.relation, "r"), is_deleted("r", protection), where
            )
            [(count,)] = await self._rows(query)
            if count:
                found.append((protection.label, count))
        return tuple(sorted(found))

    async def _emptied(self, relation: Relation, key: sql.Composable) -> tuple[Emptied, ...]:
        if not await self._exists("journal"):
            return ()
        rows = await self._rows(
            sql.SQL(
                "SELECT link, at, deletion_id::text, was, became FROM pgsoftproxy.journal\n"
                "WHERE schema_name = {} AND table_name = {} AND key = {} ORDER BY at DESC, link"
            ).format(sql.Literal(relation.schema), sql.Literal(relation.name), key)
        )
        return tuple(Emptied(*row) for row in rows)

    async def _undone(self, relation: Relation, key: sql.Composable) -> tuple[Undone, ...]:
        if not await self._exists("ledger"):
            return ()
        rows = await self._rows(
            sql.SQL(
                "SELECT at, by_role, deleted_at, deleted_by, deletion_id::text FROM pgsoftproxy.ledger\n"
                "WHERE schema_name = {} AND table_name = {} AND key = {} ORDER BY at DESC"
            ).format(sql.Literal(relation.schema), sql.Literal(relation.name), key)
        )
        return tuple(Undone(at, by, Stamps(*rest)) for at, by, *rest in rows)

    async def _exists(self, name: str) -> bool:
        query = sql.SQL("SELECT to_regclass({}) IS NOT NULL").format(sql.Literal(f"pgsoftproxy.{name}"))
        [(exists,)] = await self._rows(query)
        return bool(exists)

    async def _rows(self, query: sql.Composable) -> list[tuple[Any, ...]]:
        return await (await self._connection.execute(query.as_bytes(None))).fetchall()


def _column(name: str | None, form: str) -> sql.Composable:
    return sql.SQL(form).format(sql.Identifier("r", name)) if name else NULL


def _is_row(alias: str, row: Row) -> sql.Composable:
    return sql.SQL("{}.ctid = {}::tid AND {}.tableoid = {}").format(
        sql.Identifier(alias), sql.Literal(row[1]), sql.Identifier(alias), sql.Literal(row[2])
    )
