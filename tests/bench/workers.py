"""Two workers of the proxy beside one PgBouncer: what a second core is worth.

Clients of both workers come to one port, where the kernel deals them out: of eight seldom four to each.
On a machine whose cores the clients and the server fill as well, PgBouncer is not what holds the rate back; then
its own capacity says more: the queries that its one core could answer, by its CPU per query.
"""

import time

from tests.bench.figures import Ledger
from tests.bench.names import OURS, OURS_TWICE, PGBOUNCER, PROTECTED
from tests.bench.pgbench import Load, pgbench
from tests.bench.queries import CLIENTS
from tests.bench.rounds import Effort, interleaved
from tests.bench.stage import Contender, Stage

WORKERS = {PGBOUNCER: 1, OURS_TWICE: 2}


def measure_workers(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    """Note rate, capacity and how busy the middle was, asked by two pgbench at once."""
    found = stage.named(*WORKERS)
    for contender in interleaved(effort.rounds, found):
        _measure(stage, contender, Load(PROTECTED, "prepared", CLIENTS, effort.seconds), ledger)
        stage.check(contender, PROTECTED)


def _measure(stage: Stage, contender: Contender, load: Load, ledger: Ledger) -> None:
    workers = WORKERS[contender.name]
    name = OURS if contender.name == OURS_TWICE else contender.name
    before, started = contender.seconds(), time.perf_counter()
    run = pgbench(stage.server, (contender.ports * 2)[:2], load)
    spent = contender.seconds() - before
    ledger.add("rate.two workers", name, run.rate)
    ledger.add("capacity.two workers", name, workers * run.queries / spent)
    ledger.add("busy.two workers", name, spent / workers / (time.perf_counter() - started) * 100)
