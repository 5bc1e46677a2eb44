"""Keys that refer to a partition, or to one table of an inheritance tree, whatever name its rows are deleted by."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database
from tests.lifecycle.restoring import RULES, Lifecycle, deletion
from tests.relations.test_triggers import fails, live
from tests.relations.twins import CONFIG, REQUIRE, equip

STAMPS = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
PARTS = f"""
CREATE TABLE p (id int, part int, {STAMPS}, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2, 3) PARTITION BY LIST (part);
CREATE TABLE p2a PARTITION OF p2 FOR VALUES IN (2);
CREATE TABLE p2b PARTITION OF p2 FOR VALUES IN (3);
INSERT INTO p SELECT n, part FROM generate_series(1, 3) AS n, generate_series(1, 3) AS part;
CREATE TABLE q (id int PRIMARY KEY, a int, b int, v text, {STAMPS});
"""
Start = Callable[..., RunningProxy]
JOURNAL = "SELECT key, was, became FROM pgsoftproxy.journal ORDER BY 1"


def made(database: Database, *keys: str, rows: str = "(1, 1, 1), (2, 2, 1)") -> Database:
    """Make the tables with some keys of q, in that order, and rows that refer to p."""
    references = "".join(f"ALTER TABLE q ADD FOREIGN KEY (a, b) REFERENCES {key};" for key in keys)
    database.execute(f"{PARTS} INSERT INTO q VALUES {rows}; {references}")
    equip(database.dsn)
    return database


def deleted(table: str, where: str) -> str:
    """Return the statement that deletes rows softly."""
    return f"UPDATE {table} SET deleted_at = now(), deletion_id = '{deletion(1)}' WHERE deleted_at IS NULL AND {where}"


def test_rows_of_a_partition_take_along_what_refers_to_it(database: Database) -> None:
    made(database, "p1 ON DELETE CASCADE")
    database.execute(deleted("p", "id IN (1, 3)"))
    assert live(database, "q") == [2]
    assert database.execute("SELECT deletion_id::text FROM q WHERE id = 1") == [(deletion(1),)]


def test_rows_of_a_partition_empty_the_links_to_it(database: Database) -> None:
    made(database, "p1 ON DELETE SET NULL")
    database.execute(deleted("p", "id = 1"))
    assert database.execute("SELECT id, a, b FROM q ORDER BY id") == [(1, None, None), (2, 2, 1)]
    assert database.execute(JOURNAL) == [({"id": 1}, {"a": 1, "b": 1}, {"a": None, "b": None})]


@pytest.mark.parametrize(
    ("name", "action"),
    [("p", "RESTRICT"), ("p1", "NO ACTION"), ("p", "NO ACTION DEFERRABLE INITIALLY DEFERRED")],
)
def test_rows_of_a_partition_are_held_by_what_refers_to_it(
    database: Database, name: str, action: str
) -> None:
    made(database, f"p1 ON DELETE {action}")
    error = fails(database, deleted(name, "id <= 2"))
    assert error.sqlstate in {"23503", "23001"} and error.diag.constraint_name == "q_a_b_fkey"
    assert str(error.diag.message_primary).startswith('update or delete on table "p1"')
    database.execute(deleted(name, "id = 3"))
    database.execute("UPDATE q SET deleted_at = now()")
    database.execute(deleted(name, "id <= 2"))
    assert live(database, "p1") == []


def test_rows_of_other_partitions_are_nothing_to_it(database: Database) -> None:
    database.execute(f"""
        CREATE TABLE p (id int, part int, {STAMPS}) PARTITION BY LIST (part);
        CREATE TABLE p1 PARTITION OF p (PRIMARY KEY (id)) FOR VALUES IN (1);
        CREATE TABLE p2 PARTITION OF p (PRIMARY KEY (id)) FOR VALUES IN (2);
        CREATE TABLE q (id int PRIMARY KEY, a int REFERENCES p1 ON DELETE CASCADE, {STAMPS});
        INSERT INTO p VALUES (1, 1), (1, 2); INSERT INTO q VALUES (1, 1)""")
    equip(database.dsn)
    database.execute(deleted("p", "part = 2"))
    assert live(database, "q") == [1]
    database.execute(deleted("p", "id = 1"))
    assert live(database, "q") == []


@pytest.mark.parametrize("name", ["p", "p2", "p2b"])
def test_a_partition_of_the_partition_counts_as_it(database: Database, name: str) -> None:
    made(database, "p2 ON DELETE CASCADE", rows="(1, 1, 3), (2, 1, 2), (3, 2, 3)")
    database.execute(deleted(name, "id = 1 AND part = 3"))
    assert live(database, "q") == [2, 3]


@pytest.mark.parametrize("name", ["p", "p2b"])
@pytest.mark.parametrize("action", ["CASCADE", "SET NULL"])
def test_keys_to_three_tables_of_one_tree_do_it_once(database: Database, name: str, action: str) -> None:
    keys = [f"{table} ON DELETE {action}" for table in ("p2b", "p", "p2")]
    made(database, *keys, rows="(1, 1, 3), (3, 2, 3)")
    database.execute("CREATE TABLE seen (old text, new text)")
    database.execute("""
        CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS
            $$BEGIN INSERT INTO seen VALUES (old::text, new::text); RETURN NULL; END$$;
        CREATE TRIGGER see AFTER UPDATE ON q FOR EACH ROW EXECUTE FUNCTION see()""")
    database.execute(deleted(name, "id = 1"))
    assert database.execute("SELECT count(*) FROM seen") == [(1,)]
    assert len(database.execute(JOURNAL)) == (action == "SET NULL")
    assert database.execute("SELECT count(*) FROM pgsoftproxy.queue") == [(0,)]


@pytest.mark.parametrize("tables", [("p", "p1"), ("p1", "p")])
@pytest.mark.parametrize("actions", [("CASCADE", "RESTRICT"), ("RESTRICT", "SET NULL")])
def test_of_keys_to_the_whole_and_a_part_the_first_decides(
    database: Database, tables: tuple[str, str], actions: tuple[str, str]
) -> None:
    keys = [f"{table} ON DELETE {action}" for table, action in zip(tables, actions, strict=True)]
    made(database, *keys)
    with psycopg.connect(database.dsn) as twin:  # what the server itself would do
        try:
            twin.execute("SET LOCAL pgsoftproxy.delete = 'hard'; DELETE FROM p WHERE id = 1")
            held = False
        except psycopg.errors.IntegrityError:
            held = True
        twin.rollback()
    assert held is (actions[0] == "RESTRICT")
    if held:
        assert fails(database, deleted("p", "id = 1")).sqlstate in {"23503", "23001"}
        assert live(database, "q") == [1, 2]
    else:
        database.execute(deleted("p", "id = 1"))
        assert database.execute("SELECT id FROM q WHERE a IS NULL OR deleted_at IS NOT NULL") == [(1,)]


def test_a_cascade_reaches_partitions_that_are_parents(database: Database) -> None:
    database.execute(f"CREATE TABLE r (id int PRIMARY KEY, {STAMPS}); INSERT INTO r VALUES (1), (2), (3)")
    made(database, "p1 ON DELETE CASCADE")
    database.execute(f"""
        ALTER TABLE p ADD FOREIGN KEY (id) REFERENCES r ON DELETE CASCADE;
        CREATE TABLE s (id int PRIMARY KEY, q int REFERENCES q ON DELETE SET NULL, {STAMPS});
        INSERT INTO s VALUES (1, 1), (2, 2)""")
    equip_again(database)
    database.execute(deleted("r", "id = 1"))
    assert live(database, "q") == [2]
    assert database.execute("SELECT id, q FROM s ORDER BY id") == [(1, None), (2, 2)]
    assert database.execute("SELECT DISTINCT deletion_id::text FROM pgsoftproxy.journal") == [(deletion(1),)]


def equip_again(database: Database) -> None:
    """Make what the links need anew."""
    database.execute("DROP SCHEMA pgsoftproxy CASCADE")
    equip(database.dsn)


def test_a_check_that_waits_on_the_whole_is_still_made_for_every_row(database: Database) -> None:
    made(database, "p DEFERRABLE", "p1 ON DELETE CASCADE", rows="(1, 1, 1), (2, 2, 1)")
    database.execute(
        "CREATE TABLE w (id int PRIMARY KEY, a int, b int, FOREIGN KEY (a, b) REFERENCES p DEFERRABLE)"
    )
    database.execute("INSERT INTO w VALUES (1, 2, 2)")
    equip_again(database)
    assert fails(database, deleted("p", "id = 2")).diag.constraint_name in {"q_a_b_fkey", "w_a_b_fkey"}
    assert fails(database, deleted("p", "id = 2 AND part > 1")).diag.constraint_name == "w_a_b_fkey"
    assert fails(database, f"SET CONSTRAINTS ALL DEFERRED; {deleted('p', 'id = 2')}").sqlstate == "23503"
    with psycopg.connect(database.dsn) as connection:
        connection.execute("SET CONSTRAINTS ALL DEFERRED")
        connection.execute(deleted("p", "id = 2").encode())
        connection.execute("DELETE FROM w")
    assert live(database, "p") == [1, 1, 1, 3, 3, 3]
    assert live(database, "q") == [1]


@pytest.mark.parametrize("name", ["top", "middle"])
def test_of_inherited_tables_only_the_one_that_is_referred_to_counts(database: Database, name: str) -> None:
    database.execute(f"""
        CREATE TABLE top (id int PRIMARY KEY, {STAMPS});
        CREATE TABLE middle (code int UNIQUE, PRIMARY KEY (id)) INHERITS (top);
        CREATE TABLE low (PRIMARY KEY (id)) INHERITS (middle);
        CREATE TABLE q (id int PRIMARY KEY, a int REFERENCES middle (code) ON DELETE CASCADE, {STAMPS});
        CREATE TABLE t (id int PRIMARY KEY, a int REFERENCES top ON DELETE SET NULL, {STAMPS});
        INSERT INTO top VALUES (1), (2); INSERT INTO middle (id, code) VALUES (1, 7), (2, 8);
        INSERT INTO low (id, code) VALUES (1, 8); INSERT INTO q VALUES (1, 7), (2, 8); INSERT INTO t VALUES (1, 1)""")
    equip(database.dsn)
    database.execute(f"UPDATE ONLY low SET deleted_at = now(); {deleted('low', 'true')}")
    assert (live(database, "q"), live(database, "top")) == ([1, 2], [1, 1, 2, 2])
    database.execute(deleted(name, "id = 1"))
    assert live(database, "q") == [2]
    assert database.execute("SELECT a FROM t") == [(None if name == "top" else 1,)]


def test_rows_of_inheritance_children_neither_refer_nor_are_referred_to(database: Database) -> None:
    database.execute(f"""
        CREATE TABLE top (id int PRIMARY KEY, {STAMPS}); CREATE TABLE low () INHERITS (top);
        CREATE TABLE q (id int PRIMARY KEY, a int REFERENCES top ON DELETE CASCADE,
          b int REFERENCES top ON DELETE SET NULL, c int REFERENCES top, {STAMPS});
        CREATE TABLE r () INHERITS (q);
        INSERT INTO top VALUES (1), (2); INSERT INTO low VALUES (1);
        INSERT INTO q VALUES (1, 1, 2), (2, 2, 1); INSERT INTO r VALUES (3, 1, 1, 1)""")
    equip(database.dsn)
    database.execute(deleted("ONLY top", "id = 1"))
    kept = database.execute("SELECT id, a, b, c FROM q WHERE deleted_at IS NULL ORDER BY id")
    assert kept == [(2, 2, None, None), (3, 1, 1, 1)]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        database.execute("INSERT INTO q VALUES (4, 1)")


def test_through_the_proxy_rows_of_a_partition_are_deleted_by_either_name(
    database: Database, start_proxy: Start
) -> None:
    made(database, "p1 ON DELETE CASCADE", "p ON DELETE CASCADE", rows="(1, 1, 1), (2, 2, 1), (3, 3, 1)")
    proxy = start_proxy(database, CONFIG, **REQUIRE)
    with psycopg.connect(proxy.dsn(), autocommit=True) as client:
        assert client.execute("DELETE FROM p WHERE id = 1").statusmessage == "DELETE 3"
        assert client.execute("DELETE FROM p1 WHERE id = 2").statusmessage == "DELETE 1"
        assert client.execute("SELECT id FROM q").fetchall() == [(3,)]
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            client.execute("INSERT INTO q VALUES (4, 1, 1)")


def test_without_its_triggers_a_partition_is_not_deleted_from_by_any_name(
    database: Database, start_proxy: Start
) -> None:
    made(database, "p1 ON DELETE CASCADE")
    [(name,)] = database.execute(
        "SELECT tgname::text FROM pg_trigger WHERE tgrelid = 'p1'::regclass AND tgname ~ '^pgsoftproxy_[0-9]_'"
    )
    database.execute(f"DROP TRIGGER {name} ON p1")
    proxy = start_proxy(database, CONFIG, **REQUIRE)
    with psycopg.connect(proxy.dsn(), autocommit=True) as client:
        for table in ("p", "p1"):
            with pytest.raises(psycopg.errors.FeatureNotSupported, match=name):
                client.execute(f"DELETE FROM {table}".encode())
        assert client.execute("DELETE FROM p2").statusmessage == "DELETE 6"


def test_what_a_partition_took_along_comes_back_with_its_row(database: Database, tmp_path: Path) -> None:
    lifecycle = Lifecycle(database, tmp_path / "p.toml")
    lifecycle.configure(RULES)
    database.execute(f"""
        {PARTS} INSERT INTO q VALUES (1, 1, 1), (2, 2, 1);
        CREATE TABLE n (id int PRIMARY KEY, a int, b int, {STAMPS}); INSERT INTO n VALUES (1, 1, 1);
        ALTER TABLE q ADD FOREIGN KEY (a, b) REFERENCES p1 ON DELETE CASCADE;
        ALTER TABLE q ADD FOREIGN KEY (a, b) REFERENCES p ON DELETE CASCADE;
        ALTER TABLE n ADD FOREIGN KEY (a, b) REFERENCES p1 ON DELETE SET NULL""")
    ended, _ = lifecycle.command("migrate", "--yes", "--json")
    assert ended == 0
    before = lifecycle.live()
    by_deletion = f"SELECT * FROM pgsoftproxy.restore(deletion => '{deletion(1)}')"
    by_key = "SELECT * FROM pgsoftproxy.restore('p', '[1, 1]')"
    ways = (
        lambda: lifecycle.restore("--deletion", deletion(1)),
        lambda: lifecycle.restore("p", "1", "1"),
        lambda: database.execute(by_deletion),
        lambda: database.execute(by_key),
    )
    for way in ways:
        database.execute(deleted("p", "id = 1 AND part = 1"))
        assert lifecycle.live()["q"] == [{"id": 2, "a": 2, "b": 1, "v": None}]
        assert lifecycle.live()["n"] == [{"id": 1, "a": None, "b": None}]
        way()
        assert lifecycle.live() == before
    ended, _ = lifecycle.command("migrate", "--down", "--yes", "--json")
    ours = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgsoftproxy%'"
    assert (ended, database.execute(ours)) == (0, [(0,)])
