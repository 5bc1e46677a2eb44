"""What it costs that no live child refers to a deleted parent: candidates side by side, as decision 9 compares them.

Rounds interleave the candidates, and the median of the rounds is shown with its ratio to a plain foreign key, for
the machine is shared. Run it with `python -m tests.bench.parents`.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

import psycopg
from psycopg import IsolationLevel

from tests.relations.twins import equip
from tests.servers import LocalServer, execute, local_server
from tests.waiting import wait_until

STAMPS = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
TABLES = f"""
CREATE TABLE parents (id int PRIMARY KEY, v int NOT NULL DEFAULT 0, {STAMPS});
CREATE TABLE children (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent int NOT NULL REFERENCES parents,
  {STAMPS});
INSERT INTO parents SELECT n FROM generate_series(1, 1000) AS n;
INSERT INTO children (parent) SELECT 1 + n % 1000 FROM generate_series(1, {{rows}}) AS n;
CREATE INDEX ON children (parent);
"""
GENERATED = """
ALTER TABLE parents ADD COLUMN live bool GENERATED ALWAYS AS (deleted_at IS NULL) STORED;
ALTER TABLE parents ADD UNIQUE (id, live);
ALTER TABLE children ADD COLUMN parent_live bool
  GENERATED ALWAYS AS (CASE WHEN deleted_at IS NULL THEN true END) STORED;
ALTER TABLE children ADD FOREIGN KEY (parent, parent_live) REFERENCES parents (id, live);
CREATE INDEX ON children (parent, parent_live);
"""
SHARE = """
DO $do$ DECLARE f record; BEGIN
  FOR f IN SELECT pg_get_functiondef(oid) AS text FROM pg_proc
           WHERE pronamespace = 'pgsoftproxy'::regnamespace AND proname LIKE 'live%' LOOP
    EXECUTE replace(f.text, 'FOR KEY SHARE', 'FOR SHARE');
  END LOOP;
END $do$;
DROP INDEX parents_pgsoftproxy_key;
"""
LIVE = "deleted_at IS NULL"
ORPHANS = f"""
SELECT count(*) FROM children AS c JOIN parents AS p ON p.id = c.parent WHERE c.{LIVE} AND p.deleted_at IS NOT NULL
"""
DELETE = f"UPDATE parents SET deleted_at = now() WHERE {LIVE} AND id = %s"
INSERT = "INSERT INTO children (parent) VALUES (%s)"
LEVELS = (IsolationLevel.READ_COMMITTED, IsolationLevel.SERIALIZABLE)


@dataclass(slots=True)
class Candidate:
    """One way, with its database, what making it took, and what was measured."""

    name: str
    dsn: str
    setup_seconds: float
    inserts: list[float] = field(default_factory=list)
    updates: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    options = arguments()
    with candidates(options.version, options.rows) as found:
        for _ in range(options.rounds):
            for candidate in found:
                candidate.inserts.append(insert_microseconds(candidate.dsn, options.inserts))
                updates, inserts = contention(candidate.dsn, options.seconds)
                candidate.updates.append(updates)
                candidate.beside.append(inserts)
        show(found)
        for candidate in found:
            show_races(candidate)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.parents")
    parser.add_argument("--version", type=int, default=18, help="of PostgreSQL (18)")
    parser.add_argument("--rows", type=int, default=500_000, help="children that are there already (500000)")
    parser.add_argument("--inserts", type=int, default=2000, help="children that a round inserts (2000)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of contention in a round (2)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    return parser.parse_args()


@contextmanager
def candidates(version: int, rows: int) -> Iterator[list[Candidate]]:
    """Make a database for each candidate."""
    server = local_server(version)
    try:
        yield [
            candidate(server, rows, "plain foreign key", lambda dsn: None),
            candidate(server, rows, "(a) FOR SHARE", share),
            candidate(server, rows, "(b) generated columns", lambda dsn: execute(dsn, GENERATED)),
            candidate(server, rows, "(c) FOR KEY SHARE + key index", equip),
        ]
    finally:
        server.destroy()


def share(dsn: str) -> None:
    """Make the triggers with the stronger lock, and without the index."""
    equip(dsn)
    execute(dsn, SHARE)


def candidate(server: LocalServer, rows: int, name: str, make: Callable[[str], object]) -> Candidate:
    """Make the database of a candidate."""
    database = "bench_" + "".join(char for char in name.lower() if char.isalnum())
    execute(server.dsn(), f"CREATE DATABASE {database}")
    dsn = server.dsn(database)
    execute(dsn, TABLES.format(rows=rows))
    execute(dsn, "VACUUM ANALYZE")
    start = time.perf_counter()
    make(dsn)
    return Candidate(name, dsn, time.perf_counter() - start)


def insert_microseconds(dsn: str, count: int) -> float:
    """Return the time of one INSERT of a child, prepared, each in a transaction of its own."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for number in range(100):
            connection.execute(INSERT, (1 + number,), prepare=True)
        start = time.perf_counter()
        for number in range(count):
            connection.execute(INSERT, (1 + number % 1000,), prepare=True)
        return (time.perf_counter() - start) / count * 1e6


