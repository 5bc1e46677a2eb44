"""Where each value of the configuration was written: `file:line`, a variable's name, or a flag.

Must not know what the values are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pgsoftproxy.settings.lines import Path


@dataclass(frozen=True, slots=True)
class Origins:
    """A file's lines by key path, and the variables and flags that stand above it."""

    file: str = ""
    lines: Mapping[Path, int] = field(default_factory=dict)
    overrides: Mapping[Path, str] = field(default_factory=dict)

    def of(self, path: Path) -> str:
        """Return the origin of a key, or of the innermost section around it that was written anywhere.

        A section that was never written belongs to the file's first line.
        """
        for length in range(len(path), 0, -1):
            prefix = path[:length]
            # A flag on one key of a section is the origin of that key alone, unless nothing else names it.
            if prefix in self.overrides:
                return self.overrides[prefix]
            if prefix in self.lines:
                return f"{self.file}:{self.lines[prefix]}"
            below = next((name for key, name in self.overrides.items() if key[:length] == prefix), None)
            if below is not None:
                return below
        return f"{self.file}:1" if self.file else ""

    def line(self, path: Path) -> int:
        """Return the line to sort a problem by; variables and flags come after the file."""
        origin = self.of(path)
        head, _, tail = origin.rpartition(":")
        return int(tail) if head == self.file and tail.isdigit() else 2**31
