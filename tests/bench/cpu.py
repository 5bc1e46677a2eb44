"""What processes use, read from /proc: CPU seconds and memory. Linux only.

Theory. `schedstat` counts nanoseconds on the CPU, but for one thread each and only while that thread lives;
`stat` counts ticks of ten milliseconds for the whole process, and remembers threads and children that ended. So
the processes in the middle, which outlive every measurement, are read from the former, servers from the latter.
"""

import contextlib
import os
from pathlib import Path

from tests.processes import children

TICKS = os.sysconf("SC_CLK_TCK")
GONE = (FileNotFoundError, ProcessLookupError)


def own_seconds(pid: int) -> float:
    """Return the user and system time of a process by its ticks, all its threads together."""
    return sum(_fields(pid)[11:13]) / TICKS


def fine_seconds(pid: int) -> float:
    """Return the time that the living threads of a process were on a CPU, to the nanosecond."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(*GONE):  # it ended meanwhile
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def living_seconds(pid: int) -> float:
    """Return the fine time of a process and of its living descendants: workers, children that serve clients."""
    total = fine_seconds(pid)
    for child in children(pid):
        with contextlib.suppress(*GONE):
            total += living_seconds(child)
    return total


def family_seconds(pid: int) -> float:
    """Return the time of a process and its children by their ticks, those that ended and were reaped included."""
    living = 0.0
    for child in children(pid):
        with contextlib.suppress(*GONE):
            living += own_seconds(child)
    return sum(_fields(pid)[11:15]) / TICKS + living


def own_memory(pid: int) -> int:
    """Return the bytes of memory that are a process's share: what it shares is divided by those who share it."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "Pss":
            return int(rest.split()[0]) * 1024
    raise ValueError(f"process {pid} does not tell its memory")


def family_memory(pid: int) -> int:
    """Return the memory of a process and its living descendants, in bytes."""
    total = own_memory(pid)
    for child in children(pid):
        with contextlib.suppress(*GONE):
            total += family_memory(child)
    return total


def _fields(pid: int) -> list[int]:
    # proc(5): utime, stime, cutime, cstime are fields 14 to 17; here counted from the state, field 3, as 0.
    after_command = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [0, *(int(field) for field in after_command[1:])]
