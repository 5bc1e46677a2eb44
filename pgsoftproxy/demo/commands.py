"""The commands of the demo, as users run them: `python -m pgsoftproxy COMMAND`. Must not know what they show."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pgsoftproxy.demo.failure import DemoFailed

COMMAND_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs commands with one configuration, over connections of the tables' owner or a superuser."""

    config: Path
    dsn: str

    def run(self, name: str, *arguments: str) -> str:
        """Return what a command printed; DemoFailed with its last words if it does not succeed."""
        argv = [sys.executable, "-m", "pgsoftproxy", name, "--config", str(self.config), *arguments]
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PGSOFTPROXY_CONTROL__DSN": self.dsn},
            timeout=COMMAND_SECONDS,
        )
        if done.returncode != 0:
            raise DemoFailed(
                f"`pgsoftproxy {name}` ended with exit code {done.returncode}", done.stderr or done.stdout
            )
        return done.stdout
