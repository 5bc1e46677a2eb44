"""Running a migration while others use the database: locks, retries, and what a killed run leaves."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import psycopg
import pytest

from pgsoftproxy.model.steps import Lock
from tests.fix_proxy import ROOT
from tests.relations.test_triggers import FAMILY
from tests.schema.migrating import Migration
from tests.waiting import wait_until

INVALID = "SELECT relname::text FROM pg_index JOIN pg_class ON oid = indexrelid WHERE NOT indisvalid"
RUNNING = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
ENDS_WITH = "trigger:public.users"
TAKEN = """
SELECT DISTINCT l.mode FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
WHERE l.pid = %s AND l.granted AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
"""


@contextmanager
def process(migration: Migration, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `migrate --yes` as a process of its own."""
    command = [
        sys.executable,
        "-m",
        "pgsoftproxy",
        "migrate",
        "--config",
        str(migration.config),
        "--yes",
        "--json",
    ]
    running = subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        if running.stdout is not None:
            running.stdout.close()


def event(running: subprocess.Popen[str], wanted: Callable[[dict[str, str]], bool]) -> dict[str, str]:
    """Return the first event that is wanted."""
    assert running.stdout is not None
    for line in running.stdout:
        told: dict[str, str] = json.loads(line)
        if "event" in told and wanted(told):
            return told
    raise AssertionError("the process ended without it")


def modes(names: list[str]) -> Lock:
    """Return the strongest of lock modes as pg_locks names them."""
    known = {"".join(part.capitalize() for part in lock.value.split()) + "Lock": lock for lock in Lock}
    return max((known[name] for name in names), key=lambda lock: lock.strength, default=Lock.NONE)


def test_a_lock_that_another_session_holds_is_waited_for_in_short_attempts(migration: Migration) -> None:
    database = migration.database
    database.execute(FAMILY)
    migration.run("--only", "index")
    with psycopg.connect(database.dsn) as other, process(migration, "--lock-timeout", "0.05") as running:
        other.execute("INSERT INTO users VALUES (9)")
        told = event(running, lambda told: told["event"] == "retried")
        assert told["step"].startswith("trigger:public.")
        assert "lock timeout" in told["detail"]
        assert database.execute("SELECT 1 FROM users LIMIT 1") == [(1,)]
        other.rollback()
        assert event(running, lambda told: told["event"] == "done" and told["step"] == ENDS_WITH)
        assert running.wait() == 0
    assert migration.ids() == []


@pytest.mark.slow
def test_a_run_that_never_gets_its_lock_fails_and_says_where_it_stopped(migration: Migration) -> None:
    migration.database.execute(FAMILY)
    migration.run("--only", "index")
    with psycopg.connect(migration.database.dsn) as other:
        other.execute("INSERT INTO users VALUES (9)")
        code, out = migration.command("--yes", "--lock-timeout", "0.02", "--attempts", "1")
    assert code == 1
    assert 'step "trigger:public.' in out
    assert migration.ids()
    migration.run()
    assert migration.ids() == []


def test_a_run_that_is_killed_while_it_waits_goes_on_where_it_was(migration: Migration) -> None:
    database = migration.database
    database.execute(FAMILY)
    before = migration.dump()
    migration.run("--only", "index")
    with psycopg.connect(database.dsn) as other, process(migration, "--lock-timeout", "0.05") as running:
        other.execute("INSERT INTO orders VALUES (9)")
        event(running, lambda told: told["event"] == "retried")
    wait_until(lambda: database.execute(RUNNING) == [(0,)])
    due = migration.ids()
    assert due and due[0].startswith("trigger:")
    migration.run()
    assert migration.ids() == []
    migration.run("--down")
    assert migration.dump() == before


def test_an_index_that_a_killed_run_left_is_dropped_and_built_again(migration: Migration) -> None:
    database = migration.database
    database.execute(FAMILY)
    with psycopg.connect(database.dsn) as other, process(migration) as running:
        other.execute("UPDATE users SET email = 'x'")
        event(running, lambda told: told["step"].startswith("index:public.users:"))
        wait_until(lambda: len(database.execute(INVALID)) == 1)
        running.kill()
        # 15 and 18 notice within a second that nobody is there any more.
        wait_until(lambda: database.execute(RUNNING) == [(0,)])
    (left,) = database.execute(INVALID)
    statements = [one["sql"] for step in migration.plan()["steps"] for one in step["statements"]]
    assert f'DROP INDEX CONCURRENTLY IF EXISTS "public"."{left[0]}"' in statements
    migration.run()
    assert database.execute(INVALID) == []
    assert migration.ids() == []


@pytest.mark.slow
def test_a_second_run_at_the_same_time_is_refused(migration: Migration) -> None:
    database = migration.database
    database.execute(FAMILY)
    with psycopg.connect(database.dsn) as other, process(migration) as running:
        other.execute("UPDATE users SET email = 'x'")
        event(running, lambda told: told["event"] == "started")
        code, out = migration.command("--yes")
        assert (code, "another migrate is running" in out) == (1, True)


def test_the_plan_tells_the_lock_that_each_step_takes(migration: Migration, role: str) -> None:
    database = migration.database
    database.execute(f"{FAMILY} GRANT DELETE ON users TO {role}")
    steps = {step["id"]: step for step in migration.plan()["steps"]}
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        for step in steps.values():
            if not all(statement["in_transaction"] for statement in step["statements"]):
                continue
            with connection.transaction():
                for statement in step["statements"]:
                    connection.execute(statement["sql"])
                rows = connection.execute(TAKEN, (connection.info.backend_pid,)).fetchall()
            taken = modes([row[0] for row in rows])
            # A GRANT takes the weakest lock on 18, and none before.
            weakest = taken is Lock.NONE and step["kind"] == "revoke" and step["lock"] == "ACCESS SHARE"
            assert weakest or (step["id"], taken.value) == (step["id"], step["lock"])


@pytest.mark.slow
def test_an_index_is_built_under_a_lock_that_lets_writes_go_on(migration: Migration) -> None:
    database = migration.database
    database.execute(FAMILY)
    (step,) = [
        one for one in migration.plan()["steps"] if one["id"].startswith("index:public.users:pgsoftproxy_key")
    ]
    with psycopg.connect(database.dsn) as other, psycopg.connect(database.dsn, autocommit=True) as builder:
        other.execute("UPDATE users SET email = 'x'")
        thread = Thread(target=builder.execute, args=(step["statements"][0]["sql"],))
        thread.start()
        wait_until(lambda: len(database.execute(INVALID)) == 1)
        rows = database.execute(TAKEN.replace("%s", str(builder.info.backend_pid)))
        database.execute("UPDATE orders SET user_id = user_id; INSERT INTO users VALUES (10)")
        other.rollback()
        thread.join()
    assert modes([row[0] for row in rows]).value == step["lock"]


@pytest.mark.slow
def test_an_index_that_waits_tells_for_whom(migration: Migration) -> None:
    database = migration.database
    database.execute(FAMILY)
    with psycopg.connect(database.dsn, application_name="report") as other, process(migration) as running:
        other.execute("UPDATE users SET email = 'x'")
        wanted = f"pid {other.info.backend_pid} (report)"
        told = event(running, lambda told: told["event"] == "progress" and wanted in told["detail"])
        assert told["step"].startswith("index:")
