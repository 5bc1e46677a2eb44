"""`pgsoftproxy.restore` through the proxy: for roles that may, wherever the call stands, and while it is current."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database
from tests.lifecycle.restoring import RULES, Lifecycle
from tests.relations.twins import REQUIRE

SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, email text, deleted_at timestamptz, deleted_by text, deletion_id uuid);
CREATE UNIQUE INDEX users_email ON users (email) WHERE deleted_at IS NULL;
CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE,
    deleted_at timestamptz, deleted_by text, deletion_id uuid);
INSERT INTO users VALUES (1, 'a'), (2, 'b');
INSERT INTO orders VALUES (1, 1), (2, 1), (3, 2);
CREATE FUNCTION restore(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION sparing() RETURNS int LANGUAGE sql AS 'SELECT public.restore(7)';
"""
LATER = """
CREATE FUNCTION undo() RETURNS bigint LANGUAGE plpgsql
    AS $$ BEGIN RETURN (SELECT count(*) FROM pgsoftproxy.restore('public.users', '1')); END $$;
CREATE FUNCTION parsed() RETURNS bigint LANGUAGE sql
    BEGIN ATOMIC SELECT count(*) FROM pgsoftproxy.restore('public.users', '1'); END;
CREATE VIEW undoing AS SELECT * FROM pgsoftproxy.restore('public.users', '1');
"""
Start = Callable[..., RunningProxy]
CALL = "pgsoftproxy.restore('users', '1')"


@dataclass(frozen=True, slots=True)
class Shop:
    """A migrated database behind a proxy, and a role that may restore."""

    database: Database
    lifecycle: Lifecycle
    proxy: RunningProxy
    clerk: str

    def migrate(self) -> None:
        assert self.lifecycle.command("migrate", "--yes", "--json")[0] == 0

    def live(self) -> list[tuple[int, ...]]:
        """Return the ids of the live users, then of the live orders."""
        found = []
        for table in ("users", "orders"):
            rows = self.database.execute(f"SELECT id FROM {table} WHERE deleted_at IS NULL ORDER BY id")
            found.append(tuple(row[0] for row in rows))
        return found


@pytest.fixture
def shop(database: Database, start_proxy: Start, tmp_path: Path) -> Iterator[Shop]:
    clerk = f"clerk_{uuid4().hex[:12]}"
    lifecycle = Lifecycle(database, tmp_path / "p.toml")
    lifecycle.configure(RULES)
    database.execute(f"{SCHEMA} CREATE ROLE {clerk} LOGIN")
    assert lifecycle.command("migrate", "--yes", "--json")[0] == 0
    database.execute(f"{LATER} GRANT EXECUTE ON FUNCTION pgsoftproxy.restore TO {clerk}")
    database.execute(f"GRANT SELECT, UPDATE ON users, orders TO {clerk}")
    proxy = start_proxy(
        database, f"{RULES}[roles.{clerk}]\nrestore = true\n", **REQUIRE, logs={"audit": "log"}
    )
    yield Shop(database, lifecycle, proxy, clerk)
    database.execute(f"DROP OWNED BY {clerk}; DROP ROLE {clerk}")


REFUSED = (
    f"SELECT * FROM {CALL}",
    "SELECT pgsoftproxy.restore(key => '1', relation => 'users')",
    'SELECT "pgsoftproxy" . "restore"(since => now())',
    f"SELECT (SELECT rows FROM {CALL}) FROM orders",
    f"WITH r AS (SELECT * FROM {CALL}) SELECT count(*) FROM r",
    f"INSERT INTO orders SELECT 9 FROM {CALL}",
    f"UPDATE users SET email = 'c' WHERE EXISTS (SELECT FROM {CALL})",
    f"EXPLAIN ANALYZE SELECT * FROM {CALL}",
    f"PREPARE p AS SELECT * FROM {CALL}",
    f"CREATE TABLE made AS SELECT * FROM {CALL}",
    f"COPY (SELECT * FROM {CALL}) TO STDOUT",
    f"DO $$ BEGIN PERFORM {CALL}; END $$",
    "DO $$ BEGIN EXECUTE 'SELECT pgsoftproxy.restore(''users'', ''1'')'; END $$",
    "DO $$ BEGIN PERFORM restore(deletion => gen_random_uuid()); END $$",
    f"CREATE VIEW v AS SELECT * FROM {CALL}",
    f"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ SELECT {CALL} $$",
    f"CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM {CALL}; END",
    "SELECT undo()",
    "SELECT parsed()",
    "SELECT * FROM undoing",
    "/* pgsoftproxy: visibility=all */ SELECT undo()",
)


