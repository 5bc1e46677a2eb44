"""The proxy as a process: run it, remember its pid in a locked file, ask it to reload."""

import errno
import fcntl
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pgsoftproxy.errors import ConfigError
from pgsoftproxy.workers.outcome import Outcome, OutcomeFile, Told, nobody_told, read_outcome

POLL_SECONDS = 0.05


def run(config: Path, environ: Mapping[str, str], overrides: Sequence[str], pid_file: Path | None) -> None:
    """Serve until a signal ends it. Raises ConfigError or UpstreamUnavailable before anything is served."""
    from pgsoftproxy import launch

    with _held(pid_file) as told:
        launch.run(config, environ, overrides, told)


def reload(pid: int) -> None:
    """Send SIGHUP to a proxy; OSError if there is none."""
    os.kill(pid, signal.SIGHUP)


def reload_by_file(pid_file: Path, seconds: float) -> Outcome:
    """Send SIGHUP to the proxy of a pid file and return what came of it; OSError if there is none, or no answer.

    A pid file that nobody holds a lock on was left behind by a process that is gone: its number may belong
    to another by now, and SIGHUP would end that one.
    """
    deadline = time.monotonic() + seconds
    before = None
    while time.monotonic() < deadline:
        now = _outcome(pid_file)
        if now is not None and before is None:
            before = now
            os.kill(now.pid, signal.SIGHUP)
        elif now is not None and before is not None and now.reloads > before.reloads:
            return now
        time.sleep(POLL_SECONDS)  # a file that another process writes: nothing tells of it
    raise TimeoutError(errno.ETIMEDOUT, "the proxy did not answer in time; its log says what came of it")


def _outcome(pid_file: Path) -> Outcome | None:
    with pid_file.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return read_outcome(file.read())
        raise ProcessLookupError(errno.ESRCH, f"no proxy runs with the pid file {pid_file}")


@contextmanager
def _held(pid_file: Path | None) -> Iterator[Told]:
    if pid_file is None:
        yield nobody_told
        return
    try:
        file = pid_file.open("a+")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError((f"--pid-file {pid_file}: another proxy runs with it",)) from None
    except OSError as error:
        raise ConfigError((f"--pid-file {pid_file}: {error.strerror}",)) from None
    with file:
        try:
            yield OutcomeFile(file).told
        finally:
            pid_file.unlink(missing_ok=True)
