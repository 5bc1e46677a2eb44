"""Run `migrate` on a test's database and look at what it left."""

import json
import re
import subprocess
from collections.abc import Sequence
from typing import Any

from tests.configured import Configured
from tests.fix_servers import Database

STAMPED = 'deleted_by = "deleted_by"\ndeletion_id = "deletion_id"\n'
RULES = f'[tables."public.*"]\n{STAMPED}'


class Migration(Configured):
    """A database with a configuration for it, by which it is migrated."""

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run the command; return its exit code and all that it printed."""
        ended = self.invoke("migrate", *arguments)
        return ended.exit_code, ended.output

    def plan(self, *arguments: str) -> dict[str, Any]:
        """Return the plan as JSON."""
        code, out = self.command("--dry-run", "--json", *arguments)
        assert code == 0, out
        plan: dict[str, Any] = json.loads(out)
        return plan

    def ids(self, *arguments: str) -> list[str]:
        """Return the ids of the steps that are due."""
        return [step["id"] for step in self.plan(*arguments)["steps"]]

    def run(self, *arguments: str) -> list[dict[str, Any]]:
        """Run the plan; return the events."""
        code, out = self.command("--yes", "--json", *arguments)
        assert code == 0, out
        return [json.loads(line) for line in out.splitlines()[1:]]

    def dump(self) -> list[str]:
        """Return what pg_dump prints of the schema, sorted: the order of equal objects is that of their creation."""
        return dump(self.database)


def dump(database: Database) -> list[str]:
    """Return the statements of a dump of the schema, sorted."""
    programs = database.server.bin
    assert programs is not None
    arguments: Sequence[str] = (str(programs / "pg_dump"), "-s", "--no-comments", database.dsn)
    text = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    text = re.sub(r"^(--.*|\\(un)?restrict .*|SET .*)$", "", text, flags=re.MULTILINE)
    return sorted(part.strip() for part in text.split(";\n") if part.strip())
