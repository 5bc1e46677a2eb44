"""What all parts of a soak share: where the proxy is, when the server was away, what was found.

Must not know clients.
"""

import ssl
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.soak.wire import Lost

GRACE_SECONDS = 2.0
"""For so long after its restart a server may still be told to be away."""
EXCUSED = ("", "08006", "08001", "57P01", "57P02", "57P03", "53300")
"""How a connection may end when the server does."""
MOST_PRINTED = 20


@dataclass(slots=True)
class Absence:
    """A time in which the server was not there."""

    begins: float
    ends: float = float("inf")


@dataclass(slots=True)
class Ground:
    """One soak."""

    port: int
    database: str
    tls: ssl.SSLContext
    pace: float
    """Seconds that a client waits between two statements, on average."""
    over: bool = False
    acts: Counter[str] = field(default_factory=Counter)
    absences: list[Absence] = field(default_factory=list)
    findings: Counter[str] = field(default_factory=Counter)

    def find(self, what: str) -> None:
        """Note what must not be; print the first of each kind, and of all kinds not too many."""
        kind = what.partition(":")[0]
        self.findings[kind] += 1
        if self.findings[kind] == 1 or sum(self.findings.values()) < MOST_PRINTED:
            print(f"FOUND {what}", flush=True)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Note that the server is away."""
        absence = Absence(time.monotonic())
        self.absences.append(absence)
        try:
            yield
        finally:
            absence.ends = time.monotonic() + GRACE_SECONDS

    def excused(self, since: float) -> bool:
        """Tell whether the server was away at some moment since then."""
        return any(absence.ends >= since for absence in self.absences)

    def lost(self, error: Lost, since: float, doing: str) -> None:
        """Judge the end of a connection that was opened at some moment."""
        if error.code in EXCUSED and self.excused(since):
            self.acts["lost with the server"] += 1
        else:
            self.find(f"connection lost: in {doing}: {error} {error.code}")
