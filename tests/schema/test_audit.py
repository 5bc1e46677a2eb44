"""`audit` finds every hole that was planted and nothing else; what it says mends it; a sound schema is clean."""

import json

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.schema.auditing import command, findings, pairs
from tests.schema.holes import HOLES, RULES, STAMPS, Hole
from tests.schema.planting import Plot, psql

SQL = {"migrate", "sql"}


def test_a_sound_schema_is_clean(plot: Plot) -> None:
    plot.plant()
    assert pairs(plot.migration) == set()
    assert command(plot.migration, "--fail-on", "note")[0] == 0


def test_a_role_that_may_only_log_in_can_audit_what_migrate_has_equipped(plot: Plot, login: str) -> None:
    plot.plant()
    dsn = make_conninfo(plot.migration.database.dsn, user=login)
    assert command(plot.migration, "--fail-on", "note", "--set", f"control.dsn={dsn}")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("hole", HOLES, ids=lambda hole: f"{hole.check} {hole.object}")
def test_a_hole_alone_is_found_and_its_sql_mends_it(hole: Hole, plot: Plot) -> None:
    plot.plant(hole)
    assert pairs(plot.migration) == plot.expected(hole)
    name = plot.filled(hole.object)
    (found,) = (
        one for one in findings(plot.migration) if (one["check"], one["object"]) == (hole.check, name)
    )
    assert (found["by"], found["is_sql"]) == (hole.mended_by, hole.mended_by in SQL)
    plot.mend(hole)
    assert ((hole.check, name) in pairs(plot.migration)) is not found["is_sql"]


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
        "by": "migrate",
        "command": "pgsoftproxy migrate",
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


def test_a_publication_of_some_columns_is_left_to_its_owner(plot: Plot) -> None:
    plot.plant()
    plot.migration.database.execute(
        "CREATE PUBLICATION narrow FOR TABLE app.users (id, email); CREATE PUBLICATION wide FOR TABLE app.users"
    )
    found = {one["object"]: one["by"] for one in findings(plot.migration)}
    assert found == {"narrow": "hand", "wide": "hand"}, (
        "a filter would need FULL, which no list of columns covers"
    )


def test_a_table_that_was_given_away_can_be_used_as_before_but_for_removing(plot: Plot) -> None:
    plot.plant()
    database, login = plot.migration.database, plot.filled("{login}")
    database.execute(
        f"CREATE TABLE app.tags (id serial PRIMARY KEY, up int REFERENCES app.tags, {STAMPS}); "
        f"ALTER TABLE app.tags OWNER TO {login}; GRANT USAGE ON SCHEMA app TO {login}"
    )
    plot.migration.run()
    (found,) = findings(plot.migration)
    assert (found["check"], found["by"]) == ("role-owns", "sql")
    psql(database, found["mend"])
    assert pairs(plot.migration) == set()
    with psycopg.connect(database.server.dsn(database.name, login), autocommit=True) as connection:
        connection.execute("INSERT INTO app.tags DEFAULT VALUES; INSERT INTO app.tags (up) VALUES (1)")
        connection.execute("UPDATE app.tags SET deleted_at = now() WHERE id = 2")
        for statement in ("DELETE FROM app.tags", "TRUNCATE app.tags", "DROP TABLE app.tags"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
