"""Queries by key, many clients at once: CPU per query of the middle, and queries a second."""

from dataclasses import dataclass

from tests.bench.figures import Ledger
from tests.bench.names import DIRECT, MODES, OURS, PGBOUNCER, PGPOOL, PLAIN, PROTECTED
from tests.bench.pgbench import Load, Run, pgbench
from tests.bench.rounds import Effort, interleaved
from tests.bench.stage import Contender, Stage

CLIENTS = 8
WARM_UP = 200


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU microseconds a query in the middle, and queries a second."""

    microseconds: float
    rate: float


def measure_queries(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    """Ask each contender in each mode for rows of a protected and of an unprotected table."""
    compare(stage, effort, ledger, [DIRECT, PGBOUNCER, PGPOOL, OURS])


def measure_quickly(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    """The same for PgBouncer and the proxy alone."""
    compare(stage, effort, ledger, [PGBOUNCER, OURS])


def compare(stage: Stage, effort: Effort, ledger: Ledger, names: list[str]) -> None:
    """Note CPU and rate of these contenders, round by round."""
    found = stage.named(*names)
    loads = [
        Load(database, mode, CLIENTS, effort.seconds) for database in (PROTECTED, PLAIN) for mode in MODES
    ]
    for load in loads:
        for contender in found:
            pgbench(stage.server, contender.ports, Load(load.database, load.mode, CLIENTS, times=WARM_UP))
    tasks = [(load, contender) for load in loads for contender in found]
    for load, contender in interleaved(effort.rounds, tasks):
        cost = query_cost(stage, contender, load)
        stage.check(contender, load.database)
        if contender.pids:
            ledger.add(f"cpu.{load.mode}.{load.database}", contender.name, cost.microseconds)
        ledger.add(f"rate.{load.mode}.{load.database}", contender.name, cost.rate)


def query_cost(stage: Stage, contender: Contender, load: Load) -> Cost:
    """Return what a query costs the middle; what connecting costs is measured beside it and taken away."""
    few, connecting = _spent(stage, contender, load.once())
    many, spent = _spent(stage, contender, load)
    return Cost((spent - connecting) / (many.queries - few.queries) * 1e6, many.rate)


def _spent(stage: Stage, contender: Contender, load: Load) -> tuple[Run, float]:
    before = contender.seconds()
    run = pgbench(stage.server, contender.ports, load)
    return run, contender.seconds() - before
