"""The audit log: one JSON object a line, appended to a file that others may append to and move away.

Owns the file and what becomes of a line that it does not take: traffic goes on, the line is counted as lost, and the
log says so once. Must not know what is audited.
"""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pgsoftproxy.ops.logs import Logger
from pgsoftproxy.ops.metrics import Figures

LOG = "log"
"""The target that is no file, but the log itself."""
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""Without waiting: a pipe that nobody reads must not stop the sessions."""
MODE = 0o640


class Trail:
    """Write lines to `target`: a path, LOG, or nothing at all."""

    def __init__(
        self,
        target: str,
        figures: Figures,
        logger: Logger,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._target = target
        self._figures = figures
        self._logger = logger
        self._now = now
        self._file: int | None = None
        self._torn = False
        self._failing = False
        self.reopen(target)

    def reopen(self, target: str | None = None) -> None:
        """Open the file anew, for the old one may have been moved away; or another target, if one is given."""
        self.close()
        self._target = self._target if target is None else target
        if self._target not in ("", LOG):
            self._open()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def write(self, event: str, **fields: Any) -> None:
        """Write a line about an event; without a target there is nothing to do."""
        if not self._target:
            return
        if self._target == LOG:
            self._logger.info("audit", of=event, **fields)
            return
        line = json.dumps({"time": _stamp(self._now()), "event": event, **fields}).encode() + b"\n"
        if self._file is None and not self._open():
            self._figures.audit_lines_lost += 1
            return
        self._append(line)

    def _open(self) -> bool:
        try:
            self._file = os.open(self._target, FLAGS, MODE)
        except (OSError, ValueError) as error:
            self._failed(error)
            return False
        return True

    def _append(self, line: bytes) -> None:
        # One write a line: what several processes append to a file never mixes.
        assert self._file is not None
        data = b"\n" + line if self._torn else line
        try:
            written = os.write(self._file, data)
        except OSError as error:
            self._figures.audit_lines_lost += 1
            self._failed(error)
            return
        self._torn = written < len(data)
        if self._torn:
            self._figures.audit_lines_lost += 1
            self._failed(OSError(0, "the line was cut off"))
        elif self._failing:
            self._failing = False
            self._logger.warning(
                "audit_log_is_written_again", path=self._target, lost=self._figures.audit_lines_lost
            )

    def _failed(self, error: OSError | ValueError) -> None:
        if not self._failing:
            self._failing = True
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._logger.error("audit_log_cannot_be_written", path=self._target, reason=reason)


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
