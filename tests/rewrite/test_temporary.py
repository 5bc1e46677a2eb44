"""Temporary relations that shadow protected tables are named as such, so that nothing relies on their being there."""

from dataclasses import replace

import pytest

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.context import Context, SearchPath, Values, Variables
from pgsoftproxy.model.effects import (
    ChangesCatalog,
    ChangesTemporary,
    Effect,
    Transaction,
    TransactionVerb,
)
from pgsoftproxy.rewrite.plan import Outcome, Rewritten
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.rewrite.verify import verify
from tests.rewrite.example import context, policy

MADE = ChangesTemporary(frozenset(), frozenset({"users"}))
LOCAL = replace(MADE, local=True)
DROPPED = ChangesTemporary(frozenset({"users"}))


def shadowed(path: tuple[str, ...] = ("app", "public"), *, certain: bool = True) -> Context:
    """Return a context in which the session has a temporary relation `users`."""
    return context(path=path, certain=certain).after(MADE)


@pytest.mark.parametrize(
    ("sql", "sent"),
    [
        ("SELECT users.id FROM ONLY users", "SELECT users.id FROM ONLY pg_temp.users"),
        ("TABLE users", "TABLE pg_temp.users"),
        ('DELETE FROM "users" u', 'DELETE FROM pg_temp."users" u'),
        ("INSERT INTO users SELECT 1", "INSERT INTO pg_temp.users SELECT 1"),
        ("MERGE INTO users USING users b ON true WHEN MATCHED THEN DO NOTHING",
         "MERGE INTO pg_temp.users USING pg_temp.users b ON true WHEN MATCHED THEN DO NOTHING"),
        ("TRUNCATE logs, users", "TRUNCATE logs, pg_temp.users"),
        ("ALTER TABLE users DROP COLUMN deleted_at", "ALTER TABLE pg_temp.users DROP COLUMN deleted_at"),
        ("ALTER TABLE users RENAME TO orders", "ALTER TABLE pg_temp.users RENAME TO orders"),
        ("DROP TABLE x, /* users */ users, app.logs", "DROP TABLE x, /* users */ pg_temp.users, app.logs"),
        ("DROP TABLE IF EXISTS U&\"\\0075sers\" UESCAPE '\\', users CASCADE",
         "DROP TABLE IF EXISTS pg_temp.U&\"\\0075sers\" UESCAPE '\\', pg_temp.users CASCADE"),
        ("DROP FOREIGN TABLE users", "DROP FOREIGN TABLE pg_temp.users"),
        ("DROP VIEW IF EXISTS users", "DROP VIEW IF EXISTS pg_temp.users"),
        ("CREATE INDEX ON users (id)", "CREATE INDEX ON pg_temp.users (id)"),
        ("COPY users TO STDOUT", "COPY pg_temp.users TO STDOUT"),
        ("PREPARE p AS SELECT 1 FROM users", "PREPARE p AS SELECT 1 FROM pg_temp.users"),
        ("CREATE TABLE users (LIKE users)", "CREATE TABLE users (LIKE pg_temp.users)"),
        ("CREATE TABLE users AS SELECT * FROM users", "CREATE TABLE users AS SELECT * FROM pg_temp.users"),
        ("EXPLAIN CREATE TABLE users AS SELECT * FROM users",
         "EXPLAIN CREATE TABLE users AS SELECT * FROM pg_temp.users"),
        ("SELECT 1 INTO users FROM users", "SELECT 1 INTO users FROM pg_temp.users"),
    ],
)  # fmt: skip
def test_name_that_means_a_temporary_relation_gets_its_schema(sql: str, sent: str) -> None:
    plan = rewrite(sql, policy(), shadowed())
    assert isinstance(plan, Rewritten)
    assert plan.sql == sent
    assert plan.statements[0].guarded == ()


@pytest.mark.parametrize(
    "sql",
    ["SELECT id FROM app.users", "DELETE FROM app.users", "WITH users AS (SELECT 1) SELECT 1 FROM users"],
)
def test_other_names_mean_what_they_did(sql: str) -> None:
    assert rewrite(sql, policy(), shadowed()) == rewrite(sql, policy(), context())


def test_protected_table_is_dropped_under_its_own_name_no_more_than_before() -> None:
    (statement,) = rewrite("DROP TABLE app.users", policy(), shadowed()).statements
    assert statement.outcome is Outcome.REFUSED


@pytest.mark.parametrize("path", [("app", "pg_temp"), ("public", "app", "pg_temp")])
def test_relation_ahead_of_pg_temp_in_the_path_is_meant(path: tuple[str, ...]) -> None:
    sql = "SELECT id FROM users"
    assert rewrite(sql, policy(), shadowed(path)) == rewrite(sql, policy(), context(path=path))