def contention(dsn: str, seconds: float) -> tuple[float, float]:
    """Return updates of one parent and inserts of its children, each a second, while both go on.

    A child's transaction stays open for five milliseconds, as one that does something else as well.
    """
    until = time.perf_counter() + seconds
    with ThreadPoolExecutor(3) as pool:
        inserting = [pool.submit(insert_until, dsn, until) for _ in range(2)]
        updating = pool.submit(update_until, dsn, until)
        inserts = sum(future.result() for future in inserting)
        return updating.result() / seconds, inserts / seconds


def update_until(dsn: str, until: float) -> int:
    """Update the hot parent until then; return how often."""
    count = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        while time.perf_counter() < until:
            connection.execute("UPDATE parents SET v = v + 1 WHERE id = 1", prepare=True)
            count += 1
    return count


def insert_until(dsn: str, until: float) -> int:
    """Insert children of the hot parent until then; return how many."""
    count = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        while time.perf_counter() < until:
            with connection.transaction():
                connection.execute(INSERT, (1,), prepare=True)
                connection.execute("SELECT pg_sleep(0.005)")
            count += 1
    return count


def show(found: list[Candidate]) -> None:
    """Print the medians and their ratios to the first."""
    base = found[0]
    print(f"{'':32}{'setup s':>9}{'insert us':>11}{'ratio':>7}{'updates/s':>11}{'ratio':>7}{'inserts/s':>11}")
    for one in found:
        cost, updates, beside = median(one.inserts), median(one.updates), median(one.beside)
        print(
            f"{one.name:32}{one.setup_seconds:9.2f}{cost:11.0f}{cost / median(base.inserts):7.2f}"
            f"{updates:11.0f}{updates / median(base.updates):7.2f}{beside:11.0f}"
        )


def show_races(one: Candidate) -> None:
    """Print how both directions of the race end, at both levels."""
    for level in LEVELS:
        for name, first, second in (("child first", INSERT, DELETE), ("deletion first", DELETE, INSERT)):
            told = race(one.dsn, level, first, second)
            print(f"{one.name:32}{level.name.lower():16}{name:16}{told}")


def race(dsn: str, level: IsolationLevel, first: str, second: str) -> str:
    """Let a statement begin while another's transaction is open; tell whether it waits, how it ends, who is left."""
    (parent,) = execute(dsn, f"SELECT max(id) FROM parents WHERE {LIVE}")[0]
    execute(dsn, f"SET pgsoftproxy.delete = 'hard'; DELETE FROM children WHERE parent = {parent}")
    before = execute(dsn, ORPHANS)[0][0]
    with psycopg.connect(dsn) as early, psycopg.connect(dsn) as late, ThreadPoolExecutor(1) as pool:
        early.isolation_level = late.isolation_level = level
        late.execute("SELECT 1")
        early.execute(first.encode(), (parent,))
        answer: Future[str] = pool.submit(attempt, late, second, parent)
        waited = waits(dsn, late.info.backend_pid, answer)
        early.commit()
        ended = answer.result()
    left = execute(dsn, ORPHANS)[0][0] - before
    return f"{'waits' if waited else 'goes on'}, then {ended}; live orphans: {left}"


def attempt(connection: psycopg.Connection[tuple[object, ...]], statement: str, parent: int) -> str:
    """Run a statement and commit; return the tag or the SQLSTATE."""
    try:
        cursor = connection.execute(statement.encode(), (parent,))
        connection.commit()
    except psycopg.Error as error:
        return str(error.sqlstate)
    return cursor.statusmessage or ""


def waits(dsn: str, pid: int, answer: "Future[str]") -> bool:
    """Tell whether a backend comes to wait for a lock before it has answered."""
    asked = f"SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = {pid}"
    wait_until(lambda: answer.done() or execute(dsn, asked) == [(True,)])
    return not answer.done()


if __name__ == "__main__":
    main()
