"""Where the settings come from: a file, the environment and flags, to be read at start and at each reload.

Owns which of them a reload leaves as they were at start. Must not know what a setting means.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from pgsoftproxy.settings import Settings, load_text, read

FIXED_AT_START = (
    "listen",
    "upstream",
    "control",
    "metrics",
    "logs.format",
    "logs.sql_literals",
    "limits.plan_cache_bytes",
    "limits.plan_cache_shapes",
)
"""Sections and keys of the configuration that a reload does not put in force."""


def waiting(fresh: Settings, first: Settings) -> list[str]:
    """Return what was changed since the start but waits for the next."""
    return [name for name in FIXED_AT_START if attrgetter(name)(fresh) != attrgetter(name)(first)]


def in_force(fresh: Settings, first: Settings) -> Settings:
    """Return the settings that are in force once `fresh` was reloaded."""
    for name in FIXED_AT_START:
        section, _, key = name.partition(".")
        part = getattr(first, section)
        if key:
            part = getattr(fresh, section).model_copy(update={key: getattr(part, key)})
        fresh = fresh.model_copy(update={section: part})
    return fresh


@dataclass(frozen=True, slots=True)
class Source:
    """Where settings come from, to be read at start and at each reload."""

    path: Path
    environ: Mapping[str, str]
    overrides: Sequence[str] = ()

    def read(self) -> str:
        """Return the text of the file. Raises ConfigError."""
        return read(self.path)

    def load(self, text: str | None = None) -> Settings:
        """Read the settings, or take the text that the file had. Raises ConfigError."""
        return load_text(self.read() if text is None else text, self.path, self.environ, self.overrides)

    def audit_command(self) -> list[str]:
        """Return the command that audits by the same settings."""
        flags = [part for override in self.overrides for part in ("--set", override)]
        command = [sys.executable, "-m", "pgsoftproxy", "audit", "--metrics", "--fail-on", "never"]
        return [*command, "--config", str(self.path), *flags]
