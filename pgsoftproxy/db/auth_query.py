"""Secrets of users, asked from the server over one connection that stays open.

Must not know what a secret is for. The answer is used once and kept nowhere.
"""

import asyncio

import psycopg
from psycopg.rows import TupleRow

from pgsoftproxy.db.connection import told, with_defaults
from pgsoftproxy.errors import UpstreamUnavailable

SECONDS = 10.0
SAFE_PATH = "SET search_path = pg_catalog, pg_temp"
"""What a query does not name with its schema is the server's own, whatever others may create."""
MAY_LOG_IN = """
SELECT 1 FROM pg_catalog.pg_roles
WHERE rolname = $1 AND rolcanlogin AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())
"""


class AuthQuery:
    """Ask for secrets, one after another."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.AsyncConnection[TupleRow] | None = None
        self._turn = asyncio.Lock()

    async def ask(self, query: str, user: str) -> str | None:
        """Return what `query` has for a user who may log in now, else None. Raises UpstreamUnavailable.

        The query has one parameter, $1, and returns name and secret.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(SECONDS):
                    return await self._asked(query, user)
            except (psycopg.Error, TimeoutError) as error:
                await self.close()
                raise UpstreamUnavailable(told(error, self._dsn, None)) from error

    async def close(self) -> None:
        """Close the connection; the next question opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _asked(self, query: str, user: str) -> str | None:
        try:
            return await self._answer(query, user)
        except psycopg.OperationalError:
            if self._connection is None:
                raise
            await self.close()  # it broke since the last question
            return await self._answer(query, user)

    async def _answer(self, query: str, user: str) -> str | None:
        if self._connection is None:
            connection = await psycopg.AsyncConnection.connect(
                with_defaults(self._dsn), autocommit=True, prepare_threshold=None
            )
            await connection.execute(SAFE_PATH)
            self._connection = connection
        cursor = psycopg.AsyncRawCursor(self._connection)
        # Both are asked for everybody, so that nobody's answer takes longer.
        rows = await (await cursor.execute(query.encode(), (user,))).fetchmany(2)
        may = await (await cursor.execute(MAY_LOG_IN, (user,))).fetchone()
        if may is None or len(rows) != 1 or len(rows[0]) < 2:
            return None
        name, secret = rows[0][:2]
        return secret if name == user and isinstance(secret, str) else None
