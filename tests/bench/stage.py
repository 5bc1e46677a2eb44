"""The stage: a PostgreSQL with its data, and every way to it that is compared.

Two databases hold the same tables: in PROTECTED the proxy protects the tables that are asked for, in PLAIN only
one that is not. One row of pgbench_accounts in a thousand is deleted in both.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.cpu import living_seconds
from tests.bench.names import DIRECT, OURS, OURS_TWICE, PGBOUNCER, PGPOOL, PLAIN, PROTECTED
from tests.bench.pgbench import Failed, finish_pgbench, start_pgbench
from tests.bench.pgbouncer import start_pgbouncer
from tests.bench.pgpool import start_pgpool
from tests.fix_proxy import RunningProxy, config_text
from tests.servers import LocalServer, execute, local_server

DELETED_OF = 1000
"""One row of so many is deleted."""

ROWS_OF_SCALE = 100_000
CONNECTIONS = 2400
POOL = 32
"""Clients that Pgpool-II takes, each in a process of its own: its default."""

RULES = f"""
[databases.{PLAIN}.tables."public.pgbench_tellers"]
[databases.{PROTECTED}.tables."public.pgbench_accounts"]
[databases.{PROTECTED}.tables."public.pgbench_branches"]
[databases.{PROTECTED}.tables."public.narrow"]
[databases.{PROTECTED}.tables."public.copied"]
"""
TABLES = f"""
ALTER TABLE pgbench_accounts ADD deleted_at timestamptz;
ALTER TABLE pgbench_branches ADD deleted_at timestamptz;
ALTER TABLE pgbench_tellers ADD deleted_at timestamptz;
UPDATE pgbench_accounts SET deleted_at = now() WHERE aid % {DELETED_OF} = 0;
CREATE TABLE narrow (id int, deleted_at timestamptz);
CREATE TABLE copied (id int, note text, deleted_at timestamptz);
"""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to the server: a port or several, and the processes in the middle, none where there is none."""

    name: str
    ports: tuple[int, ...]
    pids: tuple[int, ...] = ()

    @property
    def port(self) -> int:
        """Return its first port."""
        return self.ports[0]

    def dsn(self, database: str) -> str:
        """Return a connection string of this way."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def seconds(self) -> float:
        """Return the CPU time that the processes in the middle have used so far."""
        return sum(living_seconds(pid) for pid in self.pids)


@dataclass(frozen=True, slots=True)
class Stage:
    """The server, the ways to it, how many accounts there are, and a folder for files."""

    server: LocalServer
    contenders: tuple[Contender, ...]
    accounts: int
    directory: Path

    def named(self, *names: str) -> list[Contender]:
        """Return those of these names that this machine has."""
        return [contender for contender in self.contenders if contender.name in names]

    def check(self, contender: Contender, database: str) -> None:
        """See that answers are right: every live row is there, and a deleted one for those who do not hide it."""
        hides = contender.name.startswith(OURS) and database == PROTECTED
        seen = self.accounts - (self.accounts // DELETED_OF if hides else 0)
        texts = {
            "SELECT count(*) FROM pgbench_accounts": [(seen,)],
            "SELECT aid FROM pgbench_accounts WHERE aid = 1": [(1,)],
            f"SELECT aid FROM pgbench_accounts WHERE aid = {DELETED_OF}": [] if hides else [(DELETED_OF,)],
        }
        for text, wanted in texts.items():
            answer = execute(contender.dsn(database), text)
            if answer != wanted:
                raise Failed(f"{contender.name}, database {database}: {text} gives {answer}, not {wanted}")


@contextmanager
def stage(version: int, scale: int) -> Iterator[Stage]:
    """Start everything that this machine has, and stop it at the end."""
    with ExitStack() as running, tempfile.TemporaryDirectory(prefix="pgsoftproxy-bench-") as folder:
        server = local_server(version, {"max_connections": str(CONNECTIONS), "autovacuum": "off"})
        running.callback(server.destroy)
        _fill(server, scale)
        found = [Contender(DIRECT, (server.port,))]
        for name, start, clients in (
            (PGBOUNCER, start_pgbouncer, CONNECTIONS), (PGPOOL, start_pgpool, POOL),
        ):  # fmt: skip
            daemon = start(server, clients)
            if daemon is None:
                print(f"{name} is not installed: what is compared with it is left out.", flush=True)
            else:
                running.callback(daemon.stop)
                found.append(Contender(name, (daemon.port,), (daemon.process.pid,)))
        for name, workers in ((OURS, 1), (OURS_TWICE, 2)):
            sections = {"listen": {"workers": workers}}
            ours = running.enter_context(proxy(server, Path(folder), f"workers{workers}", RULES, sections))
            found.append(Contender(name, (ours.port,), (ours.process.pid,)))
        yield Stage(server, tuple(found), scale * ROWS_OF_SCALE, Path(folder))


@contextmanager
def proxy(
    server: LocalServer, folder: Path, name: str, rules: str, sections: Mapping[str, Any] | None = None
) -> Iterator[RunningProxy]:
    """Run a proxy before the server with these rules."""
    config = folder / f"{name}.toml"
    settings = {"limits": {"connections": CONNECTIONS}, **(sections or {})}
    config.write_text(config_text(server, PROTECTED, rules, settings))
    running = RunningProxy(config, server, PROTECTED, anew=True)
    try:
        yield running
    finally:
        running.stop()


def _fill(server: LocalServer, scale: int) -> None:
    execute(server.dsn(), f"CREATE DATABASE {PLAIN}")
    finish_pgbench(start_pgbench(server, server.port, ["-i", "-q", "-s", str(scale)], PLAIN))
    execute(server.dsn(PLAIN), TABLES)
    execute(server.dsn(PLAIN), "VACUUM ANALYZE")
    execute(server.dsn(), f"CREATE DATABASE {PROTECTED} TEMPLATE {PLAIN}")
