"""A client that sends very large statements keeps the others waiting for moments, not for as long as they take."""

import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database

StartProxy = Callable[..., RunningProxy]

LONGEST_SHARE = 0.5
"""The longest wait of another session, as a share of the time that planning takes; it would be all of it, and the
parser and the JSON decoder do hold the interpreter for a part of theirs."""


def longest_wait(proxy: RunningProxy, busy: threading.Thread) -> tuple[float, int]:
    """Ask small questions while the thread runs; return the longest wait in seconds, and how many were answered."""
    longest, answered = 0.0, 0
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        connection.execute("SELECT 1")
        busy.start()
        while busy.is_alive():
            began = time.monotonic()
            assert connection.execute("SELECT count(*) FROM users").fetchone() == (1,)
            longest = max(longest, time.monotonic() - began)
            answered += 1
    return longest, answered


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (f"SELECT id FROM users WHERE id IN ({','.join(map(str, range(200_000)))})", [(1,)]),
        (f"INSERT INTO numbers VALUES {','.join(f'({n})' for n in range(100_000))} RETURNING n = 1", None),
    ],
    ids=["IN list", "rows"],
)
def test_large_statement_does_not_stall_other_sessions(
    database: Database, start_proxy: StartProxy, sql: str, expected: list[tuple[int]] | None
) -> None:
    database.execute("CREATE TABLE numbers (n int)")
    database.execute(
        "CREATE TABLE users (id int, deleted_at timestamptz); INSERT INTO users VALUES (1, NULL), (2, now())"
    )
    proxy = start_proxy(database, "[tables.users]")
    answers: list[object] = []

    def ask() -> None:
        with psycopg.connect(proxy.dsn()) as connection:
            answers.append(connection.execute(sql.encode()).fetchall())

    longest, answered = longest_wait(proxy, threading.Thread(target=ask))
    (rows,) = answers
    assert isinstance(rows, list)
    assert rows == expected if expected is not None else len(rows) == 100_000
    planning = sum(
        float(line.split()[-1])
        for line in proxy.metrics().splitlines()
        if line.startswith("pgsoftproxy_rewrite_seconds_sum")
    )
    assert answered > 5
    assert longest < max(0.2, planning * LONGEST_SHARE), f"waited {longest:.2f} s of {planning:.2f} s"
