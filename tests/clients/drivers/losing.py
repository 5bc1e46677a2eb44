"""Connections that are lost and opened anew, for drivers that never do that themselves: psycopg 2 and 3.

Must not know either: what it needs of one is given.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from tests.clients.drivers import harness
from tests.clients.drivers.harness import NAMES, PID


@dataclass(frozen=True, slots=True)
class Losing:
    """Steps of a driver: `column` gives the first column of a query, `count` rows, `code` the error of a statement."""

    connected: Callable[[], AbstractContextManager[Any]]
    column: Callable[..., list[Any]]
    count: Callable[..., int]
    code: Callable[[Any, str], str | None]

    def again(self, before: int) -> dict[str, Any]:
        """Connect anew."""
        with self.connected() as connection:
            return {"replaced": self.column(connection, PID) != [before], "names": self.column(connection)}

    def reconnect(self) -> dict[str, Any]:
        """Lose a connection to who ends it at the server."""
        with self.connected() as connection, self.connected() as other:
            pid = connection.info.backend_pid
            self.count(other, "SELECT pg_terminate_backend(%s, 20000)", (pid,))
            lost = self.code(connection, NAMES)
            return self.again(pid) if connection.closed else {"replaced": lost}

    def restart(self) -> dict[str, Any]:
        """Lose a connection to a restart of the server."""
        with self.connected() as connection:
            pid = connection.info.backend_pid
            harness.restarted()
            return harness.insist(lambda: self.again(pid))

    def wait_until_asleep(self, other: Any, pid: int) -> None:
        """Return once the session sleeps."""
        asleep = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
        while self.count(other, asleep, (pid,)) == 0:
            pass