def test_each_call_is_recorded_with_the_deletion_that_its_text_names(shop: Shop) -> None:
    calls = ("pgsoftproxy.restore(deletion => '{}')", "pgsoftproxy.restore(deletion => '{}'::uuid)", CALL)
    deletions = []
    with psycopg.connect(shop.proxy.dsn(user=shop.clerk), autocommit=True) as clerk:
        for call in calls:
            clerk.execute("DELETE FROM users WHERE id = 1")
            deletions += [
                str(row[0]) for row in shop.database.execute("SELECT deletion_id FROM users WHERE id = 1")
            ]
            clerk.execute(f"SELECT * FROM {call.format(deletions[-1])}".encode())
            assert shop.live() == [(1, 2), (1, 2, 3)]
    told = [entry for entry in shop.proxy.logs() if entry.get("of") == "restore_called"]
    assert {(entry["user"], entry["kind"]) for entry in told} == {(shop.clerk, "select")}
    assert [entry.get("deletion_id") for entry in told] == [*deletions[:2], None]


def test_who_may_not_restore_is_refused_wherever_the_call_stands(shop: Shop) -> None:
    with psycopg.connect(shop.proxy.dsn(), autocommit=True) as client:
        assert client.execute("DELETE FROM users WHERE id = 1").rowcount == 1
        for statement in REFUSED:
            with pytest.raises(errors.InsufficientPrivilege) as caught:
                client.execute(statement.encode())
            assert "may not" in str(caught.value.diag.message_primary), statement
        client.execute("SET search_path = nowhere, pgsoftproxy, public")
        with pytest.raises(errors.InsufficientPrivilege):
            client.execute("SELECT restore('users', '1')")
        client.execute("RESET search_path")
        assert client.execute("SELECT restore(5), sparing()").fetchall() == [(5, 7)]
    assert shop.live() == [(2,), (3,)]


def test_the_refusal_comes_in_its_place_and_fails_the_transaction(shop: Shop) -> None:
    with psycopg.connect(shop.proxy.dsn(), autocommit=True) as client, client.pipeline():
        client.execute("BEGIN")
        deleted = client.execute("DELETE FROM users WHERE id = 1")
        refused = client.execute("SELECT * FROM pgsoftproxy.restore('users', '1')")
        with pytest.raises(errors.InsufficientPrivilege):
            refused.fetchall()
        assert deleted.statusmessage == "DELETE 1"
    assert shop.live() == [(1, 2), (1, 2, 3)]


def test_who_may_restores_in_a_transaction_of_his_own(shop: Shop) -> None:
    shop.database.execute("UPDATE orders SET deleted_at = '2020-01-01' WHERE id = 2")
    with (
        psycopg.connect(shop.proxy.dsn()) as owner,
        psycopg.connect(shop.proxy.dsn(user=shop.clerk)) as client,
    ):
        owner.execute("DELETE FROM users WHERE id = 1")
        owner.commit()
        for statement in (
            "DO $$ BEGIN PERFORM pgsoftproxy.restore(since => '2025-01-01'); END $$",
            f"SELECT * FROM {CALL}",
            "SET search_path = pgsoftproxy, public; SELECT restore('users', '1')",
        ):
            assert client.execute("SELECT id FROM users ORDER BY id").fetchall() == [(2,)]
            client.execute(statement.encode())
            assert client.execute("SELECT id FROM public.orders ORDER BY id").fetchall() == [(1,), (3,)]
            client.rollback()
        assert shop.live() == [(2,), (3,)]
        owner.execute("INSERT INTO users VALUES (4, 'a')")
        owner.commit()
        with pytest.raises(
            errors.UniqueViolation, match=r'public.users id=1: its key in "users_email" is taken'
        ):
            client.execute("SELECT * FROM pgsoftproxy.restore('users', %s)", ("1",))
        client.rollback()
        owner.execute("UPDATE users SET email = 'c' WHERE id = 4")
        owner.commit()
        rows = client.execute(
            "SELECT table_name, rows FROM pgsoftproxy.restore('users', %s)", ("1",)
        ).fetchall()
        assert rows == [("public.users", 1), ("public.orders", 1)]
        client.commit()
    assert shop.live() == [(1, 2, 4), (1, 3)]
    assert shop.database.execute("SELECT DISTINCT by_role FROM pgsoftproxy.ledger") == [(shop.clerk,)]


def test_it_is_refused_while_there_are_tables_that_it_does_not_know(shop: Shop) -> None:
    with (
        psycopg.connect(shop.proxy.dsn(), autocommit=True) as owner,
        psycopg.connect(shop.proxy.dsn(user=shop.clerk), autocommit=True) as client,
    ):
        owner.execute("DELETE FROM users WHERE id = 1")
        owner.execute("CREATE TABLE bills (id int PRIMARY KEY, deleted_at timestamptz)")
        with pytest.raises(errors.FeatureNotSupported) as caught:
            client.execute(f"SELECT * FROM {CALL}".encode())
        assert caught.value.diag.message_hint == "Run pgsoftproxy migrate."
        shop.migrate()
        owner.execute("CREATE TABLE unprotected (id int PRIMARY KEY)")
        assert client.execute(f"SELECT table_name FROM {CALL}".encode()).fetchall() == [
            ("public.users",), ("public.orders",),
        ]  # fmt: skip