def test_pg_temp_ahead_of_the_protected_table_hides_it() -> None:
    plan = rewrite("SELECT 1 FROM users", policy(), shadowed(("nowhere", "pg_temp", "app")))
    assert isinstance(plan, Rewritten)
    assert plan.sql == "SELECT 1 FROM pg_temp.users"


def test_path_that_is_not_known_makes_it_the_protected_table() -> None:
    (statement,) = rewrite("SELECT 1 FROM orders", policy(), shadowed(certain=False)).statements
    assert statement.guarded == ("app.orders",)
    (statement,) = rewrite("SELECT 1 FROM users", policy(), shadowed(certain=False)).statements
    assert statement.guarded == ("app.users",)


def test_checker_does_not_rely_on_a_temporary_relation_that_is_not_named_as_one() -> None:
    sent = Surroundings(policy(), shadowed(), sent=True)
    verify("SELECT 1 FROM pg_temp.users", sent)
    with pytest.raises(StatementRefused):
        verify("SELECT 1 FROM users", sent)


@pytest.mark.parametrize(
    ("sql", "effects"),
    [
        ("CREATE TEMP TABLE users (id int)", (MADE,)),
        ("CREATE TEMP TABLE IF NOT EXISTS users (id int) ON COMMIT DROP", (LOCAL,)),
        ("CREATE LOCAL TEMPORARY TABLE users ON COMMIT DROP AS SELECT 1", (LOCAL,)),
        ("CREATE TABLE pg_temp.users (id int)", (MADE,)),
        ("SELECT 1 INTO TEMP users", (MADE,)),
        ("CREATE TEMP VIEW users AS SELECT 1", (MADE,)),
        ("CREATE TEMP TABLE nobody_cares (id int)", ()),
        ("CREATE TABLE users (id int)", (ChangesCatalog(),)),
        ("EXPLAIN CREATE TEMP TABLE users AS SELECT 1", ()),
        ("DROP TABLE pg_temp.users", (ChangesCatalog(),)),
        ("DISCARD TEMP", (ChangesTemporary(None),)),
    ],
)
def test_statements_that_make_temporary_relations(sql: str, effects: tuple[Effect, ...]) -> None:
    (statement,) = rewrite(sql, policy(), context()).statements
    assert statement.effects == effects


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE users",
        "DROP TABLE pg_temp.users",
        "DROP TABLE pg_temp_3.users",
        "DROP VIEW x, users",
        "ALTER TABLE users RENAME TO x",
        "ALTER VIEW pg_temp.users RENAME TO x",
    ],
)
def test_statements_that_take_the_name_from_it(sql: str) -> None:
    (statement,) = rewrite(sql, policy(), shadowed()).statements
    assert DROPPED in statement.effects


def test_renaming_a_part_of_it_keeps_the_name() -> None:
    (statement,) = rewrite("ALTER TABLE users RENAME COLUMN a TO b", policy(), shadowed()).statements
    assert DROPPED not in statement.effects


BEGIN, COMMIT, ROLLBACK = map(
    Transaction, (TransactionVerb.BEGIN, TransactionVerb.COMMIT, TransactionVerb.ROLLBACK)
)
SAVEPOINT, BACK = Transaction(TransactionVerb.SAVEPOINT, "a"), Transaction(TransactionVerb.ROLLBACK_TO, "a")


@pytest.mark.parametrize(
    ("effects", "there"),
    [
        ((BEGIN, MADE), True),
        ((BEGIN, MADE, COMMIT), True),
        ((BEGIN, MADE, ROLLBACK), False),
        ((BEGIN, LOCAL), True),
        ((BEGIN, LOCAL, COMMIT), False),
        ((BEGIN, SAVEPOINT, MADE, BACK), False),
        ((BEGIN, MADE, COMMIT, BEGIN, DROPPED), False),
        ((BEGIN, MADE, COMMIT, BEGIN, DROPPED, ROLLBACK), True),
        ((BEGIN, MADE, COMMIT, BEGIN, DROPPED, LOCAL, COMMIT), False),
        ((BEGIN, MADE, COMMIT, ChangesTemporary(None)), False),
    ],
)
def test_temporary_relations_live_as_long_as_the_server_keeps_them(
    effects: tuple[Effect, ...], there: bool
) -> None:
    variables = Variables.at_start(Values("web", SearchPath(("app",))))
    for effect in effects:
        variables = variables.after(effect)
    assert ("users" in variables.current.temporary) is there
