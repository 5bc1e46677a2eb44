"""`audit` finds every hole that was planted and nothing else; what it says mends it; a sound schema is clean."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo

from tests.fix_servers import Database
from tests.schema.auditing import command, findings, pairs
from tests.schema.holes import HOLES, RULES, SOUND, Hole
from tests.schema.migrating import Migration
from tests.servers import Server, execute


@pytest.fixture
def login(server: Server) -> Iterator[str]:
    """Give the name of a new role that can log in."""
    name = f"login_{uuid4().hex[:12]}"
    execute(server.dsn(), f"CREATE ROLE {name} LOGIN")
    yield name
    execute(server.dsn(), f"DROP ROLE {name}")


@pytest.fixture
def plot(role: str, login: str, database: Database, tmp_path: Path) -> Iterator["Plot"]:
    """Give a place to plant holes in."""
    yield Plot(Migration(database, tmp_path / "p.toml"), role, login)


class Plot:
    """A sound schema that `migrate` has equipped, and holes in it."""

    def __init__(self, migration: Migration, role: str, login: str) -> None:
        self.migration = migration
        self._names = {"role": role, "login": login}

    def plant(self, *holes: Hole) -> None:
        """Make the schema, equip it, make the holes."""
        before = [hole.before for hole in holes]
        after = [hole.ddl for hole in holes]
        self.migration.database.execute(";\n".join([SOUND, *before]))
        early = [hole.rules for hole in holes if hole.before]
        self.migration.configure("".join([RULES, *early]))
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

    def expected(self, *holes: Hole) -> set[tuple[str, str]]:
        """Return what the audit should find."""
        wanted = {(hole.check, self.filled(hole.object)) for hole in holes}
        return wanted | {hole.also for hole in holes if hole.also is not None}

    def mend(self, *holes: Hole) -> None:
        """Run the SQL of the findings of these holes."""
        wanted = self.expected(*holes)
        for finding in findings(self.migration):
            if (finding["check"], finding["object"]) in wanted and finding["is_sql"]:
                for statement in split(finding["mend"]):
                    self.migration.database.execute(statement)


def split(text: str) -> list[str]:
    """Return statements one by one where none of them has a body: some cannot be in a transaction."""
    if "$pgsoftproxy$" in text:
        return [text]
    return [part for part in text.split(";\n") if part.strip()]


def test_a_sound_schema_is_clean(plot: Plot) -> None:
    plot.plant()
    assert pairs(plot.migration) == set()
    assert command(plot.migration, "--fail-on", "note")[0] == 0


def test_a_role_that_may_only_log_in_can_audit_what_migrate_has_equipped(plot: Plot, login: str) -> None:
    plot.plant()
    dsn = make_conninfo(plot.migration.database.dsn, user=login)
    assert command(plot.migration, "--fail-on", "note", "--set", f"control.dsn={dsn}")[0] == 0


def test_every_hole_is_found_and_nothing_else_when_all_are_there(plot: Plot) -> None:
    plot.plant(*HOLES)
    assert pairs(plot.migration) == plot.expected(*HOLES)


@pytest.mark.slow
@pytest.mark.parametrize("hole", HOLES, ids=lambda hole: f"{hole.check} {hole.object}")
def test_a_hole_alone_is_found_and_its_sql_mends_it(hole: Hole, plot: Plot) -> None:
    plot.plant(hole)
    assert pairs(plot.migration) == plot.expected(hole)
    (sql,) = {one["is_sql"] for one in findings(plot.migration) if one["check"] == hole.check}
    assert sql is hole.mends
    plot.mend(hole)
    left = (hole.check, plot.filled(hole.object)) in pairs(plot.migration)
    assert left is not hole.mends


def test_what_has_sql_is_mended_by_it_and_by_migrate(plot: Plot) -> None:
    mended = [hole for hole in HOLES if hole.mends]
    plot.plant(*mended)
    plot.mend(*(hole for hole in mended if hole.check.startswith(("view", "matview", "rule", "publication"))))
    plot.migration.run("--exclusions")
    assert pairs(plot.migration) == set()


def test_json_tells_all_of_a_finding(plot: Plot) -> None:
    hole = next(hole for hole in HOLES if hole.check == "role-may-delete")
    plot.plant(hole)
    (finding,) = findings(plot.migration)
    role = plot.filled("{role}")
    assert finding == {
        "check": "role-may-delete",
        "severity": "warning",
        "kind": "role",
        "object": f"{role} on app.users",
        "why": f'"{role}" holds DELETE and TRUNCATE on "app.users"; through the proxy a DELETE needs UPDATE only',
        "mend": f'REVOKE DELETE, TRUNCATE ON TABLE "app"."users" FROM "{role}" CASCADE;',
        "is_sql": True,
        "origin": None,
    }
    assert json.loads(json.dumps(finding)) == finding


def test_a_view_keeps_its_options_and_rights_when_it_is_mended(plot: Plot) -> None:
    options = "security_barrier = true, check_option = local"
    view = Hole(
        "view-leaks",
        'other.O"dd view',
        f'CREATE VIEW other."O""dd view" WITH ({options}) AS SELECT id, email AS "E mail" FROM app.users; '
        'GRANT SELECT ON other."O""dd view" TO {role}',
        mends=True,
    )
    plot.plant(view)
    query = "SELECT reloptions::text[], relacl::text FROM pg_class WHERE relname = 'O\"dd view'"
    before = plot.migration.database.execute(query)
    plot.mend(view)
    assert pairs(plot.migration) == set()
    assert plot.migration.database.execute(query) == before
    plot.migration.database.execute(
        "INSERT INTO app.users (id, email, deleted_at) VALUES (1, 'a', now()), (2, 'b', NULL)"
    )
    assert plot.migration.database.execute('SELECT "E mail" FROM other."O""dd view"') == [("b",)]


def test_a_text_that_is_put_together_is_read_by_its_words(plot: Plot) -> None:
    plot.plant()
    plot.migration.database.execute(
        "CREATE FUNCTION other.sweep(name text) RETURNS void LANGUAGE plpgsql AS "
        "$$ BEGIN EXECUTE format('DELETE FROM %I.users', name); END $$"
    )
    found = {one["check"]: one["why"] for one in findings(plot.migration)}
    assert set(found) == {"routine-destroys", "routine-unreadable"}
    assert found["routine-destroys"].endswith("its body was read by words only")


def test_a_function_that_is_allowed_by_name_is_passed_over(plot: Plot) -> None:
    hole = next(hole for hole in HOLES if hole.object == "other.count_users()")
    plot.plant(hole)
    rules = '[routines]\nallow = ["other.count_users"]\n'
    plot.migration.configure(rules + RULES)
    assert pairs(plot.migration) == set()
