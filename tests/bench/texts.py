"""Texts that differ in literals alone, as drivers without parameters send them: what a new one costs beyond a known."""

from dataclasses import dataclass

from tests.bench.figures import Ledger
from tests.bench.names import OURS, PGBOUNCER, PROTECTED
from tests.bench.pgbench import Load, pgbench
from tests.bench.queries import CLIENTS, query_cost
from tests.bench.rounds import Effort, interleaved
from tests.bench.stage import Contender, Stage

SELECT = "SELECT abalance FROM pgbench_accounts WHERE aid = {key} AND abalance > -{number};"
JOIN = (
    "SELECT b.bbalance, count(*), sum(a.abalance) FROM pgbench_accounts AS a "
    "JOIN pgbench_branches AS b ON b.bid = a.bid "
    "WHERE a.aid BETWEEN {key} AND {key} + 10 AND b.bbalance > -{number} GROUP BY b.bbalance;"
)
DRAWN = "\\set key random(1, {accounts})\n\\set number random(1000000, 2000000000)\n"
SAME = {"key": "4711", "number": "1000001"}
NEW = {"key": ":key", "number": ":number"}


@dataclass(frozen=True, slots=True)
class Shape:
    """A statement, once with literals that are always the same, once with new ones."""

    name: str
    known: Load
    unique: Load


def measure_texts(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    """Note the CPU per query of known and of new texts, and how much more the new ones take."""
    shapes = [_shape(stage, name, text, effort) for name, text in (("select", SELECT), ("join", JOIN))]
    tasks = [(shape, contender) for shape in shapes for contender in stage.named(PGBOUNCER, OURS)]
    for shape, contender in tasks:
        pgbench(stage.server, contender.ports, shape.unique.once())
    for shape, contender in interleaved(effort.rounds, tasks):
        _measure(stage, shape, contender, ledger)


def _measure(stage: Stage, shape: Shape, contender: Contender, ledger: Ledger) -> None:
    known = query_cost(stage, contender, shape.known).microseconds
    unique = query_cost(stage, contender, shape.unique).microseconds
    stage.check(contender, PROTECTED)
    ledger.add(f"cpu.known {shape.name}", contender.name, known)
    ledger.add(f"cpu.unique {shape.name}", contender.name, unique)
    ledger.add(f"extra.unique {shape.name}", contender.name, unique - known)


def _shape(stage: Stage, name: str, text: str, effort: Effort) -> Shape:
    loads = []
    for kind, literals in (("known", SAME), ("unique", NEW)):
        path = stage.directory / f"{kind}-{name}.sql"
        # Both draw numbers, so that pgbench itself does the same.
        path.write_text(DRAWN.format(accounts=stage.accounts) + text.format(**literals) + "\n")
        loads.append(Load(PROTECTED, "simple", CLIENTS, effort.seconds, script=path))
    return Shape(name, *loads)
