"""What the proxy refuses where the database does not act on keys, and lets pass where it does."""

from collections.abc import Callable

import psycopg
import pytest

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database
from tests.relations.twins import CONFIG, REQUIRE, equip

SCHEMA = """
CREATE TABLE shops (id int PRIMARY KEY);
CREATE TABLE users (
    id int PRIMARY KEY, shop int REFERENCES shops ON DELETE CASCADE,
    deleted_at timestamptz, deleted_by text, deletion_id uuid);
CREATE TABLE orders (
    id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE,
    deleted_at timestamptz, deleted_by text, deletion_id uuid);
INSERT INTO shops VALUES (1), (2);
INSERT INTO users VALUES (1, 1), (2, NULL);
INSERT INTO orders VALUES (1, 1), (2, 2)
"""

Start = Callable[..., RunningProxy]


DELETIONS = (
    "DELETE FROM users WHERE id = 1",
    "WITH gone AS (DELETE FROM users WHERE id = 1 RETURNING id) SELECT * FROM gone",
    "MERGE INTO users USING (VALUES (1)) AS v(id) ON users.id = v.id WHEN MATCHED THEN DELETE",
)


def test_deleting_a_parent_is_refused_where_its_triggers_are_missing(
    database: Database, requiring: RunningProxy
) -> None:
    database.execute(SCHEMA)
    with psycopg.connect(requiring.dsn(database.name), autocommit=True) as client:
        for statement in DELETIONS:
            with pytest.raises(psycopg.errors.FeatureNotSupported) as caught:
                client.execute(statement.encode())
            assert 'rows refer to table "public.users"' in str(caught.value)
            assert "pgsoftproxy migrate" in str(caught.value.diag.message_hint)
        assert client.execute("DELETE FROM orders WHERE id = 2").statusmessage == "DELETE 1"
        assert client.execute("UPDATE users SET shop = 2 WHERE id = 2").statusmessage == "UPDATE 1"


def test_with_the_triggers_deletions_go_down_and_stop_where_rows_would_be_removed(
    database: Database, requiring: RunningProxy
) -> None:
    database.execute(SCHEMA)
    equip(database.dsn)
    with psycopg.connect(requiring.dsn(database.name), autocommit=True) as client:
        assert client.execute("DELETE FROM users WHERE id = 2").statusmessage == "DELETE 1"
        assert client.execute("SELECT id FROM orders").fetchall() == [(1,)]
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="would physically remove rows"):
            client.execute("DELETE FROM shops WHERE id = 1")
        assert client.execute("DELETE FROM shops WHERE id = 2").statusmessage == "DELETE 1"
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            client.execute("INSERT INTO orders VALUES (3, 2)")


def test_a_table_may_leave_the_rows_that_refer_to_its_own_alone(
    database: Database, start_proxy: Start
) -> None:
    database.execute(SCHEMA)
    proxy = start_proxy(database, CONFIG + 'relations = "parent_only"', **REQUIRE)
    with psycopg.connect(proxy.dsn(), autocommit=True) as client:
        assert client.execute("DELETE FROM users WHERE id = 1").statusmessage == "DELETE 1"
        assert client.execute("SELECT id FROM orders ORDER BY id").fetchall() == [(1,), (2,)]


def test_a_soft_truncate_of_tables_that_refer_to_each_other_is_one_deletion(
    database: Database, start_proxy: Start
) -> None:
    database.execute(SCHEMA)
    stamps = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
    database.execute(f"CREATE TABLE bills (id int PRIMARY KEY, order_id int REFERENCES orders, {stamps})")
    database.execute("INSERT INTO bills VALUES (1, 1)")
    soft = f'{CONFIG}truncate = "soft"\n'
    proxy = start_proxy(database, soft, **REQUIRE)
    refused = pytest.raises(psycopg.errors.FeatureNotSupported, match="rows refer to table")
    with psycopg.connect(proxy.dsn(), autocommit=True) as client, refused:
        client.execute("TRUNCATE users, orders, bills")
    equip(database.dsn)
    proxy.reload()
    with psycopg.connect(proxy.dsn(), autocommit=True) as client:
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="cannot truncate a table referenced"):
            client.execute("TRUNCATE users, orders")
        assert client.execute("TRUNCATE users CASCADE").statusmessage == "TRUNCATE TABLE"
        for table in ("users", "orders", "bills"):
            assert client.execute(f"SELECT id FROM {table}".encode()).fetchall() == []
    deletions = " UNION ALL ".join(
        f"SELECT deletion_id FROM {table}" for table in ("users", "orders", "bills")
    )
    assert database.execute(f"SELECT count(*), count(DISTINCT deletion_id) FROM ({deletions}) AS d") == [
        (5, 1)
    ]
