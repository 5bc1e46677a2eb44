"""The proxy as a process: run it, remember its pid in a locked file, ask it to reload."""

import errno
import fcntl
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pgsoftproxy.errors import ConfigError


def run(config: Path, environ: Mapping[str, str], overrides: Sequence[str], pid_file: Path | None) -> None:
    """Serve until a signal ends it. Raises ConfigError or UpstreamUnavailable before anything is served."""
    from pgsoftproxy import launch

    with _held(pid_file):
        launch.run(config, environ, overrides)


def reload(pid: int | None, pid_file: Path | None) -> int:
    """Send SIGHUP to a proxy and return its pid; OSError if there is none.

    A pid file that nobody holds a lock on was left behind by a process that is gone: its number may belong
    to another by now, and SIGHUP would end that one.
    """
    if pid_file is not None:
        with pid_file.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = int(file.read())
            else:
                raise ProcessLookupError(errno.ESRCH, f"no proxy runs with the pid file {pid_file}")
    assert pid is not None, "the command line has seen to it"
    os.kill(pid, signal.SIGHUP)
    return pid


@contextmanager
def _held(pid_file: Path | None) -> Iterator[None]:
    if pid_file is None:
        yield
        return
    try:
        file = pid_file.open("a+")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError((f"--pid-file {pid_file}: another proxy runs with it",)) from None
    except OSError as error:
        raise ConfigError((f"--pid-file {pid_file}: {error.strerror}",)) from None
    with file:
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            pid_file.unlink(missing_ok=True)
