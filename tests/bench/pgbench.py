"""Runs of pgbench: what is asked for, what it prints. Must not know who stands in the middle."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.servers import LocalServer


class Failed(Exception):
    """A measurement did not run, or its answers were wrong; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked: pgbench's own lookup by key, or a script; for so many seconds, or so many times a client."""

    database: str
    mode: str = "prepared"
    clients: int = 8
    seconds: int = 0
    times: int = 1
    script: Path | None = None
    options: tuple[str, ...] = ()

    def once(self) -> "Load":
        """Return the same with one query a client: what connecting and preparing cost, and little else."""
        return replace(self, seconds=0, times=1)

    def with_options(self, *options: str) -> "Load":
        """Return the same with more options of pgbench's own."""
        return replace(self, options=(*self.options, *options))

    def arguments(self) -> list[str]:
        """Return pgbench's options."""
        length = ["-T", str(self.seconds)] if self.seconds else ["-t", str(self.times)]
        what = ["-S"] if self.script is None else ["-f", str(self.script)]
        return [*what, "-n", "-M", self.mode, "-c", str(self.clients), *length, *self.options]


@dataclass(frozen=True, slots=True)
class Run:
    """What came out: queries answered, and how many a second once all were connected."""

    queries: int
    rate: float


def pgbench(server: LocalServer, ports: Sequence[int], load: Load) -> Run:
    """Run it, with the clients divided among the ports; Failed if it fails or a query does."""
    share = replace(load, clients=load.clients // len(ports))
    started = [start_pgbench(server, port, share.arguments(), load.database) for port in ports]
    runs = [_run(finish_pgbench(process)) for process in started]
    return Run(sum(run.queries for run in runs), sum(run.rate for run in runs))


def start_pgbench(
    server: LocalServer, port: int, arguments: Sequence[str], database: str
) -> "subprocess.Popen[str]":
    """Start it against a port."""
    assert server.bin is not None
    command = [str(server.bin / "pgbench"), "-h", server.host, "-p", str(port), "-U", server.user]
    return subprocess.Popen(
        [*command, *arguments, database], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish_pgbench(process: "subprocess.Popen[str]") -> str:
    """Wait for it and return what it prints; Failed with it if it fails."""
    output, errors = process.communicate()
    if process.returncode:
        raise Failed(f"pgbench failed:\n{errors}{output}")
    return output


def _run(output: str) -> Run:
    if _figure(r"number of failed transactions: (\d+)", output):
        raise Failed(f"queries failed:\n{output}")
    queries = int(_figure(r"number of transactions actually processed: (\d+)", output))
    return Run(queries, _figure(r"tps = ([\d.]+)", output))


def _figure(pattern: str, output: str) -> float:
    found = re.search(pattern, output)
    if found is None:
        raise Failed(f"pgbench did not print what was expected:\n{output}")
    return float(found[1])
