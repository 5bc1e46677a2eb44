"""A sound schema that `migrate` has equipped, with holes in it."""

import subprocess

from tests.fix_servers import Database
from tests.schema.auditing import Pair, findings
from tests.schema.holes import RULES, Hole
from tests.schema.migrating import Migration


class Plot:
    """A sound schema that `migrate` has equipped, and holes in it."""

    def __init__(self, migration: Migration, role: str, login: str) -> None:
        self.migration = migration
        self._names = {"role": role, "login": login}

    def plant(self, *holes: Hole) -> None:
        """Make what is to be there before the schema is equipped, equip that too, make the holes."""
        before = [hole.before for hole in holes if hole.before]
        after = [hole.ddl for hole in holes]
        early = [hole.rules for hole in holes if hole.before]
        self.migration.configure("".join([RULES, *early]))
        if before:
            self.migration.database.execute(";\n".join(before))
            self.migration.run()
        for ddl in after:
            if ddl:
                self.migration.database.execute(self.filled(ddl))
        self.migration.configure("".join([RULES, *(hole.rules for hole in holes)]))

    def filled(self, text: str) -> str:
        """Put in the names that are known only now."""
        lines = self.migration.config.read_text().splitlines() if self.migration.config.exists() else []
        place = next((number for number, line in enumerate(lines, 1) if "nowhere" in line), 0)
        names = {**self._names, "nowhere": f"{self.migration.config}:{place}"}
        for name, value in names.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def expected(self, *holes: Hole) -> set[Pair]:
        """Return what the audit should find."""
        wanted = {(hole.check, self.filled(hole.object)) for hole in holes}
        return wanted | {hole.also for hole in holes if hole.also is not None}

    def mend(self, *holes: Hole) -> None:
        """Run the SQL of the findings of these holes."""
        wanted = self.expected(*holes)
        for finding in findings(self.migration):
            if (finding["check"], finding["object"]) in wanted and finding["is_sql"]:
                psql(self.migration.database, finding["mend"])


def psql(database: Database, text: str) -> None:
    """Run statements as somebody does who pastes them into psql: one by one, but for those in a BEGIN."""
    programs = database.server.bin
    assert programs is not None
    command = [str(programs / "psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-f", "-", database.dsn]
    ended = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.stderr}\n{text}"
