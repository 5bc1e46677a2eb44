"""`make race`: deletions of parents beside new children of theirs, thousands of times; no live child may be left.

Half of the transactions run through the proxy, half directly, on a database that `migrate` has made ready. What was
answered is compared with what is there: an answer that got lost counts as much as an orphan.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg
from typer.testing import CliRunner

from pgsoftproxy.cli import app
from pgsoftproxy.errors import RestoreFailed
from pgsoftproxy.model.restore import Selection
from tests.fix_proxy import RunningProxy, config_text
from tests.fix_servers import make_server
from tests.relations.pairs import CHILDREN, COPY, SCHEMA, TAKE_BACK, Before, Pair, Side, random_pairs
from tests.relations.twins import CONFIG, REQUIRE, take_back
from tests.servers import Server, execute

ALLOWED = {"23503", "40001", "40P01"}
OPTIONS = "-c deadlock_timeout=20ms -c lock_timeout=30s"
DONE = "ok"
ORPHANS = " UNION ALL ".join(
    f"SELECT '{table} ' || c.id FROM {table} AS c LEFT JOIN {parent} AS p ON p.id = c.parent "
    "WHERE c.deleted_at IS NULL AND c.parent IS NOT NULL AND (p.id IS NULL OR p.deleted_at IS NOT NULL)"
    for table, parent in zip(CHILDREN, ("parents", "parents", "parents", "owned"), strict=True)
)

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(slots=True)
class Result:
    """How the pairs ended: by who won, by SQLSTATE; what must not be is told in `troubles`."""

    pairs: int = 0
    won: Counter[str] = field(default_factory=Counter)
    by_kind: dict[str, Counter[str]] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)
    orphans: int = 0
    troubles: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def lines(self) -> Iterator[str]:
        """Yield what it says to a reader."""
        yield f"{self.pairs} pairs in {self.seconds:.0f} s, {self.orphans} live orphans, " + (
            f"{len(self.troubles)} troubles"
        )
        names = sorted(self.won)
        yield f"{'':26}" + "".join(f"{name:>16}" for name in names)
        for kind, counts in [*sorted(self.by_kind.items()), ("all", self.won)]:
            yield f"{kind:26}" + "".join(f"{counts[name]:16}" for name in names)
        yield "errors: " + ", ".join(f"{state} {count}" for state, count in sorted(self.states.items()))
        yield from self.troubles[:20]


@dataclass(frozen=True, slots=True)
class Arena:
    """A database that is ready, and the proxy before it."""

    dsn: str
    proxied: str


@contextmanager
def arena_of(server: Server, proxy: RunningProxy | None = None) -> Iterator[Arena]:
    """Make a database ready by `migrate`, start a proxy before it unless there is one, drop both."""
    name = f"race_{uuid4().hex[:12]}"
    execute(server.dsn(), f"CREATE DATABASE {name}")
    with ExitStack() as stack:
        stack.callback(execute, server.dsn(), f"DROP DATABASE {name} WITH (FORCE)")
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="pgsoftproxy-race-"))
        execute(server.dsn(name), SCHEMA)
        config = Path(directory) / "proxy.toml"
        config.write_text(config_text(server, name, CONFIG, REQUIRE))
        done = CliRunner().invoke(app, ["migrate", "--config", str(config), "--yes"])
        assert done.exit_code == 0, done.output
        if proxy is None:
            proxy = RunningProxy(config, server, name)
            stack.callback(proxy.stop)
        yield Arena(server.dsn(name), proxy.dsn(name))


def run_pairs(arena: Arena, pairs: Sequence[Pair], workers: int) -> Result:
    """Run the pairs, some at a time, and look at what is left."""
    execute(arena.dsn, ";".join(row for pair in pairs for row in pair.rows()))
    execute(arena.dsn, "ANALYZE")
    result, start = Result(len(pairs)), time.monotonic()
    with ThreadPoolExecutor(workers) as pool:
        shares = [pool.submit(_work, arena, pairs[number::workers]) for number in range(workers)]
        answers = {number: answer for share in shares for number, answer in share.result().items()}
    result.seconds = time.monotonic() - start
    found = _found(arena)
    for pair in pairs:
        _judge(pair, answers[pair.number], found, result)
    orphans = [str(row[0]) for row in execute(arena.dsn, ORPHANS)]
    result.orphans = len(orphans)
    result.troubles += [f"live orphan: {row}" for row in orphans]
    if left := execute(arena.dsn, "SELECT count(*) FROM pgsoftproxy.queue")[0][0]:
        result.troubles.append(f"{left} rows are left in the queue")
    return result


def _work(arena: Arena, pairs: Sequence[Pair]) -> dict[int, tuple[str, str]]:
    """Run pairs one after the other, the sides of each at the same time; return what each side was answered."""
    with ExitStack() as stack:
        lines = [
            [
                stack.enter_context(psycopg.connect(dsn, autocommit=True, options=OPTIONS))
                for dsn in (arena.dsn, arena.proxied)
            ]
            for _ in range(2)
        ]
        pool = stack.enter_context(ThreadPoolExecutor(2))
        answers = {}
        for pair in pairs:
            start = threading.Barrier(2)
            sides = [
                pool.submit(_run, arena, line, (pair, side, start))
                for line, side in zip(lines, (pair.parent, pair.child), strict=True)
            ]
            answers[pair.number] = (sides[0].result(), sides[1].result())
        return answers


def _run(arena: Arena, line: list[Connection], job: tuple[Pair, Side, threading.Barrier]) -> str:
    """Run one transaction; return `ok`, `nothing` if it changed no row, the SQLSTATE, or what went wrong."""
    pair, side, start = job
    connection = line[side.proxied]
    start.wait()
    # No wait for anything: when the two transactions begin and end beside each other is what is drawn at random.
    time.sleep(side.before_ms / 1000)
    if side.name == TAKE_BACK:
        return _take_back(arena, pair)
    try:
        connection.execute(f"BEGIN ISOLATION LEVEL {side.level}".encode())
        for statement in side.statements[:-1]:
            connection.execute(statement.encode())
        changed = _change(connection, pair, side)
        time.sleep(side.after_ms / 1000)
        tag = connection.execute("COMMIT").statusmessage
    except psycopg.Error as error:
        if connection.closed:
            return f"lost: {error}"
        connection.execute("ROLLBACK")
        return error.sqlstate or str(error)
    if tag != "COMMIT":
        return f"COMMIT was answered {tag}"
    return DONE if changed == 1 else "nothing" if changed == 0 else f"{changed} rows"


def _change(connection: Connection, pair: Pair, side: Side) -> int:
    if side.name != COPY:
        return connection.execute(side.statements[-1].encode()).rowcount
    with connection.cursor() as cursor:
        with cursor.copy(side.statements[-1].encode()) as copy:
            copy.write_row((pair.number, pair.number))
        return cursor.rowcount


def _take_back(arena: Arena, pair: Pair) -> str:
    try:
        report = asyncio.run(take_back(arena.dsn, Selection(deletions=(pair.deletion,))))
    except RestoreFailed as error:
        return error.sqlstate or error.message
    return DONE if report.done else "23503" if report.conflicts else str(report)


Row = tuple[int | None, bool]
"""To which parent it refers, and whether it is live."""


def _found(arena: Arena) -> dict[str, dict[int, Row]]:
    found = {}
    for table in ("parents", *CHILDREN):
        column = "NULL" if table == "parents" else "parent"
        rows = execute(arena.dsn, f"SELECT id, {column}, deleted_at IS NULL FROM {table}")
        found[table] = {number: (parent, live) for number, parent, live in rows}
    return found


def _judge(pair: Pair, answers: tuple[str, str], found: dict[str, dict[int, Row]], result: Result) -> None:
    """Count how a pair ended, and note what its answers and its rows have against each other."""
    went, came = (answer == DONE for answer in answers)
    names = {
        (True, True): "both",
        (True, False): "parent's side",
        (False, True): "child's side",
        (False, False): "neither",
    }
    won = names[went, came]
    result.won[won] += 1
    result.by_kind.setdefault(f"{'revive' if pair.revives else 'delete'}, {pair.child.name}", Counter())[
        won
    ] += 1
    for answer in answers:
        if answer not in {DONE, "nothing"}:
            result.states[answer] += 1
            if answer not in ALLOWED:
                result.troubles.append(f"{answer}: {pair}")
    n = pair.number
    parent_live = found["parents"][n][1]
    child = found[pair.table].get(n)
    if parent_live is not (went if pair.revives else not went):
        result.troubles.append(
            f"parent's side was answered {answers[0]}, the parent's row says otherwise: {pair}"
        )
    if child not in _possible(pair, came=came, deleted=went and not pair.revives):
        result.troubles.append(f"child's side was answered {answers[1]}, its row is {child}: {pair}")


def _possible(pair: Pair, *, came: bool, deleted: bool) -> list[Row | None]:
    """Return what the child's row can be, by whether its side was done and its parent deleted."""
    n = pair.number
    if not came:
        return [{Before.NOTHING: None, Before.ELSEWHERE: (0, True), Before.DELETED: (n, False)}[pair.before]]
    if not deleted:
        return [(n, True)]
    # It came first, and the deletion went along its key.
    match pair.table:
        case "loose":
            return [(None, True)]
        case "held":
            return []
        case _:
            return [(n, False)]


def main() -> int:
    """Run what the arguments say; return the exit status: 1 if anything is as it must not be."""
    parser = argparse.ArgumentParser(prog="make race", description=__doc__)
    parser.add_argument("--pairs", type=int, default=2000, help="for each version (2000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--versions", default=os.environ.get("PGSOFTPROXY_TEST_VERSIONS", "15,18"))
    parser.add_argument("--workers", type=int, default=4, help="pairs at the same time (4)")
    chosen = parser.parse_args()
    bad = False
    for version in [int(part) for part in chosen.versions.split(",")]:
        server = make_server(version)
        try:
            with arena_of(server) as arena:
                result = run_pairs(arena, random_pairs(chosen.seed, chosen.pairs), chosen.workers)
        finally:
            server.destroy()
        print(f"PostgreSQL {version}, seed {chosen.seed}:", *result.lines(), sep="\n", flush=True)
        bad = bad or bool(result.troubles)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
