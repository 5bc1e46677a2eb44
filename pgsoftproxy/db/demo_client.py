"""The demo's client: one connection through a real driver, and what came back, as it came back.

It stands for the application. Must not know whether a proxy is in between.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psycopg


@dataclass(frozen=True, slots=True)
class ServerError:
    """The fields of an ErrorResponse that the demo shows."""

    sqlstate: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one statement answered: its command tag and rows, or an error."""

    tag: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()
    error: ServerError | None = None

    @property
    def value(self) -> object:
        """Return the only value of an answer of one row and one column; None if it is not of that shape."""
        return self.rows[0][0] if len(self.rows) == 1 and len(self.rows[0]) == 1 else None


class Unreachable(Exception):
    """The server, or the proxy before it, did not accept the connection."""


class DemoClient:
    """A connection in autocommit mode."""

    def __init__(self, dsn: str) -> None:
        try:
            self._connection = psycopg.connect(dsn, autocommit=True, connect_timeout=10)
        except psycopg.OperationalError as error:
            raise Unreachable(str(error).strip()) from error

    @property
    def pid(self) -> int:
        """Return the process id of the server's backend for this connection."""
        return self._connection.info.backend_pid

    @property
    def server_version(self) -> str:
        """Return the server's version, as it said at login."""
        return self._connection.info.parameter_status("server_version") or "unknown"

    def run(self, sql: str, *parameters: object) -> Answer:
        """Run a statement; with parameters (`%s` in the text) in the extended protocol."""
        try:
            cursor = self._connection.execute(sql.encode(), parameters or None)
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise Unreachable(str(error).strip()) from error
            diagnostics = error.diag
            return Answer(
                error=ServerError(error.sqlstate, diagnostics.message_primary or "", diagnostics.message_hint)
            )
        with cursor:
            if cursor.description is None:
                return Answer(cursor.statusmessage or "")
            columns = tuple(column.name for column in cursor.description)
            return Answer(cursor.statusmessage or "", columns, tuple(cursor.fetchall()))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
