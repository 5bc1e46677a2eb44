"""A deletion that goes down three levels to 100,000 rows, beside hand-written SQL that does the same.

Every run finds a database of its own, copied from one template, so that all find the same tables. Part of `make
bench`; alone with `python -m tests.bench.cascade`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
from typer.testing import CliRunner

from pgsoftproxy.cli import app
from tests.bench.figures import Ledger
from tests.bench.goals import GOALS, Verdict, judge
from tests.bench.names import BY_HAND, CASCADE, OURS, SERVERS_OWN, TRIGGERS
from tests.bench.pgbench import Failed
from tests.bench.report import plain, sections
from tests.bench.rounds import Effort, interleaved
from tests.bench.stage import Stage
from tests.fix_proxy import RunningProxy, config_text
from tests.relations.twins import CONFIG, REQUIRE
from tests.servers import LocalServer, execute, local_server

SETTINGS = {"autovacuum": "off", "max_wal_size": "8GB", "checkpoint_timeout": "1h", "shared_buffers": "512MB"}
STAMPS = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
ROOTS = 4
"""One of them is deleted, with all that is below it."""
SHELVES = 1_000
ID = "11111111-1111-1111-1111-111111111111"
SET = f"SET deleted_at = now(), deleted_by = SESSION_USER, deletion_id = '{ID}'"
ROOT = f"UPDATE roots {SET} WHERE id = 1 AND deleted_at IS NULL"
HAND_WRITTEN = (
    "BEGIN",
    ROOT,
    f"UPDATE shelves {SET} WHERE parent = 1 AND deleted_at IS NULL",
    f"UPDATE books AS c {SET} FROM shelves AS p WHERE c.parent = p.id AND p.parent = 1 AND c.deleted_at IS NULL",
    f"UPDATE pages AS c {SET} FROM books AS p JOIN shelves AS s ON s.id = p.parent "
    "WHERE c.parent = p.id AND s.parent = 1 AND c.deleted_at IS NULL",
    "COMMIT",
)
"""By the keys. By the deletion's id, or with IN, it takes as long."""
DELETE = ("DELETE FROM roots WHERE id = 1",)
PLAIN, INDEXED, EQUIPPED = "cascade_plain", "cascade_indexed", "cascade_equipped"
TEMPLATES: dict[str, list[str] | None] = {PLAIN: None, INDEXED: ["--skip", "trigger"], EQUIPPED: []}
"""What is copied, by what `migrate` has made there: nothing, all but the triggers, all."""


@dataclass(frozen=True, slots=True)
class Level:
    """A table below the roots: what it refers to, how many rows it has for one of that, and for one root."""

    table: str
    above: str
    each: int
    rows: int


def levels(shelves: int) -> tuple[Level, ...]:
    """Return the tables below the roots: 100,000 rows for each root if there are 1,000 shelves."""
    return (
        Level("shelves", "roots", shelves, shelves),
        Level("books", "shelves", 9, shelves * 9),
        Level("pages", "books", 10, shelves * 90),
    )


@dataclass(frozen=True, slots=True)
class Way:
    """One way to delete: its template, its statements, whether through the proxy."""

    name: str
    template: str
    statements: tuple[str, ...]
    proxied: bool = False


WAYS = (
    Way(BY_HAND, INDEXED, HAND_WRITTEN),
    Way(TRIGGERS, EQUIPPED, (ROOT,)),
    Way(OURS, EQUIPPED, DELETE, proxied=True),
    Way(SERVERS_OWN, PLAIN, DELETE),
)


