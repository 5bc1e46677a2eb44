"""What deleting a row softly does to the rows that refer to it, on direct connections."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel

from pgsoftproxy.model.links import KeyRule, Reaction, Unprotected
from tests.fix_servers import Database
from tests.relations.twins import RULE, equip
from tests.servers import Server

STAMPS = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
FAMILY = f"""
CREATE TABLE users (id int PRIMARY KEY, email text, {STAMPS});
CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE, {STAMPS});
CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE, {STAMPS});
CREATE TABLE reviews (id int PRIMARY KEY, author int REFERENCES users ON DELETE SET NULL, {STAMPS});
CREATE TABLE invoices (id int PRIMARY KEY, order_id int REFERENCES orders, {STAMPS});
CREATE TABLE logins (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE);
INSERT INTO users SELECT n, 'u' || n FROM generate_series(1, 3) AS n;
INSERT INTO orders SELECT n, 1 + n % 2 FROM generate_series(1, 6) AS n;
INSERT INTO items SELECT n, 1 + n % 6 FROM generate_series(1, 12) AS n;
INSERT INTO reviews VALUES (1, 1), (2, 2), (3, NULL);
INSERT INTO invoices VALUES (1, 1);
INSERT INTO logins VALUES (1, 1), (2, 2);
"""
ID = "11111111-1111-1111-1111-111111111111"
DELETE = f"SET deleted_at = now(), deleted_by = 'ann', deletion_id = '{ID}' WHERE deleted_at IS NULL AND"


@pytest.fixture
def family(database: Database) -> Database:
    database.execute(FAMILY)
    equip(database.dsn)
    return database


def live(database: Database, table: str) -> list[int]:
    """Return the ids of a table's live rows."""
    rows = database.execute(f"SELECT id FROM {table} WHERE deleted_at IS NULL ORDER BY id")
    return [row[0] for row in rows]


def fails(database: Database, statement: str) -> psycopg.Error:
    """Return the error of a statement."""
    with pytest.raises(psycopg.Error) as caught:
        database.execute(statement)
    return caught.value


def test_a_deletion_goes_down_with_the_stamps_of_its_root(family: Database) -> None:
    family.execute(f"UPDATE users {DELETE} id = 1")
    stamps = "SELECT DISTINCT deleted_by, deletion_id::text, deleted_at = (SELECT deleted_at FROM users WHERE id = 1)"
    assert live(family, "orders") == [1, 3, 5]
    assert live(family, "items") == [2, 4, 6, 8, 10, 12]
    for table in ("orders", "items"):
        assert family.execute(f"{stamps} FROM {table} WHERE deleted_at IS NOT NULL") == [("ann", ID, True)]


def test_an_emptied_link_is_noted_in_the_journal(family: Database) -> None:
    family.execute(f"UPDATE users {DELETE} id = 1")
    assert family.execute("SELECT id, author FROM reviews ORDER BY id") == [(1, None), (2, 2), (3, None)]
    journal = "SELECT deletion_id::text, link, table_name, key, was, became FROM pgsoftproxy.journal"
    assert family.execute(journal) == [
        (ID, "reviews_author_fkey", "reviews", {"id": 1}, {"author": 1}, {"author": None})
    ]


DEFAULTS = f"""
CREATE TABLE teams (id int PRIMARY KEY, {STAMPS});
CREATE TABLE users (id int PRIMARY KEY, team int REFERENCES teams ON DELETE CASCADE, {STAMPS});
CREATE TABLE tasks (id int PRIMARY KEY, team int DEFAULT 0 REFERENCES teams ON DELETE SET DEFAULT,
  author int REFERENCES users ON DELETE CASCADE, {STAMPS});
INSERT INTO teams VALUES (1), (2);
INSERT INTO users VALUES (10, 1), (20, 2);
INSERT INTO tasks VALUES (100, 1, 10), (200, 2, 10);
"""


def test_a_default_that_nothing_has_is_no_error_for_a_row_that_another_key_takes_along(
    database: Database,
) -> None:
    database.execute(DEFAULTS)
    equip(database.dsn)
    database.execute(f"UPDATE teams {DELETE} id = 1")
    assert [live(database, table) for table in ("teams", "users", "tasks")] == [[2], [20], []]
    assert database.execute("SELECT team FROM tasks ORDER BY id") == [(1,), (2,)]
    assert database.execute("SELECT count(*) FROM pgsoftproxy.queue") == [(0,)]


