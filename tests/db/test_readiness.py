"""What a database lacks of what the links of its policy need."""

import asyncio

import pytest

from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.db.readiness import with_links
from pgsoftproxy.model.links import KeyRule, Reaction
from pgsoftproxy.model.policy import Policy, Problem, TableRule, compile_policy
from tests.fix_servers import Database
from tests.relations.twins import equip

RULES = [TableRule("app.users"), TableRule("app.orders"), TableRule("app.events")]
SCHEMA = """
CREATE SCHEMA app;
CREATE TABLE app.shops (id int PRIMARY KEY);
CREATE TABLE app.users (id int PRIMARY KEY, shop int REFERENCES app.shops ON DELETE CASCADE, deleted_at timestamptz);
CREATE TABLE app.orders (
    id int PRIMARY KEY, user_id int REFERENCES app.users ON DELETE CASCADE, deleted_at timestamptz);
CREATE TABLE app.events (id int, day date, deleted_at timestamptz, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE app.events_all PARTITION OF app.events DEFAULT;
CREATE TABLE app.notes (
    event int, day date, FOREIGN KEY (event, day) REFERENCES app.events DEFERRABLE INITIALLY DEFERRED)
"""


def policy_of(database: Database, *keys: KeyRule) -> tuple[Policy, tuple[Problem, ...]]:
    catalog = asyncio.run(load_catalog(database.dsn))
    policy, _ = compile_policy(RULES, {}, catalog)
    return with_links(policy, keys)


def unready(database: Database) -> dict[str, str]:
    """Return what is missing by the name of the table."""
    policy, problems = policy_of(database)
    assert not problems
    return {policy.catalog.relations[oid].name: missing for oid, missing in policy.unready.items()}


def destroying(database: Database) -> set[str]:
    policy, _ = policy_of(database)
    return {policy.catalog.relations[oid].name for oid in policy.destroying}


@pytest.fixture
def equipped(database: Database) -> Database:
    database.execute(SCHEMA)
    equip(database.dsn, rules=RULES)
    return database


def test_without_triggers_no_parent_is_ready(database: Database) -> None:
    database.execute(SCHEMA)
    assert set(unready(database)) == {"users", "events", "events_all"}
    assert destroying(database) == {"shops"}


def test_with_all_of_them_every_parent_is_ready(equipped: Database) -> None:
    assert unready(equipped) == {}
    assert destroying(equipped) == set()


@pytest.mark.parametrize(
    ("change", "tables"),
    [
        ("ALTER TABLE app.users DISABLE TRIGGER pgsoftproxy_deleted", {"users"}),
        ("DROP TRIGGER pgsoftproxy_deleted ON app.events_all", {"events", "events_all"}),
        ("COMMENT ON TRIGGER pgsoftproxy_deleted ON app.users IS 'mine'", {"users"}),
        ("DROP INDEX app.users_pgsoftproxy_key", {"users"}),
        ("DROP FUNCTION pgsoftproxy.drain", {"users", "events", "events_all"}),
        ("ALTER TABLE app.orders ADD COLUMN deleted_by text", set()),
        ("ALTER TABLE app.orders RENAME COLUMN user_id TO owner", {"users"}),
        ("CREATE TABLE app.more (user_id int REFERENCES app.users)", {"users"}),
        (
            "CREATE OR REPLACE FUNCTION pgsoftproxy.drain(uuid, boolean) RETURNS void LANGUAGE sql AS ''",
            {"users", "events", "events_all"},
        ),
    ],
)
def test_what_was_changed_since_is_found(equipped: Database, change: str, tables: set[str]) -> None:
    equipped.execute(change)
    assert set(unready(equipped)) == tables


def test_a_parent_without_its_guard_would_destroy(equipped: Database) -> None:
    equipped.execute("ALTER TABLE app.users DISABLE TRIGGER pgsoftproxy_keep")
    assert destroying(equipped) == {"shops"}
    assert unready(equipped) == {}


def test_guards_need_the_function_that_they_call(equipped: Database) -> None:
    equipped.execute(
        "CREATE OR REPLACE FUNCTION pgsoftproxy.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'"
    )
    assert destroying(equipped) == {"shops"}
    assert unready(equipped) == {}


def test_a_rule_for_a_key_that_is_not_there_is_a_problem(equipped: Database) -> None:
    rules = [
        KeyRule("app.orders", "nothing", Reaction.CASCADE, origin="a:1"),
        KeyRule("app.orders", "declared", columns=("other",), references="app.users", origin="a:2"),
        KeyRule("app.orders", "declared", columns=("id",), references="app.nowhere", origin="a:3"),
        KeyRule("app.orders", "declared", columns=("id", "user_id"), references="app.users", origin="a:4"),
    ]
    _, problems = policy_of(equipped, *rules)
    assert [str(problem) for problem in problems] == [
        'a:1: table "app.orders" has no foreign key "nothing"',
        'a:2: key "declared" of table "app.orders" has no column "other"',
        f'a:3: table "app.nowhere" does not exist in database "{equipped.name}"',
        'a:4: key "declared" of table "app.orders" needs as many columns as it refers to (1)',
    ]
