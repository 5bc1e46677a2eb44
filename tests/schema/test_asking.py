"""`migrate` on a terminal: it shows the plan and asks."""

import os
import pty
import select
import subprocess
import sys

from tests.fix_proxy import ROOT
from tests.schema.migrating import Migration

TABLES = """
CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text, name text, visits int DEFAULT 0,
  CONSTRAINT users_email UNIQUE (email), deleted_at timestamptz, deleted_by text, deletion_id uuid);
CREATE UNIQUE INDEX users_name ON users (lower(name));
CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE,
  deleted_at timestamptz, deleted_by text, deletion_id uuid);
"""


def test_a_terminal_is_asked_before_anything_is_done(migration: Migration) -> None:
    migration.database.execute(TABLES)
    for answer in ("n", "y"):
        answer_on_a_terminal(migration, answer)
        assert bool(migration.ids()) == (answer == "n")


def answer_on_a_terminal(migration: Migration, answer: str) -> None:
    """Run the command on a terminal, and answer what it asks."""
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
