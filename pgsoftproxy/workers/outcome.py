"""What came of a reload, for the command that asked for it: a line beside the process id.

The file is the one of `run --pid-file`, held by a lock as long as its process runs. Must not know what a reload does.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO

Told = Callable[[Sequence[str]], None]
"""Takes the problems for which a reload was refused; none if it was done."""


def nobody_told(problems: Sequence[str]) -> None:
    """Do nothing: nobody waits for the outcome."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whose file it is, how many reloads there were, and what was wrong with the last."""

    pid: int
    reloads: int = 0
    problems: tuple[str, ...] = ()


class OutcomeFile:
    """The file, open and locked, of a process that runs."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._pid = os.getpid()
        self._reloads = 0
        self._write(())

    def told(self, problems: Sequence[str]) -> None:
        """Note what came of one more reload."""
        self._reloads += 1
        self._write(problems)

    def _write(self, problems: Sequence[str]) -> None:
        # In one write, so that a reader finds it whole or, by the missing end of the line, not whole.
        text = f"{self._pid}\n{json.dumps([self._reloads, *problems])}\n"
        self._file.truncate(0)
        self._file.write(text)
        self._file.flush()


def read_outcome(text: str) -> Outcome | None:
    """Return what such a file says; None if it is being written."""
    pid, _, rest = text.partition("\n")
    if not rest.endswith("\n"):
        return None
    reloads, *problems = json.loads(rest)
    return Outcome(int(pid), reloads, tuple(problems))
