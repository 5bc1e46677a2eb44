"""What the rewriter sends, beside the same query with the predicate written by hand, both sent directly.

One connection asks a block of the one and a block of the other, over and over; the CPU of its backend is read after
each block, so that both meet the same machine. Plans are compared node by node.
"""

import json
from dataclasses import dataclass
from statistics import median
from typing import Any

import psycopg
from psycopg import pq

from tests.bench.cpu import fine_seconds
from tests.bench.figures import Ledger
from tests.bench.names import BY_HAND, MODES, PROTECTED, REWRITTEN
from tests.bench.pgbench import Failed
from tests.bench.rewriting import Rewriter, policy_of
from tests.bench.rounds import Effort
from tests.bench.stage import RULES, Stage

BLOCKS = 6
"""Of each text in a round, for each second of the effort."""

ROUNDS = 2
"""For each of the effort: what two runs of one plan differ by is as much as what is asked for."""

NAMED = {BY_HAND: b"by_hand", REWRITTEN: b"rewritten"}
ACCOUNTS, BRANCHES, TELLERS = "pgbench_accounts AS a", "pgbench_branches AS b", "pgbench_tellers AS t"
JOINED = f"{ACCOUNTS} JOIN {BRANCHES} ON b.bid = a.bid JOIN {TELLERS} ON t.bid = b.bid"
LEFT = (
    f"{TELLERS} LEFT JOIN {BRANCHES} ON b.bid = t.bid{{b}} "
    f"LEFT JOIN {ACCOUNTS} ON a.bid = b.bid AND a.aid = t.tid{{a}}"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A statement with a parameter; in its braces stands what is written by hand, or what stands there without."""

    name: str
    text: str
    repeats: int = 150

    @property
    def plain(self) -> str:
        """Return the text as an application writes it."""
        return self.text.format(where="", a="", b="", on="USING (bid)")

    def by_hand(self, where: str) -> str:
        """Return the text with its predicates."""
        live = {name: f" AND {name}.deleted_at IS NULL" for name in "ab"}
        return self.text.format(where=where, on="ON t.bid = b.bid AND b.deleted_at IS NULL", **live)


BOTH = " AND a.deleted_at IS NULL AND b.deleted_at IS NULL"
ONE = " AND a.deleted_at IS NULL"
SHAPES = {
    Shape("single table", f"SELECT a.abalance FROM {ACCOUNTS} WHERE a.aid = $1{{where}}"): ONE,
    Shape(
        "comma list",
        f"SELECT a.abalance, b.bbalance, t.tbalance FROM {ACCOUNTS}, {BRANCHES}, {TELLERS} "
        "WHERE b.bid = a.bid AND t.bid = b.bid AND t.tid = 1 AND a.aid = $1{where}",
    ): BOTH,
    Shape(
        "inner joins",
        f"SELECT a.abalance, b.bbalance, t.tbalance FROM {JOINED} WHERE t.tid = 1 AND a.aid = $1{{where}}",
    ): BOTH,
    Shape("left joins", f"SELECT t.tbalance, b.bbalance, a.abalance FROM {LEFT} WHERE t.tid = $1"): "",
    Shape(
        "left join with USING",
        f"SELECT t.tbalance, b.bbalance FROM {TELLERS} LEFT JOIN {BRANCHES} {{on}} WHERE t.tid = $1",
    ): "",
    Shape("whole table", f"SELECT sum(a.abalance) FROM {ACCOUNTS} WHERE a.aid <> $1{{where}}", 1): ONE,
}
"""What is written by hand into each."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A shape's two texts."""

    shape: Shape
    texts: dict[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """One way to ask one text; its name says which prepared statement it is."""

    mode: str
    name: str
    text: str


Taken = dict[tuple[str, str], list[float]]
"""What the blocks of a round took, by row and text."""


def measure_predicates(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    """Compare plans, planning and the whole work of the server, in each mode."""
    rewriter = Rewriter(policy_of(stage, PROTECTED, RULES))
    pairs = [
        Pair(shape, {BY_HAND: shape.by_hand(where), REWRITTEN: rewriter.sent(shape.plain)})
        for shape, where in SHAPES.items()
    ]
    for pair in pairs:
        with psycopg.connect(stage.server.dsn(PROTECTED), autocommit=True) as connection:
            connection.execute("SET max_parallel_workers_per_gather = 0")
            _compare(connection, pair, effort, ledger)


def _compare(connection: "psycopg.Connection[Any]", pair: Pair, effort: Effort, ledger: Ledger) -> None:
    shape = pair.shape
    plans = [_ordered(_explained(connection, text)["Plan"]) for text in pair.texts.values()]
    ledger.add(f"same plan.{shape.name}", REWRITTEN, float(plans[0] == plans[1]))
    answers = {_ask(connection.pgconn, Asked("extended", *named)) for named in pair.texts.items()}
    if len(answers) != 1:
        raise Failed(f"{shape.name}: the rewritten text has another answer than the one written by hand")
    for name, text in pair.texts.items():
        connection.pgconn.prepare(NAMED[name], text.encode())
    for _ in range(ROUNDS * effort.rounds):
        taken: Taken = {}
        for number in range(effort.size(BLOCKS * effort.seconds)):
            _block(connection, pair, taken, turned=number % 2 == 1)
        for (row, name), values in taken.items():
            ledger.add(f"{row} {shape.name}", name, median(values))


def _block(connection: "psycopg.Connection[Any]", pair: Pair, taken: Taken, turned: bool) -> None:
    repeats = pair.shape.repeats
    texts = list(pair.texts.items())[:: -1 if turned else 1]
    for mode in MODES:
        for name, text in texts:
            asked = Asked(mode, name, text)
            taken.setdefault((f"server.{mode}", name), []).append(_spent(connection.pgconn, repeats, asked))
    times: dict[str, list[float]] = {}
    for _ in range(max(5, repeats // 10)):
        for name, text in texts:
            times.setdefault(name, []).append(_explained(connection, text)["Planning Time"] * 1000)
    for name, planning in times.items():
        taken.setdefault(("planning.explained", name), []).append(median(planning))


def _spent(connection: pq.abc.PGconn, repeats: int, asked: Asked) -> float:
    """Return the microseconds of CPU that one of these takes the backend."""
    before = fine_seconds(connection.backend_pid)
    for _ in range(repeats):
        _ask(connection, asked)
    return (fine_seconds(connection.backend_pid) - before) / repeats * 1e6


def _ask(connection: pq.abc.PGconn, asked: Asked) -> tuple[bytes | None, ...]:
    text = asked.text
    if asked.mode == "simple":
        result = connection.exec_(text.replace("$1", "1").encode())
    elif asked.mode == "extended":
        result = connection.exec_params(text.encode(), [b"1"])
    else:
        result = connection.exec_prepared(NAMED[asked.name], [b"1"])
    if result.status != pq.ExecStatus.TUPLES_OK:
        raise Failed(f"{text}: {result.error_message.decode()}")
    return tuple(result.get_value(0, column) for column in range(result.nfields))


def _explained(connection: "psycopg.Connection[Any]", text: str) -> Any:
    asked = f"EXPLAIN (SUMMARY, FORMAT JSON) {text.replace('$1', '1')}"
    value = connection.pgconn.exec_(asked.encode()).get_value(0, 0)
    assert value is not None
    return json.loads(value)[0]


def _ordered(plan: Any) -> Any:
    """Return a plan in which the order of what is joined by AND makes no difference."""
    match plan:
        case dict():
            return {key: _ordered(value) for key, value in plan.items()}
        case list():
            return [_ordered(part) for part in plan]
        case str():
            return " AND ".join(sorted(part.strip("()") for part in plan.split(" AND ")))
        case _:
            return plan