def test_a_default_that_nothing_has_is_the_servers_error_for_a_row_that_stays(database: Database) -> None:
    database.execute(DEFAULTS)
    equip(database.dsn)
    database.execute("INSERT INTO tasks VALUES (300, 1, 20)")
    error = fails(database, f"UPDATE teams {DELETE} id = 1")
    assert (error.sqlstate, error.diag.constraint_name) == ("23503", "tasks_team_fkey")
    assert error.diag.message_detail == 'Key (team)=(0) is not present in table "teams".'
    database.execute("INSERT INTO teams VALUES (0)")
    database.execute(f"UPDATE teams {DELETE} id = 1")
    assert database.execute("SELECT id, team FROM tasks WHERE deleted_at IS NULL") == [(300, 0)]


def test_a_check_has_the_servers_own_words_and_fields(family: Database, server: Server) -> None:
    error = fails(family, f"UPDATE users {DELETE} id = 2")
    diag = error.diag
    assert (error.sqlstate, diag.schema_name, diag.table_name, diag.constraint_name) == (
        "23503", "public", "invoices", "invoices_order_id_fkey",
    )  # fmt: skip
    assert diag.message_primary == (
        'update or delete on table "orders" violates foreign key constraint "invoices_order_id_fkey" '
        'on table "invoices"'
    )
    assert diag.message_detail == 'Key (id)=(1) is still referenced from table "invoices".'
    assert live(family, "users") == [1, 2, 3]


def test_rows_of_a_table_that_is_not_protected_are_kept(family: Database) -> None:
    family.execute(f"UPDATE users {DELETE} id = 1")
    assert family.execute("SELECT id FROM logins ORDER BY id") == [(1,), (2,)]


def test_rows_of_a_table_that_is_not_protected_are_removed_where_the_rule_says_so(database: Database) -> None:
    database.execute(FAMILY)
    rule = KeyRule("public.logins", "logins_user_id_fkey", unprotected=Unprotected.HARD)
    equip(database.dsn, [rule])
    database.execute(f"UPDATE users {DELETE} id = 1")
    assert database.execute("SELECT id FROM logins") == [(2,)]


@pytest.mark.parametrize(
    ("reaction", "orders", "sqlstate"),
    [
        (Reaction.PARENT_ONLY, [(2, 1), (4, 1), (6, 1)], None),
        (Reaction.SET_NULL, [(2, None), (4, None), (6, None)], None),
        (Reaction.RESTRICT, [(2, 1), (4, 1), (6, 1)], True),
        (Reaction.CASCADE, [], None),
    ],
)
def test_a_rule_overrides_the_action_of_a_key(
    database: Database, server: Server, reaction: Reaction, orders: list[Any], sqlstate: bool | None
) -> None:
    database.execute(FAMILY)
    equip(database.dsn, [KeyRule("public.orders", "orders_user_id_fkey", reaction)])
    statement = f"UPDATE users {DELETE} id = 1"
    if sqlstate:
        assert fails(database, statement).sqlstate == ("23001" if server.version >= 18 else "23503")
    else:
        database.execute(statement)
    found = database.execute(
        "SELECT id, user_id FROM orders WHERE deleted_at IS NULL AND id % 2 = 0 ORDER BY id"
    )
    assert found == orders


def test_declared_keys_are_honoured_also_polymorphic_ones(database: Database) -> None:
    database.execute(f"""
        CREATE TABLE users (id int PRIMARY KEY, {STAMPS});
        CREATE TABLE teams (id int PRIMARY KEY, {STAMPS});
        CREATE TABLE notes (id int PRIMARY KEY, owner_type text, owner_id int, {STAMPS});
        INSERT INTO users VALUES (1); INSERT INTO teams VALUES (1);
        INSERT INTO notes VALUES (1, 'User', 1), (2, 'Team', 1)""")
    equip(
        database.dsn,
        [
            KeyRule(
                "public.notes", f"owner_{name}", Reaction.CASCADE, columns=("owner_id",),
                references=f"public.{name}s", type_column="owner_type", type_value=name.capitalize(),
            )
            for name in ("user", "team")
        ],
    )  # fmt: skip
    database.execute(f"UPDATE users {DELETE} id = 1")
    assert live(database, "notes") == [2]
    assert fails(database, "INSERT INTO notes VALUES (3, 'User', 1)").sqlstate == "23503"
    database.execute("INSERT INTO notes VALUES (3, 'Team', 1)")


