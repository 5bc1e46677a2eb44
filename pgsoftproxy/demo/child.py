"""A child process of the demo: started, waited for until it says that it is ready, stopped.

Must not know what the child does.
"""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from pgsoftproxy.demo.failure import DemoFailed


@dataclass(frozen=True, slots=True)
class Account:
    """The system account that a child runs as, where that is not our own."""

    uid: int | None = None
    gid: int | None = None

    @property
    def groups(self) -> list[int] | None:
        """Return the further groups of the child: none, or our own where the account is."""
        return None if self.uid is None else []


OURSELVES = Account()


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `ready` returns a value for the line of standard error that says that it is ready;
    `stop` holds the signals that end it, the gentlest first."""

    name: str
    argv: list[str]
    ready: Callable[[str], str | None]
    stop: tuple[signal.Signals, ...]
    account: Account = OURSELVES


class Child:
    """Run a program and read its standard error.

    The child has a session of its own: a Ctrl-C on the terminal reaches the demo, which ends the children in
    the right order.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._tail: deque[str] = deque(maxlen=30)
        self._started: Future[str] = Future()
        self._expected: tuple[str, Future[str]] | None = None
        self._process = subprocess.Popen(
            program.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | {"LC_ALL": "C"},
            start_new_session=True,
            user=program.account.uid,
            group=program.account.gid,
            extra_groups=program.account.groups,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_ready(self, seconds: float) -> str:
        """Return what `ready` returned; DemoFailed with the child's last words if it does not come."""
        try:
            return self._started.result(seconds)
        except TimeoutError:
            message = f"{self._program.name} was not ready within {seconds:.0f} s"
            raise DemoFailed(message, self.words) from None

    def notify(self, number: signal.Signals, expected: str, seconds: float) -> None:
        """Send a signal and wait for a line that holds this text; DemoFailed if none comes."""
        answered: Future[str] = Future()
        self._expected = (expected, answered)
        self._process.send_signal(number)
        try:
            answered.result(seconds)
        except TimeoutError:
            message = f"{self._program.name} did not answer {number.name} within {seconds:.0f} s"
            raise DemoFailed(message, self.words) from None

    def wait(self) -> int:
        """Wait until the child ends by itself and return its exit code."""
        return self._process.wait()

    def stop(self, seconds: float) -> None:
        """Send each of the program's signals, giving it some seconds after each, then kill it."""
        for number in (*self._program.stop, signal.SIGKILL):
            if self._process.poll() is not None:
                break
            self._process.send_signal(number)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()
        self._reader.join(seconds)

    @property
    def words(self) -> str:
        """Return the last lines of the child's standard error."""
        return "\n".join(self._tail)

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._tail.append(line.rstrip("\n"))
                if not self._started.done() and (found := self._program.ready(line)) is not None:
                    self._started.set_result(found)
                if self._expected is not None and self._expected[0] in line:
                    self._expected[1].set_result(line)
                    self._expected = None
        if not self._started.done():
            self._started.set_exception(
                DemoFailed(f"{self._program.name} ended before it was ready", self.words)
            )
