"""A PgBouncer in session mode before a server, to compare with."""

import shutil
import subprocess
import time
from pathlib import Path

import psycopg

from tests.processes import free_port, identity, owned_directory
from tests.servers import LocalServer

START_SECONDS = 10.0

CONFIG = """\
[databases]
* = host={host} port={upstream} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = session
default_pool_size = 100
max_client_conn = 1000
ignore_startup_parameters = extra_float_digits
"""


class PgBouncer:
    """A running PgBouncer; it refuses to run as root, so that it runs as the servers do."""

    def __init__(self, program: str, server: LocalServer) -> None:
        self.port = free_port()
        self._directory = owned_directory("pgsoftproxy-pgbouncer-")
        config = self._directory / "pgbouncer.ini"
        config.write_text(CONFIG.format(host=server.host, upstream=server.port, port=self.port))
        self._log = self._directory / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [program, str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                start_new_session=True,
                **identity(),
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it and remove what it left."""
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/postgres").close()
                return
            except psycopg.OperationalError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PgBouncer did not start:\n{self._log.read_text()}") from error
                time.sleep(0.02)


def installed() -> str | None:
    """Return the path of the program, if this machine has it."""
    return shutil.which("pgbouncer") or next(
        (path for path in ("/usr/sbin/pgbouncer",) if Path(path).exists()), None
    )
