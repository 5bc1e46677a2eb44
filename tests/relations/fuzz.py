"""`make fuzz-relations`: random schemas and sequences beside the twin, for as long as one likes.

Each schema with its sequences follows from its seed alone: `make fuzz-relations SEED=7 SECONDS=0 VERSIONS=18` runs the
schema of seed 7 again.
"""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fix_proxy import RunningProxy, config_text
from tests.fix_servers import make_server
from tests.relations.outcomes import Disagreement, Tally
from tests.relations.twins import CONFIG, REQUIRE, SEQUENCES, run_schema
from tests.servers import Server

PROGRESS = 10
"""Schemas of one worker after which it says how far it is."""


@dataclass(frozen=True, slots=True)
class Job:
    """The seeds of one worker: from `first` on by `step`, until `ends` (of time.time), but at least `fewest`."""

    first: int
    step: int
    ends: float
    fewest: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How much agreed, and what did not."""

    schemas: int
    tally: Tally
    trouble: str | None = None


def work(server: Server, job: Job) -> Outcome:
    """Run one worker's share, behind a proxy of its own; the servers and the proxy do most of the work."""
    schemas, tally, seed = 0, Tally(), job.first
    with tempfile.TemporaryDirectory(prefix="pgsoftproxy-relations-") as directory:
        config = Path(directory) / "proxy.toml"
        config.write_text(config_text(server, "postgres", CONFIG, REQUIRE))
        proxy = RunningProxy(config, server, "postgres")
        try:
            while schemas < job.fewest or time.time() < job.ends:
                tally.add(run_schema(server, proxy, seed))
                schemas += 1
                if schemas % PROGRESS == 0:
                    so_far = f"{schemas * SEQUENCES} sequences agree from seed {job.first} on"
                    print(f"PostgreSQL {server.version}: {so_far}", flush=True)
                seed += job.step
        except Disagreement as found:
            return Outcome(schemas, tally, str(found))
        finally:
            status = proxy.stop()
        return Outcome(schemas, tally, f"the proxy ended with {status}" if status else None)


def main() -> int:
    """Run what the arguments say; return the exit status: 1 if anything disagreed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, for each version")
    parser.add_argument("--sequences", type=int, default=1, help="at least so many, for each version")
    parser.add_argument("--seed", type=int, default=1, help="that of the first schema")
    parser.add_argument("--versions", default=os.environ.get("PGSOFTPROXY_TEST_VERSIONS", "15,18"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    bad = False
    for version in [int(part) for part in chosen.versions.split(",")]:
        server = make_server(version)
        count = chosen.workers if chosen.seconds or chosen.sequences > 1 else 1
        fewest = -(-chosen.sequences // (SEQUENCES * count))
        ends = time.time() + chosen.seconds
        jobs = [Job(chosen.seed + number, count, ends, fewest) for number in range(count)]
        try:
            with ThreadPoolExecutor(count) as pool:
                outcomes = list(pool.map(work, [server] * count, jobs))
        finally:
            server.destroy()
        schemas, tally = sum(outcome.schemas for outcome in outcomes), Tally()
        for outcome in outcomes:
            tally.add(outcome.tally)
        print(
            f"PostgreSQL {version}, seed {chosen.seed}: {schemas} schemas with {schemas * SEQUENCES} sequences of "
            f"{tally.statements} statements agreed; {tally.refused} were refused by a key, "
            f"of which {tally.otherwise} named another of several; "
            f"{tally.abandoned} sequences ended with a deleted row that has to keep its key",
            flush=True,
        )
        for outcome in outcomes:
            if outcome.trouble is not None:
                bad = True
                print(outcome.trouble, flush=True)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
