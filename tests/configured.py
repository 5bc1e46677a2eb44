"""A test's database with a configuration for it, and commands run on it in this process."""

import json
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner, Result

from pgsoftproxy.cli import app
from tests.fix_servers import Database


@dataclass(frozen=True, slots=True)
class Configured:
    """A database with a configuration for it."""

    database: Database
    config: Path

    def configure(self, rules: str) -> None:
        """Write the configuration anew."""
        self.config.write_text(f"[control]\ndsn = {json.dumps(self.database.dsn)}\n{rules}")

    def invoke(self, name: str, *arguments: str) -> Result:
        """Run a command in this process; return its exit code and what it printed."""
        ended = CliRunner().invoke(app, [name, "--config", str(self.config), *arguments])
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return ended
