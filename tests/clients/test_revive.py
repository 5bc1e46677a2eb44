"""Upserts that revive, by several sessions at once: one brings the row back, the others meet a live row."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest
from psycopg import errors

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database
from tests.waiting import wait_until

SCHEMA = """
CREATE TABLE codes (code text PRIMARY KEY, note text NOT NULL, hits int NOT NULL DEFAULT 1, deleted_at timestamptz);
INSERT INTO codes VALUES ('gone', 'as it was', 99, '2026-02-01');
"""
CONFIG = '[tables."public.codes"]\nupsert = "revive"\n'
UPSERT = (
    "INSERT INTO codes (code, note) VALUES ('gone', %s) ON CONFLICT (code) "
    "DO UPDATE SET hits = codes.hits + 1 RETURNING note, hits"
)
Start = Callable[..., RunningProxy]
Connection = psycopg.Connection[tuple[object, ...]]


def upsert(connection: Connection, note: str) -> list[tuple[object, ...]]:
    """Upsert the deleted row's key; return what RETURNING gives."""
    return connection.execute(UPSERT, (note,)).fetchall()


def is_waiting(database: Database) -> bool:
    """Tell whether somebody waits for another session's transaction."""
    return database.execute("SELECT pid FROM pg_locks WHERE NOT granted") != []


def revived_meanwhile(
    database: Database, proxy: RunningProxy, finish: Callable[[Connection], None], isolation: str
) -> Future[list[tuple[object, ...]]]:
    """Revive in one session, upsert in another that has to wait for it, end the first; return the second's answer."""
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        first, second = (stack.enter_context(psycopg.connect(proxy.dsn())) for _ in range(2))
        second.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}".encode())
        second.execute("SELECT count(*) FROM codes")
        assert upsert(first, "by the first") == [("by the first", 1)]
        answer = pool.submit(upsert, second, "by the second")
        wait_until(lambda: is_waiting(database))
        finish(first)
        answer.exception(timeout=30)
        return answer


@pytest.mark.parametrize(
    ("finish", "expected"),
    [(psycopg.Connection.commit, ("by the first", 2)), (psycopg.Connection.rollback, ("by the second", 1))],
    ids=["commit", "rollback"],
)
def test_who_waits_for_a_revival_meets_what_became_of_it(
    database: Database,
    start_proxy: Start,
    finish: Callable[[Connection], None],
    expected: tuple[object, ...],
) -> None:
    database.execute(SCHEMA)
    proxy = start_proxy(database, CONFIG)
    assert revived_meanwhile(database, proxy, finish, "READ COMMITTED").result() == [expected]


def test_a_revival_under_repeatable_read_fails_as_any_update_would(
    database: Database, start_proxy: Start
) -> None:
    database.execute(SCHEMA)
    proxy = start_proxy(database, CONFIG)
    answer = revived_meanwhile(database, proxy, psycopg.Connection.commit, "REPEATABLE READ")
    assert isinstance(answer.exception(), errors.SerializationFailure)
    assert database.execute("SELECT note, hits, deleted_at FROM codes") == [("by the first", 1, None)]


def test_many_sessions_revive_once_and_count_the_rest(database: Database, start_proxy: Start) -> None:
    database.execute(SCHEMA)
    proxy = start_proxy(database, CONFIG)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(6))
        sessions = [stack.enter_context(psycopg.connect(proxy.dsn(), autocommit=True)) for _ in range(6)]
        answers = [pool.submit(upsert, one, str(number)) for number, one in enumerate(sessions)]
        hits = sorted(int(str(answer.result()[0][1])) for answer in answers)
    assert hits == [1, 2, 3, 4, 5, 6]
    assert database.execute("SELECT hits, deleted_at FROM codes") == [(6, None)]


def test_a_revival_needs_the_right_to_update_every_column(database: Database, start_proxy: Start) -> None:
    database.execute(SCHEMA)
    database.execute("DROP ROLE IF EXISTS revive_clerk; CREATE ROLE revive_clerk LOGIN")
    database.execute("GRANT SELECT, INSERT, UPDATE (hits) ON codes TO revive_clerk")
    proxy = start_proxy(database, CONFIG)
    try:
        with psycopg.connect(proxy.dsn(user="revive_clerk"), autocommit=True) as connection:
            with pytest.raises(errors.InsufficientPrivilege):
                upsert(connection, "mine")
            database.execute("GRANT UPDATE ON codes TO revive_clerk")
            assert upsert(connection, "mine") == [("mine", 1)]
    finally:
        database.execute("DROP OWNED BY revive_clerk; DROP ROLE revive_clerk")
