"""New clusters: `initdb` makes one for each installation of PostgreSQL, and every server starts from a copy of it.

A copy takes a tenth of the time. Must not know how a server runs.
"""

import atexit
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.processes import identity, owned_directory, readable


class ServerUnavailable(Exception):
    """A server of the wanted version cannot be had, or did not start; the message says why."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that nothing runs on, and the programs that the service user may run."""

    programs: Path
    _data: Path

    def copy(self, target: Path) -> None:
        """Make a cluster like it; `target` must not exist yet."""
        subprocess.run(["cp", "-a", str(self._data), str(target)], check=True)


@cache
def new_cluster(programs: Path) -> Cluster:
    """Return the cluster that these programs make, the same at each call; it is removed when this process ends."""
    directory = owned_directory("pgsoftproxy-cluster-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    ours, data = readable(programs, directory), directory / "data"
    done = subprocess.run(
        [
            str(ours / "initdb"), "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8",
            "--locale=C", "--pgdata", str(data),
        ],
        capture_output=True,
        text=True,
        cwd=directory,
        **identity(),
    )  # fmt: skip
    if done.returncode:
        raise ServerUnavailable(f"initdb of {programs} failed:\n{done.stderr + done.stdout}")
    return Cluster(ours, data)
