"""What the processes of a test need of the machine: a user that is not root, a folder, a port, an end.

Linux only: it reads /proc.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def service_user() -> str | None:
    """Return the user that `postgres` runs as: None is this one; it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def identity() -> dict[str, Any]:
    """Return the arguments that make a subprocess run as the service user."""
    user = service_user()
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def owned_directory(prefix: str) -> Path:
    """Make a temporary folder that belongs to the service user."""
    directory = Path(tempfile.mkdtemp(prefix=prefix))
    if user := service_user():
        shutil.chown(directory, user, pwd.getpwnam(user).pw_gid)
    directory.chmod(0o755)
    return directory


def readable(programs: Path, directory: Path) -> Path:
    """Return a folder of these programs that the service user can run: they, or a copy of their installation.

    A virtual environment under /root is closed to other users. Programs of a wheel find their libraries in the
    folder `PACKAGE.libs` beside their package, so that the copy keeps that neighbourhood.
    """
    command = [str(programs / "postgres"), "--version"]
    try:
        subprocess.run(command, capture_output=True, check=True, **identity())
    except PermissionError:
        installation = programs.parent
        package = installation.parent
        copy = directory / "copy" / package.name / installation.name
        shutil.copytree(installation, copy, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, directory / "copy" / libraries.name, symlinks=True)
        return copy / programs.name
    return programs


def children(pid: int) -> list[int]:
    """Return the processes whose parent this one is."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # After the command, which may hold spaces and parentheses: state, parent, ...
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
