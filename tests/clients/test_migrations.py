"""Migrations through the proxy, in the shapes that Rails, Django and Alembic give them: they see their own changes."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database

RULES = '[tables."app.*"]\n[roles.postgres]\nvisibility = ["live", "all"]\n'
TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.users (id int PRIMARY KEY, removed_on date);
INSERT INTO app.users VALUES (1, NULL), (2, '2026-01-01'), (3, NULL);
CREATE TABLE app.schema_migrations (version text PRIMARY KEY);
"""
LIVE = [(1,), (3,)]
USERS = "SELECT id FROM app.users ORDER BY id"


@pytest.fixture
def proxy(database: Database, start_proxy: Callable[..., RunningProxy]) -> Iterator[RunningProxy]:
    """A proxy before a database without a deletion column yet; its catalog is read on DDL only."""
    database.execute(TABLES)
    yield start_proxy(database, RULES, control={"refresh_interval": 3600})


@pytest.mark.parametrize("prepare", [False, True], ids=["unprepared", "prepared"])
def test_migration_in_a_transaction_protects_its_table_from_the_next_statement_on(
    proxy: RunningProxy, database: Database, prepare: bool
) -> None:
    with psycopg.connect(proxy.dsn(), prepare_threshold=0) as connection, connection.cursor() as cursor:
        cursor.execute(USERS, prepare=prepare)
        assert len(cursor.fetchall()) == 3
        cursor.execute("ALTER TABLE app.users ADD COLUMN deleted_at timestamptz", prepare=prepare)
        cursor.execute("UPDATE app.users SET deleted_at = removed_on", prepare=prepare)
        cursor.execute("INSERT INTO app.schema_migrations VALUES (%s)", ["20260101"], prepare=prepare)
        assert cursor.execute(USERS, prepare=prepare).fetchall() == LIVE
        cursor.execute("DELETE FROM app.users WHERE id = %s RETURNING *", [1], prepare=prepare)
        assert cursor.fetchall() == [(1, None, None)]
    with psycopg.connect(proxy.dsn()) as connection:
        assert connection.execute(USERS).fetchall() == [(3,)]
    assert database.execute("SELECT count(*) FROM app.users") == [(3,)]


def test_table_that_one_session_protects_is_protected_for_every_other_once_it_has_committed(
    proxy: RunningProxy,
) -> None:
    with (
        psycopg.connect(proxy.dsn(), autocommit=True) as other,
        psycopg.connect(proxy.dsn(), autocommit=True) as migrating,
    ):
        assert len(other.execute(USERS).fetchall()) == 3
        with migrating.transaction():
            migrating.execute("ALTER TABLE app.users ADD COLUMN deleted_at timestamptz")
            migrating.execute("UPDATE app.users SET deleted_at = removed_on")
        migrating.execute("SELECT 1")  # answered only once the catalog was read
        assert other.execute(USERS).fetchall() == LIVE
