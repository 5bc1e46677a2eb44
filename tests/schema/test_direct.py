"""What direct connections see once `migrate` has made row-level security and views."""

from collections.abc import Iterator
from itertools import product

import psycopg
import pytest

from tests.schema.migrating import STAMPED, Migration

STAMPS = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
TABLES = f"""
CREATE TABLE t (id int PRIMARY KEY, v int, {STAMPS});
CREATE TABLE p (id int, v int, {STAMPS}) PARTITION BY RANGE (v);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
INSERT INTO t SELECT n, n FROM generate_series(1, 5) AS n;
INSERT INTO p SELECT n, n FROM generate_series(1, 5) AS n;
"""
EDIT = (
    "CREATE FUNCTION edit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v := NEW.v + 1; RETURN NEW; END'"
)
EDITED = "CREATE TRIGGER edit BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION edit()"

DIRECT = ("--only", "rls", "--only", "view")
"""The kinds of step that these tests are about."""

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def secured(migration: Migration, role: str) -> Migration:
    """Give a database with row security on, whose tables the role may read and write."""
    migration.database.execute(TABLES)
    migration.configure(f'[tables."public.*"]\n{STAMPED}[roles.{role}]\nvisibility = ["all"]\n')
    migration.run(*DIRECT)
    migration.database.execute(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}")
    migration.database.execute(f"ALTER ROLE {role} LOGIN")
    return migration


@pytest.fixture
def direct(secured: Migration, role: str) -> Iterator[Connection]:
    """Give a direct connection of the role."""
    database = secured.database
    with psycopg.connect(database.server.dsn(database.name, role), autocommit=True) as connection:
        yield connection


def test_a_row_can_be_deleted_softly_and_is_gone_at_once(secured: Migration, direct: Connection) -> None:
    for table, stamp in product(("t", "p"), ("now()", "'2000-01-01'")):
        delete = f"UPDATE {table} SET deleted_at = {stamp} WHERE id < 3"
        with direct.transaction():
            assert direct.execute(delete.encode()).statusmessage == "UPDATE 2"
            assert direct.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (3,)
            assert direct.execute(f"UPDATE {table} SET v = v".encode()).statusmessage == "UPDATE 3"
        ids = direct.execute(f"SELECT id FROM {table} ORDER BY id".encode()).fetchall()
        assert (table, stamp, ids) == (table, stamp, [(3,), (4,), (5,)])
        secured.database.execute(f"UPDATE {table} SET deleted_at = NULL")


def test_a_deletion_may_return_and_be_edited_by_a_trigger(secured: Migration, direct: Connection) -> None:
    secured.database.execute(EDIT)
    for table in ("t", "p"):
        secured.database.execute(EDITED.format(table=table))
        delete = f"UPDATE {table} SET deleted_at = now() WHERE id = 1 RETURNING id, v"
        assert direct.execute(delete.encode()).fetchall() == [(1, 2)]
        assert direct.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (4,)


def test_a_deletion_may_move_a_row_to_another_partition(direct: Connection) -> None:
    assert direct.execute("UPDATE p SET deleted_at = now(), v = 15 WHERE id = 1").statusmessage == "UPDATE 1"
    assert direct.execute("SELECT count(*) FROM p2").fetchone() == (0,)


def test_an_upsert_and_a_merge_may_delete_softly(direct: Connection) -> None:
    direct.execute("INSERT INTO t VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET deleted_at = now()")
    direct.execute(
        "MERGE INTO t USING (VALUES (2)) AS s (i) ON t.id = s.i WHEN MATCHED THEN UPDATE SET deleted_at = now()"
    )
    assert direct.execute("SELECT array_agg(id ORDER BY id) FROM t").fetchone() == ([3, 4, 5],)


def test_a_role_that_may_sees_deleted_rows_when_it_asks(direct: Connection) -> None:
    direct.execute("UPDATE t SET deleted_at = now() WHERE id = 1")
    assert direct.execute("SELECT count(*) FROM t").fetchone() == (4,)
    assert direct.execute("/* pgsoftproxy: visibility=all */ SELECT count(*) FROM t").fetchone() == (5,)
    direct.execute("SET pgsoftproxy.visibility = 'all'")
    assert direct.execute("SELECT count(*) FROM t").fetchone() == (5,)


def test_a_role_that_may_not_does_not_see_them_though_it_asks(
    secured: Migration, role: str, direct: Connection
) -> None:
    secured.configure(f'[tables."public.*"]\n{STAMPED}')
    assert {step.split(":")[0] for step in secured.ids(*DIRECT)} == {"rls"}
    secured.run(*DIRECT)
    direct.execute("UPDATE t SET deleted_at = now() WHERE id = 1")
    direct.execute("SET pgsoftproxy.visibility = 'all'")
    assert direct.execute("SELECT count(*) FROM t").fetchone() == (4,)


def test_policies_of_the_applications_own_stay_in_force(migration: Migration, role: str) -> None:
    database = migration.database
    database.execute(
        f"{TABLES} ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON t USING (v > 2);"
        "CREATE POLICY idle ON p USING (false);"
        f"GRANT ALL ON t, p TO {role}; ALTER ROLE {role} LOGIN"
    )
    before = migration.dump()
    remarks = migration.plan("--rls")["remarks"]
    assert [remark["table"] for remark in remarks] == ["public.p"]
    migration.run("--rls")
    with psycopg.connect(database.server.dsn(database.name, role), autocommit=True) as connection:
        connection.execute("UPDATE t SET deleted_at = now() WHERE id = 3")
        assert connection.execute("SELECT array_agg(id ORDER BY id) FROM t").fetchone() == ([4, 5],)
    migration.run("--down")
    assert migration.dump() == before


def test_views_show_live_rows_with_the_rights_of_who_asks(secured: Migration, role: str) -> None:
    database = secured.database
    database.execute("UPDATE t SET deleted_at = now() WHERE id = 1")
    assert database.execute("SELECT count(*) FROM live_t") == [(4,)]
    assert database.execute("SELECT count(*) FROM live_p") == [(5,)]
    database.execute(f"REVOKE SELECT ON t FROM {role}; GRANT SELECT ON live_t TO {role}")
    with (
        psycopg.connect(database.server.dsn(database.name, role)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT FROM live_t")


def test_a_view_follows_its_tables_columns(secured: Migration) -> None:
    database = secured.database
    assert secured.ids(*DIRECT) == []
    database.execute("ALTER TABLE t ADD COLUMN w int DEFAULT 7")
    assert secured.ids(*DIRECT) == ["view:public.t"]
    secured.run(*DIRECT)
    assert database.execute("SELECT DISTINCT w FROM live_t") == [(7,)]


def test_a_name_that_is_taken_is_left_to_its_owner(migration: Migration) -> None:
    migration.database.execute(f"{TABLES} CREATE VIEW live_t AS SELECT 1 AS one")
    plan = migration.plan("--views")
    assert [step["id"] for step in plan["steps"] if step["kind"] == "view"] == ["view:public.p"]
    assert plan["remarks"] == [{"table": "public.t", "message": 'the name "live_t" is taken'}]


def test_row_security_and_views_go_on_the_way_back(migration: Migration) -> None:
    migration.database.execute(TABLES)
    before = migration.dump()
    migration.run("--rls", "--views")
    migration.run("--down")
    assert migration.dump() == before
