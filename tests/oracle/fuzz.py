"""`make fuzz`: random statements through a running proxy and directly on a twin, for as long as one likes.

Owns processes, servers and what is printed. Each unit follows from the seed, its number and the server's version
alone, so that any of them can be run again: `make fuzz SEED=7 NUMBER=1234 VERSIONS=18`.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import TypeAlias

from tests.fix_proxy import RunningProxy, config_text
from tests.fix_servers import make_server
from tests.oracle.client import Address, Client, parsed
from tests.oracle.databases import CONFIG, OWNER, Databases
from tests.oracle.duel import Duel, Outcome, Side, Verdict
from tests.oracle.grammar.constructs import known_to
from tests.oracle.grammar.units import unit
from tests.servers import Server

BATCH = 16
UNITS_BETWEEN_VACUUMS = 1600
SECONDS_BETWEEN_REPORTS = 30.0
MOST_FINDINGS = 10
"""So many are printed for each version; the rest is counted."""
ENOUGH_FOR_EVERY_CONSTRUCT = 20_000
CONTEXT = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Job:
    """What one worker does: the units whose number is its own modulo the count of workers."""

    seed: int
    worker: int
    workers: int
    ends: float
    numbers: tuple[int, ...] = ()


@dataclass(slots=True)
class Tally:
    """What a run, or a part of it, came to."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    constructs: Counter[str] = field(default_factory=Counter)
    agreed: Counter[str] = field(default_factory=Counter)
    findings: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Count one unit."""
        self.outcomes[verdict.outcome] += 1
        self.constructs.update(verdict.unit.constructs)
        if verdict.outcome is Outcome.AGREED:
            self.agreed.update(verdict.unit.constructs)
        elif verdict.outcome is Outcome.REFUSED:
            self.reasons[verdict.reason] += 1
        elif verdict.outcome is Outcome.ERRED:
            self.errors[verdict.reason] += 1
        elif verdict.outcome.fails:
            self.findings.append(verdict)

    def merge(self, other: "Tally") -> None:
        """Add what another came to."""
        for name in ("outcomes", "reasons", "errors", "constructs", "agreed"):
            getattr(self, name).update(getattr(other, name))
        self.findings += other.findings

    @property
    def total(self) -> int:
        """Return how many units were run."""
        return sum(self.outcomes.values())

    def missing(self, version: int) -> list[str]:
        """Return the constructs of a version that no unit had."""
        return [name for name in known_to(version) if not self.constructs[name]]

    def failed(self, version: int) -> bool:
        """Tell whether the run is to end with an error."""
        starved = self.total >= ENOUGH_FOR_EVERY_CONSTRUCT and self.missing(version)
        return bool(self.findings or starved or any(outcome.fails for outcome in self.outcomes))


Reports: TypeAlias = "Queue[tuple[Tally, str]]"


@contextmanager
def duel(server: Server, databases: Databases, number: int) -> Iterator[tuple[Duel, RunningProxy]]:
    """Give two sessions on a pair of databases of their own, one of them through a proxy of its own."""
    full, twin = databases.copies(number)
    with tempfile.TemporaryDirectory(prefix="pgsoftproxy-fuzz-") as directory:
        config = Path(directory) / "proxy.toml"
        config.write_text(config_text(server, full, CONFIG))
        proxy = RunningProxy(config, server, full)
        made = Duel(
            Side(lambda: Client(Address(proxy.host, proxy.port, OWNER, full)), full),
            Side(lambda: Client(databases.address(twin)), twin),
        )
        try:
            yield made, proxy
        finally:
            made.close()
            proxy.stop()


def work(server: Server, databases: Databases, job: Job, reports: Reports) -> None:
    """Run a worker's units until its time is over; report what they came to, and how the proxy fared."""
    numbers = iter(job.numbers or range(job.worker, sys.maxsize, job.workers))
    with duel(server, databases, job.worker) as (fight, proxy):
        done, tally, told = 0, Tally(), time.monotonic()
        while batch := [
            unit(job.seed, n, server.version) for n, _ in zip(numbers, range(BATCH), strict=False)
        ]:
            for verdict in fight.fight(batch):
                tally.add(verdict)
                if job.numbers and not verdict.outcome.fails:
                    print(described(verdict, server.version), flush=True)
            done += len(batch)
            if proxy.process.poll() is not None:
                reports.put((tally, f"the proxy died:\n{proxy.output()[-3000:]}"))
                return
            if time.monotonic() - told > 1.0 or len(tally.findings) >= MOST_FINDINGS:
                reports.put((tally, ""))
                tally, told = Tally(), time.monotonic()
            if done % UNITS_BETWEEN_VACUUMS == 0:
                databases.vacuum((f"fuzz{job.worker:02}_full", f"fuzz{job.worker:02}_twin"))
            if time.time() > job.ends and not job.numbers:
                break
        reports.put((tally, "end" + _trouble(proxy)))


