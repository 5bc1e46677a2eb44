"""CPU seconds of processes, read from /proc. Linux only."""

import contextlib
import os
from pathlib import Path

from tests.processes import children

TICKS = os.sysconf("SC_CLK_TCK")


def own_seconds(pid: int) -> float:
    """Return the user and system time that a process has used, all its threads together."""
    return sum(_fields(pid)[11:13]) / TICKS


def family_seconds(pid: int) -> float:
    """Return the time of a process and its children, those that ended and were reaped included."""
    living = 0.0
    for child in children(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            living += own_seconds(child)
    return sum(_fields(pid)[11:15]) / TICKS + living


def _fields(pid: int) -> list[int]:
    # proc(5): utime, stime, cutime, cstime are fields 14 to 17; here counted from the state, field 3, as 0.
    after_command = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [0, *(int(field) for field in after_command[1:])]
