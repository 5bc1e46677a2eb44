"""How the cost of a query grows: with clients, row size, statement length, protected tables and cached plans."""

import random
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench.crowd import Crowd
from tests.bench.figures import Ledger
from tests.bench.names import OURS, PGBOUNCER, PROTECTED
from tests.bench.rewriting import Rewriter, policy_of
from tests.bench.rounds import Effort, interleaved
from tests.bench.sessions import ask
from tests.bench.stage import RULES, Contender, Stage, proxy
from tests.raw import query
from tests.servers import execute

CLIENTS = 8
CROWDS = (1, 4, 16, 64, 250, 1000)
ROW_BYTES = (10, 100, 1000, 10_000, 100_000, 1_000_000)
TEXT_BYTES = (30, 100, 300, 1000, 3000, 10_000, 30_000)
TABLES = (1, 10, 100, 1000, 5000)
PLANS = (1, 100, 1000, 10_000, 100_000)
PLAN_BYTES = 2**30
MANY = "many"
ONE_ROW = "SELECT abalance FROM pgbench_accounts WHERE aid = 1"
SMALL_TABLE = "SELECT bid FROM pgbench_branches"
OTHER_TEXT = "SELECT abalance AS balance{number} FROM pgbench_accounts WHERE aid = 1"
FIRST_SIGHTS = 50


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement of a curve: a crowd, what it asks, and whose CPU that takes."""

    curve: str
    at: int
    contender: Contender
    crowd: Crowd
    messages: Sequence[bytes]


def measure_curves(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    """Measure all of them, with less effort than rows take: a curve has many places, and growth shows all the same."""
    effort = Effort(min(effort.rounds, 3), 1, effort.share)
    for measure in (_clients, _rows, _texts, _tables, _plans):
        measure(stage, effort, ledger)


def _clients(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    for number in _sizes(CROWDS, effort):
        with ExitStack() as opened:
            points = []
            for contender in stage.named(PGBOUNCER, OURS):
                crowd = opened.enter_context(Crowd(contender.port, PROTECTED, number))
                points.append(Point("clients", number, contender, crowd, [crowd.prepare(ONE_ROW)]))
            _measure(points, effort, ledger)


def _rows(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    text = "SELECT repeat('x', {size}) FROM pgbench_branches WHERE bid = 1"
    texts = {size: text.format(size=size) for size in _sizes(ROW_BYTES, effort)}
    _each_text("row bytes", texts, stage, effort, ledger)


def _texts(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    texts = {size: _text(size) for size in _sizes(TEXT_BYTES, effort)}
    _each_text("text bytes, known", texts, stage, effort, ledger)
    rewriter = Rewriter(policy_of(stage, PROTECTED, RULES))
    for _ in range(effort.rounds):
        for size, text in texts.items():
            ledger.add_point(
                "text bytes, first sight", OURS, size, rewriter.microseconds([text] * FIRST_SIGHTS)
            )


def _tables(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    counts = _sizes(TABLES, effort)
    execute(stage.server.dsn(), f"CREATE DATABASE {MANY}")
    for count in counts:
        _make_tables(stage.server.dsn(MANY), count)
    with ExitStack() as opened:
        points, rewriters = [], {}
        for count in counts:
            rules = f'[databases.{MANY}.tables."s{count}.*"]\n'
            running = opened.enter_context(proxy(stage.server, stage.directory, f"tables{count}", rules))
            contender = Contender(OURS, (running.port,), (running.process.pid,))
            crowd = opened.enter_context(Crowd(running.port, MANY, CLIENTS))
            messages = [crowd.prepare(f"SELECT id FROM s{count}.t1")]
            points.append(Point("protected tables, known", count, contender, crowd, messages))
            rewriters[count] = Rewriter(policy_of(stage, MANY, rules))
        _measure(points, effort, ledger)
    for _ in range(effort.rounds):
        for count, rewriter in rewriters.items():
            spent = rewriter.microseconds([f"SELECT id FROM s{count}.t1 WHERE id = 1"] * FIRST_SIGHTS)
            ledger.add_point("protected tables, first sight", OURS, count, spent)


def _plans(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    limits = {"limits": {"plan_cache_bytes": PLAN_BYTES}}
    with proxy(stage.server, stage.directory, "plans", RULES, limits) as running:
        contender = Contender(OURS, (running.port,), (running.process.pid,))
        known = 0
        with Crowd(running.port, PROTECTED, CLIENTS) as crowd:
            for count in _sizes(PLANS, effort):
                texts = [OTHER_TEXT.format(number=number) for number in range(count)]
                ask(running.port, texts[known:])
                known = count
                drawn = random.Random(count).choices(texts, k=min(count, 5000))  # noqa: S311
                point = Point("cached plans", count, contender, crowd, [query(text) for text in drawn])
                _measure([point], effort, ledger)


def _each_text(curve: str, texts: dict[int, str], stage: Stage, effort: Effort, ledger: Ledger) -> None:
    with ExitStack() as opened:
        points = []
        for contender in stage.named(PGBOUNCER, OURS):
            crowd = opened.enter_context(Crowd(contender.port, PROTECTED, CLIENTS))
            points += [Point(curve, size, contender, crowd, [query(text)]) for size, text in texts.items()]
        _measure(points, effort, ledger)


def _measure(points: Sequence[Point], effort: Effort, ledger: Ledger) -> None:
    for point in points:
        point.crowd.ask(point.messages, 0.1)
    for point in interleaved(effort.rounds, points):
        before = point.contender.seconds()
        answered = point.crowd.ask(point.messages, effort.seconds * effort.share)
        spent = (point.contender.seconds() - before) / answered * 1e6
        ledger.add_point(point.curve, point.contender.name, point.at, spent)


def _make_tables(dsn: str, count: int) -> None:
    make = (
        f"CREATE SCHEMA s{count}; "
        f"DO $$ BEGIN FOR n IN {{first}}..{{last}} LOOP "
        f"EXECUTE format('CREATE TABLE s{count}.t%s (id int, deleted_at timestamptz)', n); END LOOP; END $$"
    )
    execute(dsn, make.format(first=1, last=min(count, 1000)))
    for first in range(1001, count + 1, 1000):  # each in a transaction of its own: locks are counted
        execute(dsn, make.partition("; ")[2].format(first=first, last=min(count, first + 999)))


def _text(size: int) -> str:
    """Return a text of about so many bytes, by a list of numbers that grows."""
    if size <= len(SMALL_TABLE) + 20:
        return SMALL_TABLE
    start = f"{SMALL_TABLE} WHERE bid IN (1"
    return start + ", 1234567" * ((size - len(start)) // 9) + ")"


def _sizes(sizes: Iterable[int], effort: Effort) -> list[int]:
    """Return the sizes that the effort allows; at least two, so that there is a curve."""
    every = list(sizes)
    return every[: max(2, effort.size(len(every)))]