def test_a_chain_of_any_length_is_followed(database: Database) -> None:
    database.execute(f"""
        CREATE TABLE nodes (id int PRIMARY KEY, parent int REFERENCES nodes ON DELETE CASCADE, {STAMPS});
        INSERT INTO nodes SELECT n, NULLIF(n - 1, 0) FROM generate_series(1, 2000) AS n; CREATE INDEX ON nodes (parent)
    """)
    equip(database.dsn)
    database.execute(f"UPDATE nodes {DELETE} id = 1")
    assert live(database, "nodes") == []
    assert database.execute("SELECT count(*) FROM pgsoftproxy.queue") == [(0,)]


def test_a_live_row_cannot_come_to_refer_to_a_deleted_one(family: Database) -> None:
    family.execute(f"UPDATE users {DELETE} id = 1")
    error = fails(family, "INSERT INTO orders VALUES (9, 1)")
    assert (error.sqlstate, error.diag.constraint_name, error.diag.message_detail) == (
        "23503", "orders_user_id_fkey", 'Key (user_id)=(1) is not present in table "users".',
    )  # fmt: skip
    assert fails(family, "UPDATE orders SET user_id = 1 WHERE id = 1").sqlstate == "23503"
    assert fails(family, "UPDATE orders SET deleted_at = NULL WHERE id = 2").sqlstate == "23503"
    family.execute("INSERT INTO orders (id, user_id, deleted_at) VALUES (9, 1, now())")


def test_protected_rows_are_kept_from_delete_and_truncate(family: Database) -> None:
    family.execute(f"UPDATE users {DELETE} id = 1")
    for statement in (
        "DELETE FROM users WHERE id = 1",
        "TRUNCATE users CASCADE",
        "DELETE FROM items WHERE id = 2",
    ):
        assert fails(family, statement).sqlstate == "0A000"
    assert fails(family, "DELETE FROM users").diag.message_primary == (
        'DELETE would physically remove rows of protected table "public.users"'
    )
    family.execute("/* pgsoftproxy: delete=hard */ DELETE FROM items WHERE id = 1")
    family.execute("SET pgsoftproxy.delete = 'hard'; DELETE FROM items")
    assert family.execute("SELECT count(*) FROM items") == [(0,)]


def test_a_row_brought_back_is_noted_in_the_ledger(family: Database) -> None:
    family.execute(f"UPDATE users {DELETE} id = 1")
    family.execute("UPDATE users SET deleted_at = NULL, deleted_by = NULL, deletion_id = NULL WHERE id = 1")
    ledger = "SELECT table_name, key, deleted_by, deletion_id::text, by_role = SESSION_USER FROM pgsoftproxy.ledger"
    assert family.execute(ledger) == [("users", {"id": 1}, "ann", ID, True)]


@pytest.mark.parametrize("level", [IsolationLevel.READ_COMMITTED, IsolationLevel.SERIALIZABLE])
@pytest.mark.parametrize("first", ["insert", "delete"])
def test_a_new_child_and_a_deletion_wait_for_each_other(
    family: Database, level: IsolationLevel, first: str
) -> None:
    insert, delete = "INSERT INTO orders VALUES (9, 3)", f"UPDATE users {DELETE} id = 3"
    statements = [insert, delete] if first == "insert" else [delete, insert]
    with psycopg.connect(family.dsn) as one, psycopg.connect(family.dsn) as two, ThreadPoolExecutor() as pool:
        for connection in (one, two):
            connection.isolation_level = level
            connection.execute("SELECT FROM users, orders")
        one.execute(statements[0].encode())
        waiting = pool.submit(two.execute, statements[1].encode())
        blocked = f"SELECT pg_blocking_pids({two.info.backend_pid}) <> '{{}}'"
        while not family.execute(blocked)[0][0]:
            assert not waiting.done(), "the second did not wait"
        one.commit()
        try:
            waiting.result()
            two.commit()
            outcome = ""
        except psycopg.Error as error:
            outcome = error.sqlstate or "?"
            two.rollback()
    serializable = level is IsolationLevel.SERIALIZABLE
    assert outcome == ("40001" if serializable else "" if first == "insert" else "23503")
    orphans = """
        SELECT count(*) FROM orders AS o JOIN users AS u ON u.id = o.user_id
        WHERE o.deleted_at IS NULL AND u.deleted_at IS NOT NULL"""
    assert family.execute(orphans) == [(0,)]


