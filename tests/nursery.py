"""Processes of the proxy that begin where its imports end: forked from one that has made them.

`python -m pgsoftproxy run` spends most of its start on imports, and the tests start hundreds of proxies. One forked
from here runs the same command line in a session, an environment and a folder of its own, and ends as the other does.
The real start is what `tests/test_cli.py` and `tests/workers/test_systemd.py` look at.
"""

import atexit
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from select import select
from typing import IO

from pgsoftproxy.cli import main

ROOT = Path(__file__).parent.parent
PREPARED = ("pgsoftproxy.cli.process", "pgsoftproxy.launch")
"""What `pgsoftproxy run` imports."""
LONGEST_REQUEST = 2**20
NUMBER = struct.Struct("=i")


class Born:
    """A process that was forked for us, with as much of `subprocess.Popen` as the tests need."""

    def __init__(self, pid: int, ended: IO[bytes], stdout: IO[str]) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._ended = ended

    def poll(self) -> int | None:
        """Return its exit code, the negative number of the signal that ended it, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code once it has ended; subprocess.TimeoutExpired if it has not by then."""
        if self.returncode is None:
            if not select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("pgsoftproxy", timeout or 0)
            with self._ended:
                (self.returncode,) = NUMBER.unpack(self._ended.read(NUMBER.size))
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)


def bear(arguments: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Born:
    """Run `pgsoftproxy` with these arguments in a process of its own; what it prints comes from its `stdout`."""
    request = json.dumps([arguments, str(folder), dict(environ)]).encode()
    printed, out = os.pipe()
    ended, end = os.pipe()
    socket.send_fds(_nursery(), [request], [out, end])
    os.close(out)
    os.close(end)
    told = os.fdopen(ended, "rb")
    (pid,) = NUMBER.unpack(told.read(NUMBER.size))
    return Born(pid, told, os.fdopen(printed, errors="replace"))


@cache
def _nursery() -> socket.socket:
    """Start the process that forks; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST_REQUEST)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.nursery", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def fork_on_request(requests: socket.socket) -> None:
    """Fork for each request until nobody can send one any more; return in the processes that were asked for."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait for the others
    while True:
        request, descriptors, *_ = socket.recv_fds(requests, LONGEST_REQUEST, 2)
        if not request:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            _bear(*descriptors)
            break
        for descriptor in descriptors:
            os.close(descriptor)
    arguments, folder, environ = json.loads(request)
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = [str(ROOT / "pgsoftproxy" / "__main__.py"), *arguments]


def _bear(out: int, end: int) -> None:
    """Fork, and return in the child; the parent tells who that is and, at last, how it has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        os.close(out)
        os.write(end, NUMBER.pack(pid))
        os.write(end, NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
        os._exit(0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)
    os.close(end)


if __name__ == "__main__":
    for name in PREPARED:
        import_module(name)
    fork_on_request(socket.socket(fileno=int(sys.argv[1])))
    main()
