"""Measure what the proxy costs beside direct connections, PgBouncer and Pgpool-II, and say which goals hold.

Rounds interleave the contenders, so that a slow minute of the machine meets all of them; ratios are taken within a
round, and their median counts. The exit status is not 0 only if something did not run or gave wrong answers.
"""

import argparse
import sys
import time
from collections.abc import Callable

from tests.bench.cascade import measure_cascade
from tests.bench.figures import Ledger
from tests.bench.goals import GOALS, judge
from tests.bench.latency import measure_latency
from tests.bench.pgbench import Failed
from tests.bench.predicates import measure_predicates
from tests.bench.queries import measure_queries, measure_quickly
from tests.bench.report import table, verdicts
from tests.bench.results import measure_copies, measure_results
from tests.bench.rewriting import measure_sight
from tests.bench.rounds import Effort
from tests.bench.sessions import measure_connects, measure_memory
from tests.bench.stage import Stage, stage
from tests.bench.texts import measure_texts
from tests.bench.workers import measure_workers

Work = Callable[[Stage, Effort, Ledger], None]
WORKS: dict[str, Work] = {
    "queries": measure_queries,
    "latency": measure_latency,
    "workers": measure_workers,
    "texts": measure_texts,
    "sight": measure_sight,
    "results": measure_results,
    "copies": measure_copies,
    "connects": measure_connects,
    "memory": measure_memory,
    "predicates": measure_predicates,
    "cascade": measure_cascade,
}
QUICK: dict[str, Work] = {"quick": measure_quickly}


def main() -> None:
    """Measure and print."""
    options = arguments()
    quick = options.quick
    effort = Effort(
        options.rounds or (4 if quick else 5), options.seconds or (1 if quick else 3), options.share
    )
    ledger = Ledger()
    with stage(options.version, options.scale) as ground:
        for name, work in (QUICK if quick else chosen(options.only)).items():
            started = time.perf_counter()
            try:
                work(ground, effort, ledger)
            except Failed as failure:
                sys.exit(f"{name}: {failure}")
            print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    print("\n".join(["", *table(ledger), ""]))
    print("\n".join(verdicts([judge(goal, ledger) for goal in GOALS])))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="CPU per query alone, in short rounds")
    parser.add_argument("--version", type=int, default=15, help="of PostgreSQL (15)")
    parser.add_argument("--rounds", type=int, help="of each contender (5; 4 if quick)")
    parser.add_argument("--seconds", type=int, help="of each run (3; 1 if quick)")
    parser.add_argument("--scale", type=int, default=5, help="of pgbench's tables, 100000 rows each (5)")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the usual sizes of results and crowds (1)"
    )
    parser.add_argument("--only", default="", help=f"some of {','.join(WORKS)}")
    return parser.parse_args()


def chosen(names: str) -> dict[str, Work]:
    """Return the works of these names, all if none is named."""
    return {name: WORKS[name] for name in names.split(",")} if names else WORKS


if __name__ == "__main__":
    main()
