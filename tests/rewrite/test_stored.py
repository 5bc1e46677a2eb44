"""Definitions that the server keeps: the checker proves, from what the server prints of them, that they are guarded."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.model.policy import Policy, compile_policy
from pgsoftproxy.rewrite.plan import Forward, Refused
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.rewrite.routines import findings_of
from pgsoftproxy.rewrite.verify import is_guarded
from tests.fix_servers import Database
from tests.rewrite.ground import CONTEXT, CORPUS, RULES, SCHEMA, Statement

BODIES = [
    statement
    for statement in CORPUS
    if not statement.before and not statement.sql.startswith(("COPY", "CREATE", "TABLE orders", "TRUNCATE"))
]
PRINTED_MERGE = 170000
"""Before, some versions fail to print a MERGE, so that none is asked for it."""


@pytest.fixture
def stage(database: Database) -> Iterator[Database]:
    """Give the database of the mutation test."""
    database.execute(SCHEMA)
    yield database


def policy_of(stage: Database) -> Policy:
    catalog = asyncio.run(load_catalog(stage.server.dsn(stage.name)))
    return compile_policy(RULES, {}, catalog)[0]


def function(name: str, statement: Statement) -> str:
    return (
        f"CREATE FUNCTION app.{name}() RETURNS int LANGUAGE sql BEGIN ATOMIC {statement.sql}; SELECT 1; END"
    )


def test_every_body_that_was_rewritten_is_proven_and_none_that_was_not(stage: Database) -> None:
    policy = policy_of(stage)
    known = [one for one in BODIES if policy.catalog.server_version >= one.since]
    rewritten: dict[str, Statement] = {}
    with psycopg.connect(stage.server.dsn(stage.name), options="-c search_path=app") as connection:
        for number, statement in enumerate(known):
            plan = rewrite(function(f"guarded_{number}", statement), policy, CONTEXT)
            if isinstance(plan, Refused):
                assert "ON CONFLICT" in statement.sql, plan.refusal
                continue
            if isinstance(plan, Forward):
                continue  # nothing protected in it
            connection.execute(plan.sql.encode())
            connection.execute(function(f"plain_{number}", statement).encode())
            rewritten[f"{number}"] = statement
        connection.commit()
    policy = policy_of(stage)
    assert len(rewritten) > 40
    for key, statement in rewritten.items():
        (guarded,) = policy.catalog.routines_by_name[f"guarded_{key}"]
        (plain,) = policy.catalog.routines_by_name[f"plain_{key}"]
        printed = policy.catalog.server_version >= PRINTED_MERGE or "MERGE" not in statement.sql
        assert (findings_of(guarded, policy) == ()) is printed, (statement.sql, guarded.definition)
        assert findings_of(plain, policy) != (), statement.sql


VIEWS = {
    "SELECT id FROM app.users WHERE deleted_at IS NULL": True,
    "SELECT id FROM app.users WHERE NOT deleted_at IS NOT NULL": False,
    "SELECT id FROM app.users WHERE deleted_at IS NULL OR id = 1": False,
    "SELECT id FROM app.users WHERE (deleted_at IS NULL AND id > 2) AND name IS NULL": True,
    "SELECT u.id FROM app.users u, app.orders deleted WHERE u.deleted_at IS NULL AND deleted.deleted_at IS NULL": True,
    "SELECT u.id FROM app.users u, app.orders o WHERE u.deleted_at IS NULL": False,
    "SELECT u.id FROM app.users u LEFT JOIN app.orders o ON o.deleted_at IS NULL WHERE u.deleted_at IS NULL": True,
    "SELECT u.id FROM app.users u LEFT JOIN app.orders o ON u.deleted_at IS NULL AND o.deleted_at IS NULL": False,
    "SELECT u.id FROM app.users u LEFT JOIN app.orders o ON true WHERE (u.deleted_at, o.deleted_at) IS NULL": False,
    "SELECT u.id FROM app.users u JOIN app.orders o ON o.user_id = u.id AND o.deleted_at IS NULL AND "
    "u.deleted_at IS NULL": True,
    "SELECT a.id FROM app.users a JOIN app.users b ON true WHERE a.deleted_at IS NULL AND a.deleted_at IS NULL": False,
    "SELECT users.id FROM app.users, other.users users_1 WHERE users.deleted_at IS NULL": True,
    "SELECT u.id FROM app.users u (id, a, b, c, d, deleted_at, e) WHERE u.deleted_at IS NULL": False,
    "SELECT (SELECT max(name) FROM app.users) AS m FROM app.orders WHERE deleted_at IS NULL": False,
    "SELECT l.id FROM app.logs l WHERE EXISTS (SELECT FROM app.users WHERE deleted_at IS NULL AND id = l.id)": True,
    "WITH u AS (SELECT * FROM app.users) SELECT id FROM u WHERE deleted_at IS NULL": False,
    "SELECT id FROM app.flags WHERE NOT gone": True,
    "SELECT id FROM app.flags WHERE gone IS FALSE": False,
    "SELECT id FROM app.flags WHERE gone": False,
    "SELECT id FROM app.names": False,
    "SELECT id FROM app.kept WHERE id IN (SELECT id FROM app.kept)": True,
    "SELECT id FROM app.kept WHERE id IN (SELECT id FROM app.names)": False,
    "SELECT id FROM ONLY app.vips WHERE deleted_at IS NULL GROUP BY id HAVING count(*) > 0": True,
    "SELECT u.id FROM (app.users u JOIN (SELECT) g ON u.deleted_at IS NULL) LEFT JOIN app.logs l ON l.id = u.id": True,
    "SELECT id FROM app.users TABLESAMPLE system (100) WHERE deleted_at IS NULL": True,
}


def test_a_view_is_taken_for_guarded_exactly_where_each_of_its_reads_is(stage: Database) -> None:
    for number, definition in enumerate(VIEWS):
        stage.execute(f"CREATE VIEW app.v{number} AS {definition}")
    policy = policy_of(stage)
    for number, (definition, guarded) in enumerate(VIEWS.items()):
        view = policy.catalog.find("app", f"v{number}")
        assert view is not None and view.oid in policy.exposing
        assert is_guarded(view, policy) is guarded, (definition, view.definition)


def test_a_view_stays_guarded_when_its_tables_columns_are_renamed(stage: Database) -> None:
    stage.execute(
        "CREATE VIEW app.v AS SELECT id, name FROM app.orders JOIN app.users USING (id, deleted_at)"
    )
    stage.execute("CREATE VIEW app.w AS SELECT u.id, u.name FROM app.users u WHERE u.deleted_at IS NULL")
    stage.execute("ALTER TABLE app.users RENAME COLUMN name TO title")
    policy = policy_of(stage)
    first, second = policy.catalog.find("app", "v"), policy.catalog.find("app", "w")
    assert first is not None and second is not None
    assert (is_guarded(first, policy), is_guarded(second, policy)) == (False, True)


def test_views_that_refer_to_each_other_in_a_circle_are_not_guarded(stage: Database) -> None:
    stage.execute("CREATE VIEW app.v AS SELECT id FROM app.users WHERE deleted_at IS NULL")
    stage.execute("CREATE VIEW app.w AS SELECT id FROM app.v")
    stage.execute(
        "CREATE OR REPLACE VIEW app.v AS SELECT w.id FROM app.w, app.users WHERE deleted_at IS NULL"
    )
    policy = policy_of(stage)
    for name in ("v", "w"):
        view = policy.catalog.find("app", name)
        assert view is not None
        assert not is_guarded(view, policy)


def test_a_view_in_which_a_rule_or_trigger_writes_is_noted(stage: Database) -> None:
    stage.execute("CREATE RULE r AS ON UPDATE TO app.names DO INSTEAD NOTHING")
    stage.execute("CREATE FUNCTION app.t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'")
    stage.execute("CREATE VIEW app.v AS SELECT id FROM app.users WHERE deleted_at IS NULL")
    stage.execute("CREATE TRIGGER t INSTEAD OF UPDATE ON app.v FOR EACH ROW EXECUTE FUNCTION app.t()")
    policy = policy_of(stage)
    ruled = {
        name for name in ("names", "v", "kept") if (one := policy.catalog.find("app", name)) and one.ruled
    }
    assert ruled == {"names", "v"}
    assert isinstance(rewrite("UPDATE kept SET name = 'x'", policy, CONTEXT), Forward)
    assert isinstance(rewrite("UPDATE v SET id = 1", policy, CONTEXT), Refused)