def measure_cascade(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    """Note how long each way takes in each round."""
    measure(stage.server, effort, ledger)


def measure(server: LocalServer, effort: Effort, ledger: Ledger) -> None:
    """Note how long each way takes in each round, on this server."""
    below = levels(effort.size(SHELVES))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgsoftproxy-cascade-")))
        for name, options in TEMPLATES.items():
            template = stack.enter_context(_database(server, name))
            _fill(server, template, below)
            _migrate(server, template, folder, options)
        proxy = stack.enter_context(_proxy(server, folder))
        numbers = count()
        for way in (*WAYS, *interleaved(effort.rounds, WAYS)):
            number = next(numbers)
            with _database(server, f"{way.template}_{number}", f" TEMPLATE {way.template}") as name:
                dsn = proxy.dsn(name) if way.proxied else server.dsn(name)
                milliseconds = _milliseconds(dsn, way, below)
                _check(server.dsn(name), below)
            if number >= len(WAYS):  # the first of each has warmed up
                ledger.add(CASCADE, way.name, milliseconds)


def _fill(server: LocalServer, name: str, below: tuple[Level, ...]) -> None:
    """Make the tables and their rows."""
    texts = [f"CREATE TABLE roots (id int PRIMARY KEY, name text, {STAMPS})"]
    texts.append(f"INSERT INTO roots SELECT n, 'name ' || n FROM generate_series(1, {ROOTS}) AS n")
    for one in below:
        parent = f"parent int NOT NULL REFERENCES {one.above} ON DELETE CASCADE"
        rows = f"generate_series(0, {one.rows * ROOTS - 1}) AS n"
        texts += [
            f"CREATE TABLE {one.table} (id int PRIMARY KEY, {parent}, name text, {STAMPS})",
            f"INSERT INTO {one.table} SELECT n + 1, n / {one.each} + 1, 'name ' || n FROM {rows}",
            f"CREATE INDEX ON {one.table} (parent)",
        ]
    execute(server.dsn(name), ";\n".join(texts))


def _migrate(server: LocalServer, name: str, folder: Path, options: list[str] | None) -> None:
    if options is not None:
        config = folder / f"{name}.toml"
        config.write_text(config_text(server, name, CONFIG, REQUIRE))
        done = CliRunner().invoke(app, ["migrate", "--config", str(config), "--yes", *options])
        if done.exit_code:
            raise Failed(f"migrate: {done.output}")
    execute(server.dsn(name), "VACUUM ANALYZE")


@contextmanager
def _database(server: LocalServer, name: str, options: str = "") -> Iterator[str]:
    execute(server.dsn(), f"CREATE DATABASE {name}{options}")
    try:
        yield name
    finally:
        execute(server.dsn(), f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _proxy(server: LocalServer, folder: Path) -> Iterator[RunningProxy]:
    config = folder / "proxy.toml"
    config.write_text(config_text(server, "postgres", CONFIG, REQUIRE))
    proxy = RunningProxy(config, server, "postgres", anew=True)
    try:
        yield proxy
    finally:
        proxy.stop()


def _milliseconds(dsn: str, way: Way, below: tuple[Level, ...]) -> float:
    """Return how long the statements take on a connection that has read the tables."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for one in below:
            connection.execute(f"SELECT count(*), count(name) FROM {one.table}".encode())
        start = time.perf_counter()
        for statement in way.statements:
            connection.execute(statement.encode())
        return (time.perf_counter() - start) * 1000


def _check(dsn: str, below: tuple[Level, ...]) -> None:
    """See that what is below the root is gone, and nothing else."""
    for one in below:
        live = execute(dsn, f"SELECT count(*)::int FROM {one.table} WHERE deleted_at IS NULL")[0][0]
        if live != one.rows * (ROOTS - 1):
            raise Failed(f"{live} live rows are left in {one.table}")


def main() -> int:
    """Measure and print; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cascade", description=__doc__)
    parser.add_argument("--versions", default="15,18", help="of PostgreSQL (15,18)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds (9)")
    options = parser.parse_args()
    missed = False
    for version in options.versions.split(","):
        ledger = Ledger()
        server = local_server(int(version), SETTINGS)
        try:
            measure(server, Effort(options.rounds, 0), ledger)
        finally:
            server.destroy()
        judged = [judge(goal, ledger) for goal in GOALS if goal.row == CASCADE]
        print(
            f"\nPostgreSQL {version}, {options.rounds} rounds",
            *plain(list(sections(ledger, judged))),
            sep="\n",
        )
        missed = missed or any(one.verdict is not Verdict.HOLDS for one in judged)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
