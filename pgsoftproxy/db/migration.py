"""Run the steps of a migration: short transactions, a lock time-out, retries; the database remembers what was done.

Theory. Whoever waits for an ACCESS EXCLUSIVE lock makes everybody behind him wait, so a statement gives up after
`lock_timeout`, pauses for longer and longer, and tries again. What runs CONCURRENTLY cannot be in a transaction; it
waits only for locks that no query takes, and waits as long as it must. A step that is one transaction is recorded in
it; any other is recorded before it begins, and its way back does no harm to what was not reached.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from pgsoftproxy.db import schema_queries as queries
from pgsoftproxy.db.connection import Connection
from pgsoftproxy.db.schema_state import statement_to_json
from pgsoftproxy.errors import StepFailed
from pgsoftproxy.model.steps import Kind, Statement, Step

IN_THE_WAY = (errors.LockNotAvailable, errors.DeadlockDetected)
TOLD_EVERY = 0.5
"""Seconds between two looks at how far an index is."""
LATEST = frozenset({Kind.UNIQUE, Kind.EXCLUSION, Kind.STORED})
"""What may be done again because somebody has made the object anew: the way back leads to what was there last."""
LOST = (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one attempt waits for a lock, how often it is tried, and the pauses between, in seconds."""

    lock_timeout: float = 2.0
    attempts: int = 50
    pause: float = 0.5
    longest_pause: float = 30.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that happened: `what` is `started`, `progress`, `retried` or `done`.

    `detail` says how far the building of an index is and whom it waits for, or why a statement is tried again.
    """

    what: str
    step: Step
    detail: str = ""


Observe = Callable[[Progress], None]


async def prepare(connection: Connection) -> bool:
    """Make a connection ready to run steps; False if another one runs some in this database."""
    await connection.execute(queries.SESSION)
    await connection.execute("SET statement_timeout = 0")
    await connection.execute(
        "SET lock_timeout = 0"
    )  # a role's own would end what may wait as long as it must
    await connection.execute("SET client_min_messages = 'warning'")
    await connection.execute(queries.NOTICE_LOSS)
    row = await (await connection.execute(queries.LOCK)).fetchone()
    return row is not None and bool(row[0])


class Runner:
    """Runs steps over one connection, which is in autocommit mode and was prepared."""

    def __init__(
        self, connection: Connection, patience: Patience, observe: Observe, watch: Connection | None = None
    ) -> None:
        self._connection = connection
        self._watch = watch
        self._patience = patience
        self._observe = observe

    async def run(self, steps: Sequence[Step], *, undo: bool = False) -> None:
        """Run steps in order. Raises StepFailed at the first that does not succeed."""
        for step in steps:
            self._observe(Progress("started", step))
            try:
                await self._step(step, undo=undo)
            except LOST:
                raise
            except psycopg.Error as error:
                if self._connection.closed:
                    raise
                raise _failure(step, error) from error
            self._observe(Progress("done", step))

    async def _step(self, step: Step, *, undo: bool) -> None:
        note = self._forget if undo else self._record
        if not step.recorded and not undo:
            note = _nothing
        if step.recorded and not step.is_atomic and not undo:
            await note(step)
            note = _nothing
        units = list(_units(step.statements))
        for place, unit in enumerate(units):
            last = place == len(units) - 1
            await self._retried(step, unit, note if last and step.recorded else _nothing)

    async def _retried(self, step: Step, unit: list[Statement], note: "Note") -> None:
        patience = self._patience
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(IN_THE_WAY),
            stop=stop_after_attempt(patience.attempts),
            wait=wait_exponential(patience.pause, patience.longest_pause) + wait_random(0, patience.pause),
            before_sleep=self._teller(step),
            reraise=True,
        )
        async for attempt in attempts:
            with attempt:
                if unit[0].in_transaction:
                    await self._transaction(step, unit, note)
                else:
                    await self._watched(step, unit[0])
                    await note(step)

    async def _transaction(self, step: Step, unit: list[Statement], note: "Note") -> None:
        async with self._connection.transaction():
            timeout = f"{self._patience.lock_timeout * 1000:.0f}ms"
            await self._connection.execute("SELECT set_config('lock_timeout', %s, true)", (timeout,))
            for statement in unit:
                await self._connection.execute(statement.sql.encode())
            await note(step)

    async def _watched(self, step: Step, statement: Statement) -> None:
        """Run a statement that may take long, and tell how far it is if there is a connection to ask over."""
        if self._watch is None:
            await self._alone(statement)
            return
        telling = asyncio.create_task(self._tell_progress(self._watch, step))
        try:
            await self._alone(statement)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)  # it only tells: its failure is nobody's

    async def _tell_progress(self, watch: Connection, step: Step) -> None:
        told = ""
        while True:
            await asyncio.sleep(TOLD_EVERY)
            cursor = await watch.execute(queries.BUILDING.encode(), (self._connection.info.backend_pid,))
            row = await cursor.fetchone()
            if row is not None and row[0] != told:
                told = row[0]
                self._observe(Progress("progress", step, told))

    async def _alone(self, statement: Statement) -> None:
        try:
            await self._connection.execute(statement.sql.encode())
        except psycopg.Error:
            if statement.cleanup is not None and not self._connection.closed:
                await self._connection.execute(statement.cleanup.encode())
            raise

    async def _record(self, step: Step) -> None:
        down = Jsonb([statement_to_json(statement) for statement in step.down])
        values = (step.id, step.kind.value, step.title, step.table, down)
        record = queries.RECORD_LATEST if step.kind in LATEST and step.is_atomic else queries.RECORD
        await self._connection.execute(record, values)

    async def _forget(self, step: Step) -> None:
        if step.kind is not Kind.SCHEMA:
            await self._connection.execute(queries.FORGET, (step.id,))

    def _teller(self, step: Step) -> Callable[[RetryCallState], None]:
        def tell(state: RetryCallState) -> None:
            pause = state.next_action.sleep if state.next_action else 0.0
            error = state.outcome.exception() if state.outcome else None
            reason = str(error).splitlines()[0] if error else ""
            detail = f"{reason}; attempt {state.attempt_number}, again in {pause:.1f} s"
            self._observe(Progress("retried", step, detail))

        return tell


Note = Callable[[Step], Awaitable[None]]


async def _nothing(step: Step) -> None:
    """Note nothing of a step."""


def _units(statements: Sequence[Statement]) -> Iterator[list[Statement]]:
    """Yield what is one transaction, or one statement outside of any."""
    for in_transaction, group in groupby(statements, key=lambda statement: statement.in_transaction):
        if in_transaction:
            yield list(group)
        else:
            yield from ([statement] for statement in group)


def _failure(step: Step, error: psycopg.Error) -> StepFailed:
    diag = error.diag
    return StepFailed(
        f'step "{step.id}" failed: {diag.message_primary or error}',
        sqlstate=error.sqlstate,
        detail=diag.message_detail,
        hint=diag.message_hint,
    )
