"""The demo's stage: a temporary directory and the child processes, all gone when it closes, whatever happens.

Must not know what the children are.
"""

import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from pgsoftproxy.demo.child import Child, Program
from pgsoftproxy.demo.failure import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_SECONDS = 10.0


class Stage:
    """Own the directory `work` and the children; while it is open, the signals that end raise `Stopped`."""

    def __init__(self) -> None:
        self._cleanup = ExitStack()
        self._holding = False
        self._pending = 0

    def __enter__(self) -> Self:
        for number in SIGNALS:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            self._cleanup.callback(signal.signal, number, signal.signal(number, self._signalled))
        with self._held():
            directory = tempfile.TemporaryDirectory(prefix="pgsoftproxy-demo-")
            self.work = Path(self._cleanup.enter_context(directory))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._holding = True  # a second Ctrl-C does not stop the cleaning up
        self._cleanup.close()
        if kind is None and self._pending:
            raise Stopped(self._pending)  # what it had interrupted, a callback from C, has swallowed it

    def start(self, program: Program) -> Child:
        """Start a child that will be stopped when the stage closes; the last started stops first."""
        with self._held():
            child = Child(program)
            self._cleanup.callback(child.stop, STOP_SECONDS)
        return child

    @contextmanager
    def _held(self) -> Iterator[None]:
        # A signal between starting a thing and registering its end would leave it behind.
        self._holding = True
        yield
        self._holding = False
        if self._pending:
            raise Stopped(self._pending)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._pending = number
        if not self._holding:
            raise Stopped(number)
