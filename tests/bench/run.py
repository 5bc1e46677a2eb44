"""Measure what the proxy costs beside direct connections, PgBouncer and Pgpool-II, and say which goals hold.

Rounds interleave the contenders, so that a slow minute of the machine meets all of them; ratios are taken within a
round, and their median counts. The exit status is not 0 only if something did not run or gave wrong answers.
"""

import argparse
import sys
import time

from tests.bench.figures import Ledger
from tests.bench.goals import GOALS, judge
from tests.bench.pgbench import Failed
from tests.bench.queries import Effort, measure_queries, measure_quickly
from tests.bench.report import table, verdicts
from tests.bench.stage import stage

WORKS = {"queries": measure_queries}
QUICK = {"quick": measure_quickly}


def main() -> None:
    """Measure and print."""
    options = arguments()
    quick = options.quick
    effort = Effort(options.rounds or (4 if quick else 5), options.seconds or (1 if quick else 3))
    ledger = Ledger()
    with stage(options.version, options.scale) as ground:
        for name, work in (QUICK if quick else WORKS).items():
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
    return parser.parse_args()


if __name__ == "__main__":
    main()
