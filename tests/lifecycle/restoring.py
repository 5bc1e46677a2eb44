"""Run `restore` and `history` on a test's database and look at its live rows."""

import json
from typing import Any

from tests.configured import Configured

STAMPS = ("deleted_at", "deleted_by", "deletion_id")
RULES = '[tables."public.*"]\ndeleted_by = "deleted_by"\ndeletion_id = "deletion_id"\n'


class Lifecycle(Configured):
    """A database with a configuration for it, whose rows are brought back."""

    def command(self, name: str, *arguments: str) -> tuple[int, str]:
        """Run a command; return its exit code and what it printed on standard output."""
        ended = self.invoke(name, *arguments)
        return ended.exit_code, ended.stdout + (ended.stderr if ended.exit_code == 2 else "")

    def restore(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Restore without asking; return the report."""
        ended, out = self.command("restore", "--yes", "--json", *arguments)
        assert ended == code, out
        report: dict[str, Any] = json.loads(out)
        return report

    def history(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Return the story of a row."""
        ended, out = self.command("history", "--json", *arguments)
        assert ended == code, out
        story: dict[str, Any] = json.loads(out)
        return story

    def live(self) -> dict[str, list[dict[str, Any]]]:
        """Return the live rows of every public table, whole, but for their stamps."""
        tables = self.database.execute(
            "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
            "AND relnamespace = 'public'::regnamespace ORDER BY 1"
        )
        found = {}
        for (table,) in tables:
            rows = self.database.execute(f"SELECT to_jsonb(t) FROM {table} AS t ORDER BY to_jsonb(t)::text")
            found[table] = [
                {name: value for name, value in row.items() if name not in STAMPS}
                for (row,) in rows
                if row.get("deleted_at") in (None, False)
            ]
        return found

    def delete(self, table: str, where: str, number: int = 1) -> str:
        """Delete rows softly, in a deletion of that number; return its id."""
        made = deletion(number)
        self.database.execute(
            f"UPDATE {table} SET deleted_at = now(), deleted_by = 'ann', deletion_id = '{made}' "
            f"WHERE deleted_at IS NULL AND {where}"
        )
        return made


def deletion(number: int) -> str:
    """Return a deletion id."""
    return f"00000000-0000-0000-0000-{number:012}"