def run(server: Server, jobs: list[Job]) -> tuple[Tally, list[str]]:
    """Run all workers on one server; return what they came to and what befell the proxies."""
    databases = Databases(server.host, server.port, server.user)
    databases.create()
    reports: Reports = CONTEXT.Queue()
    workers = [CONTEXT.Process(target=work, args=(server, databases, job, reports)) for job in jobs]
    for worker in workers:
        worker.start()
    total, troubles, ended, told = Tally(), list[str](), 0, time.monotonic()
    while ended < len(workers):
        try:
            tally, word = reports.get(timeout=5)
        except Empty:
            if not any(worker.is_alive() for worker in workers):
                troubles.append("a worker ended without a report")
                break
            continue
        total.merge(tally)
        ended += word != ""
        troubles += [word.removeprefix("end")] if word not in ("", "end") else []
        for verdict in tally.findings[: max(0, MOST_FINDINGS - len(total.findings) + len(tally.findings))]:
            print(described(verdict, server.version), flush=True)
        if time.monotonic() - told > SECONDS_BETWEEN_REPORTS:
            told = time.monotonic()
            print(f"... {counted(total)}", flush=True)
    for worker in workers:
        worker.join()
    return total, troubles


def described(verdict: Verdict, version: int) -> str:
    """Return all that is needed to understand a finding and to have it again."""
    made = verdict.unit
    lines = [f"--- {verdict.outcome.value}: {verdict.reason}", made.statement]
    lines += [f"  step {step}" for step in made.steps if step != ("query", made.statement)]
    for name, raw in (("through the proxy", verdict.proxied), ("directly", verdict.direct)):
        results = [result.error or (result.tag, result.rows[:20]) for result in parsed(raw).results]
        lines.append(f"{name}: {results}")
    lines.append(f"again: make fuzz SEED={made.seed} NUMBER={made.number} VERSIONS={version}")
    return "\n".join(lines)


def counted(tally: Tally) -> str:
    """Return the counts of outcomes in one line."""
    total = max(1, tally.total)
    shares = (
        f"{count} {outcome.value} ({100 * count / total:.2f} %)"
        for outcome, count in sorted(tally.outcomes.items(), key=lambda pair: pair[0].name)
    )
    return f"{tally.total} statements: {', '.join(shares)}"


def summary(tally: Tally, version: int, troubles: list[str]) -> str:
    """Return what is printed at the end of a version's run."""
    lines = [f"constructs on PostgreSQL {version}: statements that have it, and how many of them agreed"]
    for name in known_to(version):
        lines.append(f"  {tally.constructs[name]:8} {tally.agreed[name]:8}  {name}")
    lines += [f"refused {count:6}  {reason}" for reason, count in tally.reasons.most_common()]
    lines += [f"erred   {count:6}  {state}" for state, count in tally.errors.most_common()]
    if tally.total >= ENOUGH_FOR_EVERY_CONSTRUCT:
        lines += [f"construct that no statement had: {name}" for name in tally.missing(version)]
    lines += [f"proxy: {trouble}" for trouble in troubles]
    return "\n".join([*lines, f"PostgreSQL {version}: {counted(tally)}"])


def main() -> int:
    """Run what the arguments say; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, for each version")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--number", type=int, action="append", default=[], help="run these units only")
    parser.add_argument("--versions", default=os.environ.get("PGSOFTPROXY_TEST_VERSIONS", "15,18"))
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes, each with a proxy"
    )
    chosen = parser.parse_args()
    bad = False
    for version in [int(part) for part in chosen.versions.split(",")]:
        server = make_server(version)
        try:
            workers = 1 if chosen.number else chosen.workers
            ends = time.time() + chosen.seconds
            numbers = tuple(chosen.number)
            jobs = [Job(chosen.seed, worker, workers, ends, numbers) for worker in range(workers)]
            print(f"PostgreSQL {version}, seed {chosen.seed}, {workers} workers", flush=True)
            tally, troubles = run(server, jobs)
        finally:
            server.destroy()
        print(summary(tally, version, troubles), flush=True)
        bad = bad or tally.failed(version) or bool(troubles)
    return int(bad)


def _trouble(proxy: RunningProxy) -> str:
    """Return what the proxy logged that must never be: a bug of its own that ended a session."""
    lines = [line for line in proxy.output().split("\n") if "Traceback" in line or '"level": "error"' in line]
    return "\n".join(lines[:5])


if __name__ == "__main__":
    sys.exit(main())
