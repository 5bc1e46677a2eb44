"""An application's unmodified statements, through the proxy, before and after `migrate`."""

import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest

from tests.fix_proxy import ROOT, RunningProxy
from tests.fix_servers import Database
from tests.schema.migrating import RULES, Migration

TABLES = """
CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text, name text, visits int DEFAULT 0,
  CONSTRAINT users_email UNIQUE (email), deleted_at timestamptz, deleted_by text, deletion_id uuid);
CREATE UNIQUE INDEX users_name ON users (lower(name));
CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE,
  deleted_at timestamptz, deleted_by text, deletion_id uuid);
"""
STATEMENTS = (
    ("INSERT INTO users (email, name) VALUES ('a', 'Ann')", "INSERT 0 1"),
    ("INSERT INTO users (email) VALUES ('a') ON CONFLICT DO NOTHING", "INSERT 0 0"),
    ("INSERT INTO users (email) VALUES ('a') ON CONFLICT (email) DO NOTHING", "INSERT 0 0"),
    (
        "INSERT INTO users (email) VALUES ('a') ON CONFLICT (email) DO UPDATE SET visits = users.visits + 1",
        "INSERT 0 1",
    ),
    (
        "INSERT INTO users (email) VALUES ('a') ON CONFLICT ON CONSTRAINT users_email DO UPDATE SET visits = 9",
        "INSERT 0 1",
    ),
    ("INSERT INTO users (email) VALUES ('a') ON CONFLICT ON CONSTRAINT users_email DO NOTHING", "INSERT 0 0"),
    ("INSERT INTO users (name) VALUES ('ANN') ON CONFLICT (lower(name)) DO NOTHING", "INSERT 0 0"),
    ("INSERT INTO orders SELECT 1, id FROM users WHERE email = 'a'", "INSERT 0 1"),
    ("DELETE FROM users WHERE email = 'a'", "DELETE 1"),
    ("DELETE FROM orders", "DELETE 0"),
    ("INSERT INTO users (email, name) VALUES ('a', 'Ann')", "INSERT 0 1"),
    ("INSERT INTO users (email) VALUES ('b') ON CONFLICT ON CONSTRAINT users_email DO NOTHING", "INSERT 0 1"),
)


def test_statements_answer_after_it_as_on_a_database_where_delete_removes(
    migration: Migration, start_proxy: Callable[..., RunningProxy]
) -> None:
    database = migration.database
    database.execute(TABLES)
    migration.run()
    proxy = start_proxy(database, RULES, defaults={"relations": "require"})
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        for statement, tag in STATEMENTS:
            assert (statement, connection.execute(statement.encode()).statusmessage) == (statement, tag)
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO users (email) VALUES ('a')")
        found = connection.execute("SELECT email, visits FROM users ORDER BY email").fetchall()
    assert found == [("a", 0), ("b", 0)]
    assert database.execute("SELECT count(*) FROM users") == [(3,)]


@pytest.mark.parametrize("answer", ["n", "y"])
def test_a_terminal_is_asked_before_anything_is_done(migration: Migration, answer: str) -> None:
    migration.database.execute(TABLES)
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "pgsoftproxy", "migrate", "--config", str(migration.config)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "200"},
    )
    os.close(theirs)
    shown = read_until(ours, b"Run these steps? [y/N]")
    assert b"CREATE UNIQUE INDEX CONCURRENTLY" in shown
    os.write(ours, f"{answer}\n".encode())
    read_until(ours, None)
    os.close(ours)
    assert running.wait() == 0
    assert bool(migration.ids()) == (answer == "n")


def read_until(terminal: int, wanted: bytes | None) -> bytes:
    """Return what is printed up to some words, or to the end."""
    shown = b""
    while wanted is None or wanted not in shown:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, shown
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the process has ended
            part = b""
        if not part:
            assert wanted is None, shown
            break
        shown += part
    return shown


def test_nothing_is_asked_for_before_the_proxy_serves_a_database_without_it(
    migration: Migration, start_proxy: Callable[..., RunningProxy], database: Database
) -> None:
    database.execute(TABLES)
    proxy = start_proxy(database, RULES, defaults={"relations": "require"})
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        connection.execute("INSERT INTO users (email) VALUES ('a')")
        with pytest.raises(psycopg.errors.FeatureNotSupported) as caught:
            connection.execute("DELETE FROM users")
    assert "pgsoftproxy migrate" in (caught.value.diag.message_hint or "")
