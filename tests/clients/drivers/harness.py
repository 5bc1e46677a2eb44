"""Runs the steps that a driver's program has, in the order asked for, and prints one line of JSON for each.

Must not know any driver. What the steps are to give is said in `tests/clients/matrix.py`.
"""

import asyncio
import json
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

NAMES = "SELECT name FROM app.users ORDER BY id"
PID = "SELECT pg_backend_pid()"
SLEEP = "SELECT pg_sleep(60) FROM app.users"
SECONDS = 60.0

Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect to."""

    host: str
    port: int
    database: str
    user: str
    steps: tuple[str, ...]
    password: str | None = None
    ca: str | None = None

    @property
    def keywords(self) -> dict[str, Any]:
        """Return the arguments of a libpq connection."""
        tls = {"sslmode": "verify-full", "sslrootcert": self.ca} if self.ca else {"sslmode": "disable"}
        return {
            "host": self.host, "port": self.port, "dbname": self.database, "user": self.user,
            "password": self.password, **tls,
        }  # fmt: skip


def address() -> Address:
    """Return the place that the program was given."""
    return Address(**json.loads(sys.argv[1]))


def insist(work: Callable[[], Got]) -> Got:
    """Try again until it works: a pool may hand out what is broken, a server may still be starting."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return work()
        except Exception:  # each driver has errors of its own; the last one is raised
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)  # whether it works by now can only be tried


async def insist_async(work: Callable[[], Awaitable[Got]]) -> Got:
    """Try again until it works, as `insist`."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return await work()
        except Exception:  # as above
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)  # whether it works by now can only be tried


def restarted() -> None:
    """Tell the test that the server may be restarted, and wait until it was."""
    _print(step="ready")
    sys.stdin.readline()


def run(version: str, place: Address, steps: Mapping[str, Callable[[], Any]]) -> None:
    """Run the steps."""
    _print(step="version", result=version)
    for step in place.steps:
        if step in steps:
            try:
                _print(step=step, result=steps[step]())
            except Exception:  # the test prints it beside what was to come
                _print(step=step, error=traceback.format_exc())


def _print(**line: Any) -> None:
    print(json.dumps(line), flush=True)