def test_an_ordinary_update_of_a_parent_does_not_wait_for_new_children(family: Database) -> None:
    with psycopg.connect(family.dsn) as one, psycopg.connect(family.dsn) as two:
        one.execute("INSERT INTO orders VALUES (9, 3)")
        two.execute("SET lock_timeout = '2s'")
        two.execute("UPDATE users SET email = 'new' WHERE id = 3")


PARTITIONED = f"""
CREATE TABLE makers (id int PRIMARY KEY);
CREATE TABLE wares (id int, part int, maker int REFERENCES makers ON DELETE CASCADE, {STAMPS}) PARTITION BY LIST (part);
CREATE TABLE wares_1 PARTITION OF wares FOR VALUES IN (1);
CREATE TABLE wares_2 PARTITION OF wares FOR VALUES IN (2, 3) PARTITION BY LIST (part);
CREATE TABLE wares_2a PARTITION OF wares_2 FOR VALUES IN (2);
CREATE TABLE wares_2b PARTITION OF wares_2 FOR VALUES IN (3);
INSERT INTO makers VALUES (1), (2);
INSERT INTO wares SELECT n, n, 1 FROM generate_series(1, 3) AS n;
"""


@pytest.mark.parametrize("table", ["wares", "wares_1", "wares_2"])
def test_a_row_may_move_to_another_partition(database: Database, table: str) -> None:
    database.execute(PARTITIONED)
    equip(database.dsn)
    moves = {"wares": "part % 3 + 1", "wares_1": "1", "wares_2": "5 - part"}
    database.execute(f"UPDATE {table} SET part = {moves[table]}")
    assert database.execute("SELECT count(*) FROM wares") == [(3,)]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM wares",
        "DELETE FROM wares_1",
        "DELETE FROM wares_2 WHERE id = 2",
        "DELETE FROM ONLY wares_2a",
        "DELETE FROM makers WHERE id = 1",
        "WITH gone AS (DELETE FROM wares RETURNING 1) SELECT count(*) FROM gone",
        "MERGE INTO wares USING (VALUES (1)) AS s (i) ON id = i WHEN MATCHED THEN DELETE",
        "TRUNCATE wares_2",
        "TRUNCATE makers CASCADE",
    ],
)
def test_rows_of_partitions_are_kept(database: Database, statement: str) -> None:
    database.execute(PARTITIONED)
    equip(database.dsn)
    error = fails(database, statement)
    assert (error.sqlstate, "would physically remove rows of protected table" in str(error)) == (
        "0A000",
        True,
    )
    assert database.execute("SELECT count(*) FROM wares") == [(3,)]


@pytest.mark.parametrize("statement", ["DELETE FROM wares WHERE id = 9", "DELETE FROM makers WHERE id = 2"])
def test_a_delete_that_removes_no_row_of_a_partition_goes_on(database: Database, statement: str) -> None:
    database.execute(PARTITIONED)
    equip(database.dsn)
    database.execute(statement)


def test_rows_of_a_partition_that_is_protected_alone_are_kept(database: Database) -> None:
    database.execute(PARTITIONED)
    equip(database.dsn, rules=[replace(RULE, pattern="public.wares_2")])
    for statement in (
        "DELETE FROM wares WHERE id = 3",
        "DELETE FROM wares_2b",
        "DELETE FROM makers WHERE id = 1",
    ):
        assert fails(database, statement).sqlstate == "0A000"
    database.execute("DELETE FROM wares WHERE id = 1")
    assert database.execute("SELECT id FROM wares ORDER BY id") == [(2,), (3,)]
