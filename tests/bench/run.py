"""Measure what the proxy costs beside direct connections, PgBouncer and Pgpool-II, and say which goals hold.

Rounds interleave the contenders, so that a slow minute of the machine meets all of them; ratios are taken within a
round, and their median counts. The exit status is not 0 only if something did not run or gave wrong answers.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.cascade import measure_cascade
from tests.bench.curves import measure_curves
from tests.bench.document import Outcome, about, write_documents
from tests.bench.figures import Ledger
from tests.bench.goals import GOALS, Judged, judge
from tests.bench.latency import measure_latency
from tests.bench.pgbench import Failed
from tests.bench.predicates import measure_predicates
from tests.bench.queries import measure_queries, measure_quickly
from tests.bench.report import count, curves, plain, sections
from tests.bench.results import measure_copies, measure_results
from tests.bench.rewriting import measure_sight
from tests.bench.rounds import Effort
from tests.bench.sessions import measure_connects, measure_memory
from tests.bench.stage import Stage, stage
from tests.bench.texts import measure_texts
from tests.bench.workers import measure_workers

Work = Callable[[Stage, Effort, Ledger], None]

QUICK: dict[str, Work] = {"quick": measure_quickly}
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
CURVES: dict[str, Work] = {"curves": measure_curves}
EXTRAS = ("parents",)
"""Modules beside this one that print a comparison of their own."""

DOCS = Path(__file__).parent.parent.parent / "docs"


def main() -> None:
    """Measure, print, and write the documents of a whole run."""
    options = arguments()
    works = chosen(options)
    load, started = os.getloadavg()[0], time.perf_counter()
    effort = Effort(
        options.rounds or (4 if options.quick else 5),
        options.seconds or (1 if options.quick else 2),
        options.share,
    )
    ledger = Ledger()
    with stage(options.version, options.scale) as ground:
        for name, work in works.items():
            measure(name, work, ground, effort, ledger)
    judged = [judge(goal, ledger) for goal in GOALS]
    outputs = {name: printed(name) for name in EXTRAS if options.extras}
    show(ledger, judged)
    if options.docs:
        told = about(options.version, load, time.perf_counter() - started)
        write_documents(options.docs, Outcome(ledger, judged, told, outputs))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="CPU per query alone, in short rounds")
    parser.add_argument("--curves", action="store_true", help="how the cost grows, too")
    parser.add_argument("--extras", action="store_true", help=f"{' and '.join(EXTRAS)}, too")
    parser.add_argument("--only", default="", help=f"some of {','.join((*WORKS, *CURVES))}")
    parser.add_argument("--version", type=int, default=15, help="of PostgreSQL (15)")
    parser.add_argument("--rounds", type=int, help="of each contender (5; 4 if quick)")
    parser.add_argument("--seconds", type=int, help="of each run (2; 1 if quick)")
    parser.add_argument("--scale", type=int, default=5, help="of pgbench's tables, 100000 rows each (5)")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the usual sizes of results and crowds (1)"
    )
    parser.add_argument("--docs", type=Path, help=f"folder for the report, such as {DOCS.name}")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> dict[str, Work]:
    """Return the works that were asked for."""
    if options.quick:
        return QUICK
    if options.only:
        return {name: (WORKS | CURVES)[name] for name in options.only.split(",")}
    return WORKS | CURVES if options.curves else WORKS


def measure(name: str, work: Work, ground: Stage, effort: Effort, ledger: Ledger) -> None:
    """Do one work; end with its failure if it fails."""
    started = time.perf_counter()
    try:
        work(ground, effort, ledger)
    except Failed as failure:
        sys.exit(f"{name}: {failure}")
    print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)


def printed(name: str) -> str:
    """Run a module and return what it prints; end with its error if it fails."""
    done = subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stdout}{done.stderr}")
    print(done.stdout)
    return done.stdout


def show(ledger: Ledger, judged: list[Judged]) -> None:
    """Print every table, and how many goals hold."""
    print("\n".join(plain([*sections(ledger, judged), *curves(ledger)])))
    print(f"\n{count(judged)}")


if __name__ == "__main__":
    main()
