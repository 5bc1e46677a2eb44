"""A program that stands in the middle, run as the servers are: by a user that is not root, until told to stop."""

import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psycopg

from tests.processes import identity
from tests.waiting import wait_until

START_SECONDS = 20.0
STOP_SECONDS = 20.0


class Daemon:
    """A running program that listens on a port of this machine; its folder is removed when it stops."""

    def __init__(self, command: Sequence[str], directory: Path, port: int) -> None:
        self.port = port
        self._directory = directory
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                start_new_session=True,
                **identity(),
            )
        try:
            self._wait(command[0])
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it and remove what it left."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _wait(self, name: str) -> None:
        wait_until(lambda: self.process.poll() is not None or self._takes_connections(), START_SECONDS)
        if self.process.poll() is not None:
            raise RuntimeError(f"{name} did not start:\n{self._log.read_text()}")

    def _takes_connections(self) -> bool:
        try:
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/postgres").close()
        except psycopg.OperationalError:
            return False
        return True


def program(name: str) -> str | None:
    """Return the path of a program, if this machine has it; Debian keeps daemons where PATH does not look."""
    beside = Path("/usr/sbin") / name
    return shutil.which(name) or (str(beside) if beside.exists() else None)
