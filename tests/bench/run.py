"""What a query costs: `pgbench -S` directly, through PgBouncer and through the proxy, all in one run.

The figure is CPU time per query of the process in the middle, from /proc; the rate says less on a machine whose
cores the client, the middle and the server share. Rounds interleave the candidates, so that a slow minute of the
machine meets all of them, and the median of the rounds is shown. Run it with `make bench`.
"""

import argparse
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.cpu import family_seconds, own_seconds
from tests.bench.pgbouncer import PgBouncer, installed
from tests.fix_proxy import RunningProxy, config_text
from tests.servers import LocalServer, execute, local_server

MODES = ("simple", "extended", "prepared")
PLAIN, PROTECTED = "plain", "protected"
RULES = f'[databases.{PROTECTED}.tables."public.pgbench_accounts"]\n'


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to the server; `pid` is the process in the middle, None where there is none."""

    name: str
    port: int
    dbname: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of pgbench: CPU microseconds per query of the middle and of the server, queries per second."""

    middle: float
    server: float
    rate: float


@dataclass(frozen=True, slots=True)
class Load:
    """How much is asked of each candidate in each round."""

    seconds: int
    clients: int
    rounds: int


def main() -> None:
    """Measure and print a table for each of pgbench's modes."""
    options = arguments()
    load = Load(options.seconds, options.clients, options.rounds)
    with prepared_server(options.scale) as server, candidates(server) as found:
        samples = measure(server, found, load)
    for mode in MODES:
        print_table(mode, {candidate.name: samples[candidate.name, mode] for candidate in found})


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3, help="of each run (3)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each candidate and mode (3)")
    parser.add_argument("--clients", type=int, default=4, help="connections (4)")
    parser.add_argument("--scale", type=int, default=5, help="of pgbench's tables, 100000 rows each (5)")
    return parser.parse_args()


@contextmanager
def prepared_server(scale: int) -> Iterator[LocalServer]:
    """Run PostgreSQL 18 with two databases of pgbench's tables, in one of them ready to be protected."""
    server = local_server(18)
    try:
        for name in (PLAIN, PROTECTED):
            execute(server.dsn(), f"CREATE DATABASE {name}")
            pgbench(server, server.port, name, "-i", "-q", "-s", str(scale))
        execute(server.dsn(PROTECTED), "ALTER TABLE pgbench_accounts ADD deleted_at timestamptz")
        execute(server.dsn(PROTECTED), "VACUUM ANALYZE pgbench_accounts")
        yield server
    finally:
        server.destroy()


@contextmanager
def candidates(server: LocalServer) -> Iterator[list[Candidate]]:
    """Start what stands in the middle and return every way to the server."""
    with ExitStack() as running, tempfile.TemporaryDirectory() as directory:
        found = [Candidate("direct", server.port, PLAIN, None)]
        program = installed()
        if program is None:
            print("PgBouncer is not installed: there is nothing to compare the proxy with.")
        else:
            bouncer = PgBouncer(program, server)
            running.callback(bouncer.stop)
            found.append(Candidate("PgBouncer", bouncer.port, PLAIN, bouncer.process.pid))
        config = Path(directory) / "bench.toml"
        config.write_text(config_text(server, PLAIN, RULES))
        proxy = RunningProxy(config, server, PLAIN)
        running.callback(proxy.stop)
        found.append(Candidate("proxy, not protected", proxy.port, PLAIN, proxy.process.pid))
        found.append(Candidate("proxy, protected", proxy.port, PROTECTED, proxy.process.pid))
        yield found


def measure(server: LocalServer, found: list[Candidate], load: Load) -> dict[tuple[str, str], list[Sample]]:
    """Run every candidate in every mode, round by round."""
    samples: dict[tuple[str, str], list[Sample]] = {}
    for number in range(load.rounds):
        for mode in MODES:
            print(f"round {number + 1} of {load.rounds}: {mode}", flush=True)
            for candidate in found:
                samples.setdefault((candidate.name, mode), []).append(sample(server, candidate, mode, load))
    return samples


def sample(server: LocalServer, candidate: Candidate, mode: str, load: Load) -> Sample:
    """Run pgbench once and divide the CPU time it caused by its queries."""
    pid = candidate.pid
    readings: list[Callable[[], float]] = [
        lambda: own_seconds(pid) if pid is not None else 0.0,
        lambda: family_seconds(server.pid),
    ]
    before = [read() for read in readings]
    output = pgbench(
        server, candidate.port, candidate.dbname,
        "-S", "-n", "-M", mode, "-c", str(load.clients), "-T", str(load.seconds),
    )  # fmt: skip
    middle, behind = (read() - earlier for read, earlier in zip(readings, before, strict=True))
    queries = int(figure(r"number of transactions actually processed: (\d+)", output))
    failed = int(figure(r"number of failed transactions: (\d+)", output))
    if failed:
        raise SystemExit(f"{failed} queries failed through {candidate.name}:\n{output}")
    rate = figure(r"tps = ([\d.]+)", output)
    return Sample(middle / queries * 1e6, behind / queries * 1e6, rate)


def pgbench(server: LocalServer, port: int, dbname: str, *options: str) -> str:
    """Run pgbench and return what it prints; SystemExit with it if it fails."""
    assert server.bin is not None
    command = [str(server.bin / "pgbench"), "-h", server.host, "-p", str(port), "-U", server.user]
    done = subprocess.run([*command, *options, dbname], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pgbench failed:\n{done.stderr}{done.stdout}")
    return done.stdout


def figure(pattern: str, output: str) -> float:
    """Return the number that pgbench prints after some words."""
    found = re.search(pattern, output)
    if found is None:
        raise SystemExit(f"pgbench did not print what was expected:\n{output}")
    return float(found[1])


def print_table(mode: str, samples: dict[str, list[Sample]]) -> None:
    """Print one mode's medians, and each middle's ratio to PgBouncer."""
    print(f"\npgbench -S -M {mode}: CPU microseconds per query, median of {len(samples['direct'])} rounds")
    print(f"{'':22}{'middle':>10}{'server':>10}{'queries/s':>12}{'of PgBouncer':>14}")
    bouncer = median(sample.middle for sample in samples["PgBouncer"]) if "PgBouncer" in samples else 0.0
    for name, taken in samples.items():
        middle = median(sample.middle for sample in taken)
        ratio = f"{middle / bouncer:.2f}" if bouncer and middle else "-"
        server = median(sample.server for sample in taken)
        rate = median(sample.rate for sample in taken)
        print(f"{name:22}{middle:10.1f}{server:10.1f}{rate:12.0f}{ratio:>14}")


if __name__ == "__main__":
    main()
