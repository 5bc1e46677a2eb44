"""Where the settings come from: a file, the environment and flags, to be read at start and at each reload.

Must not know what a setting means.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgsoftproxy.settings import Settings, load_text, read


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
