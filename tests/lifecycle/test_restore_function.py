"""`pgsoftproxy.restore`, called on a direct connection: it does what the command does, in the caller's transaction."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from pgsoftproxy.model.policy import TableRule
from tests.lifecycle.restoring import COLUMNS, Lifecycle, deletion
from tests.relations.twins import equip

ID = deletion(1)


@pytest.fixture
def direct(lifecycle: Lifecycle) -> Iterator["Direct"]:
    with psycopg.connect(lifecycle.database.dsn, autocommit=True) as connection:
        yield Direct(connection)


@dataclass(frozen=True, slots=True)
class Direct:
    """A connection to the database itself."""

    connection: psycopg.Connection[Any]

    def restore(self, arguments: str) -> list[dict[str, Any]]:
        """Call the function; return its rows."""
        cursor = self.connection.cursor(row_factory=dict_row)
        return cursor.execute(f"SELECT * FROM pgsoftproxy.restore({arguments})".encode()).fetchall()

    def refused(self, arguments: str) -> psycopg.errors.Diagnostic:
        """Call the function; return the error that it must raise."""
        with pytest.raises(psycopg.Error) as caught:
            self.restore(arguments)
        return caught.value.diag


@dataclass(frozen=True, slots=True)
class Case:
    """A deletion, the arguments of the function that take it back, and those of the command."""

    table: str
    where: str
    arguments: str
    command: tuple[str, ...]


CASES = (
    Case("users", "id = 1", f"deletion => '{ID}'", ("--deletion", ID)),
    Case("users", "true", f"deletion => '{ID}'", ("--deletion", ID)),
    Case("users", "id = 1", "'users', '1'", ("users", "1")),
    Case("users", "id = 1", f"'users', '1', '{ID}'", ("users", "1", "--deletion", ID)),
    Case("items", "id = 4", "'public.items', '[1, 4]'", ("items", "1", "4")),
    Case("items", "id = 4", """'items', '{"id": 4, "shop": 1}'""", ("items", "1", "4")),
    Case("orders", "id > 2", "since => 'yesterday'", ("--since", "yesterday")),
    Case("users", "id = 2", "'users', since => '-infinity', until => 'infinity'", ("users", "--since", "-infinity")),
)  # fmt: skip


def test_it_brings_back_what_the_command_brings_back(shop: Lifecycle, direct: Direct) -> None:
    before = shop.live()
    for case in CASES:
        shop.delete(case.table, case.where)
        deleted = shop.live()
        command = shop.restore(*case.command, "--dry-run")
        dry = direct.restore(f"{case.arguments}, dry_run => true")
        assert shop.live() == deleted
        report = direct.restore(case.arguments)
        assert report == dry, case
        assert shop.live() == before, case
        names = ("rows", "asked", "below", "parents")
        told = [(row["table"], *(row[name] for name in names)) for row in command["tables"]]
        assert [(row["table_name"], *(row[name] for name in names)) for row in report if row["rows"]] == told
        assert sum(row["put_back"] for row in report) == sum(link["put_back"] for link in command["links"])
        assert shop.database.execute("SELECT count(*) FROM pgsoftproxy.journal") == [(0,)]
        assert direct.restore(case.arguments) == []


def test_a_child_of_a_deleted_parent_is_refused_unless_the_parents_come_too(
    shop: Lifecycle, direct: Direct
) -> None:
    before = shop.live()
    shop.delete("users", "id = 1")
    deleted = shop.live()
    for arguments in ("'items', '[1, 1]'", "'items', '[1, 1]', dry_run => true"):
        error = direct.refused(arguments)
        assert (error.sqlstate, error.message_primary) == (
            "23503",
            "nothing is restored: public.items id=1, shop=1: no live row of public.orders (id=2) "
            'for key "items_order_id_fkey"',
        )
    assert shop.live() == deleted
    report = direct.restore("'items', '[1, 1]', with_parents => true")
    assert [(row["table_name"], row["asked"], row["below"], row["parents"]) for row in report[:4]] == [
        ("public.users", 0, 0, 1), ("public.orders", 0, 0, 1), ("public.items", 1, 0, 0), ("public.notes", 0, 1, 0),
    ]  # fmt: skip
    assert report[4]["table_name"] == "public.reviews" and report[4]["put_back"] == 1
    direct.restore(f"deletion => '{ID}'")
    assert shop.live() == before


def test_taken_keys_are_named_and_nothing_comes_back(shop: Lifecycle, direct: Direct) -> None:
    shop.delete("users", "true")
    shop.database.execute("INSERT INTO users VALUES (9, 'ANN'), (8, 'Bob')")
    deleted = shop.live()
    error = direct.refused(f"deletion => '{ID}'")
    assert (error.sqlstate, error.message_primary) == (
        "23505",
        'nothing is restored: public.users id=1: its key in "users_email" is taken by row id=9; '
        'public.users id=2: its key in "users_email" is taken by row id=8',
    )
    assert shop.live() == deleted


def test_with_skip_what_is_in_conflict_is_left_out_with_all_below_it(shop: Lifecycle, direct: Direct) -> None:
    shop.delete("users", "true")
    shop.database.execute("INSERT INTO users VALUES (9, 'BOB')")
    deleted = shop.live()
    arguments = f"deletion => '{ID}', skip => true"
    command = shop.restore("--deletion", ID, "--skip", "--dry-run")
    dry = direct.restore(f"{arguments}, dry_run => true")
    assert shop.live() == deleted
    report = direct.restore(arguments)
    assert report == dry
    came = [(row["table_name"], row["rows"]) for row in report if row["rows"]]
    assert came == [(row["table"], row["rows"]) for row in command["tables"]]
    assert dict(came)["public.users"] == 2
    assert next(row["skipped"] for row in report if row["table_name"] == "public.users") == 1
    assert [row["id"] for row in shop.live()["users"]] == [1, 3, 9]


def test_a_query_says_by_a_predicate_which_rows_come_back(shop: Lifecycle, direct: Direct) -> None:
    before = shop.live()
    shop.delete("reviews", "true")
    query = """SELECT r.table_name, r.rows FROM reviews AS v, pgsoftproxy.restore('reviews', v.id::text) AS r
        WHERE v.deleted_at IS NOT NULL"""
    rows = shop.database.execute(query)
    assert rows == [("public.reviews", 1)] * len(before["reviews"])
    assert shop.live() == before


def test_with_skip_what_only_the_server_refuses_is_left_out(lifecycle: Lifecycle, direct: Direct) -> None:
    lifecycle.database.execute(f"""
        CREATE TABLE rooms (id int PRIMARY KEY, during int4range, {COLUMNS},
            EXCLUDE USING gist (during WITH &&) WHERE (deleted_at IS NULL));
        CREATE TABLE keys (id int PRIMARY KEY, room int REFERENCES rooms ON DELETE CASCADE, {COLUMNS});
        INSERT INTO rooms VALUES (1, '[1,5)'), (3, '[7,9)'); INSERT INTO keys VALUES (1, 1), (3, 3)""")
    equip(lifecycle.database.dsn)
    lifecycle.delete("rooms", "true")
    lifecycle.database.execute("INSERT INTO rooms VALUES (2, '[4,6)')")
    report = direct.restore(f"deletion => '{ID}', skip => true")
    assert [(row["table_name"], row["rows"], row["skipped"]) for row in report] == [
        ("public.rooms", 1, 1), ("public.keys", 1, 1),
    ]  # fmt: skip
    assert lifecycle.database.execute("SELECT id FROM rooms WHERE deleted_at IS NULL ORDER BY 1") == [
        (2,),
        (3,),
    ]
    assert lifecycle.database.execute("SELECT id FROM keys WHERE deleted_at IS NULL") == [(3,)]


def test_what_only_the_server_knows_is_its_own_error(lifecycle: Lifecycle, direct: Direct) -> None:
    lifecycle.database.execute(f"""
        CREATE TABLE rooms (id int PRIMARY KEY, during int4range, {COLUMNS},
            EXCLUDE USING gist (during WITH &&) WHERE (deleted_at IS NULL));
        INSERT INTO rooms VALUES (1, '[1,5)')""")
    equip(lifecycle.database.dsn)
    lifecycle.delete("rooms", "id = 1")
    lifecycle.database.execute("INSERT INTO rooms VALUES (2, '[4,6)')")
    assert direct.refused("'rooms', '1'").sqlstate == "23P01"
    assert lifecycle.database.execute("SELECT id FROM rooms WHERE deleted_at IS NULL") == [(2,)]


def test_it_is_undone_with_the_transaction_that_called_it(shop: Lifecycle, direct: Direct) -> None:
    before = shop.live()
    shop.delete("orders", "id = 1", 7)
    shop.delete("users", "id = 1", 1)
    deleted = shop.live()
    with direct.connection.transaction(force_rollback=True):
        assert direct.restore(f"deletion => '{ID}'")
        with direct.connection.transaction(force_rollback=True):
            assert direct.restore(f"deletion => '{deletion(7)}'")
        assert direct.connection.execute(
            "SELECT count(*) FROM orders WHERE deleted_at IS NULL"
        ).fetchall() == [(5,)]
        assert direct.restore(f"deletion => '{deletion(7)}'")
    assert shop.live() == deleted
    with direct.connection.transaction():
        direct.restore(f"deletion => '{ID}'")
        direct.restore(f"deletion => '{deletion(7)}'")
    assert shop.live() == before


def test_above_read_committed_a_row_that_came_back_meanwhile_ends_the_transaction(
    shop: Lifecycle, direct: Direct
) -> None:
    before = shop.live()
    shop.delete("users", "id = 1")
    direct.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    direct.connection.execute("SELECT count(*) FROM users")
    shop.restore("users", "1")
    assert direct.refused("'users', '1'").sqlstate == "40001"
    direct.connection.execute("ROLLBACK")
    assert shop.live() == before


def test_a_row_that_was_deleted_by_itself_before_stays_deleted(shop: Lifecycle, direct: Direct) -> None:
    shop.delete("orders", "id = 2", 7)
    before = shop.live()
    shop.delete("users", "id = 1", 1)
    direct.restore("'users', '1'")
    assert shop.live() == before


@pytest.fixture
def clerk(shop: Lifecycle) -> Iterator[str]:
    """Make a role that may log in and read nothing."""
    name = f"clerk_{uuid4().hex[:12]}"
    shop.database.execute(f"CREATE ROLE {name} LOGIN")
    yield name
    shop.database.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def test_who_may_call_it_needs_no_right_on_the_tables_and_is_named_in_the_ledger(
    shop: Lifecycle, clerk: str
) -> None:
    before = shop.live()
    shop.delete("orders", "id = 1")
    with psycopg.connect(shop.database.server.dsn(shop.database.name, user=clerk), autocommit=True) as client:
        caller = Direct(client)
        assert caller.refused("'public.orders', '1'").sqlstate == "42501"
        shop.database.execute(f"GRANT EXECUTE ON FUNCTION pgsoftproxy.restore TO {clerk}")
        shop.database.execute("CREATE TABLE more (id int PRIMARY KEY, deleted_at timestamptz)")
        ended, told = shop.command("migrate", "--yes", "--json")
        assert ended == 0 and "function:pgsoftproxy" in told  # made anew, it keeps who may
        assert caller.restore("'public.orders', '1'")[0]["rows"] == 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            client.execute("SELECT * FROM orders")
    assert shop.live() == {**before, "more": []}
    assert shop.database.execute("SELECT DISTINCT by_role FROM pgsoftproxy.ledger") == [(clerk,)]


def test_nobody_else_may_call_what_the_triggers_call(shop: Lifecycle, clerk: str) -> None:
    callable_by_all = f"""
        SELECT count(*), count(*) FILTER (WHERE has_function_privilege('{clerk}', oid, 'EXECUTE'))
        FROM pg_proc WHERE pronamespace = 'pgsoftproxy'::regnamespace"""
    [(functions, callable_ones)] = shop.database.execute(callable_by_all)
    assert functions > 10 and callable_ones == 0
    rights = "GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO"
    shop.database.execute(f"{rights} {clerk}")
    with psycopg.connect(shop.database.server.dsn(shop.database.name, user=clerk)) as client:
        assert client.execute("UPDATE users SET deleted_at = now() WHERE id = 1").rowcount == 1
        assert client.execute("SELECT count(*) FROM orders WHERE deleted_at IS NULL").fetchone() == (3,)


MEANINGLESS = (
    ("", "22023", "say which rows"),
    ("'users', with_parents => true", "22023", "say which rows"),
    ("key => '1'", "22023", "a key needs a table"),
    ("'nothing', '1'", "42P01", 'relation "nothing" does not exist'),
    ("'pg_class', '1'", "22023", "is not protected"),
    ("'items', '[1]'", "22023", 'the primary key of table "public.items" is (shop, id)'),
    ("'items', '{\"shop\": 1}'", "22023", 'the primary key of table "public.items" is (shop, id)'),
    ("'items', '[1, null]'", "22023", 'the primary key of table "public.items" is (shop, id)'),
    ("'items', '1 4'", "22P02", "invalid input syntax for type json"),
    ("'users', 'one'", "22P02", "invalid input syntax for type integer"),
    (f"'notes', deletion => '{ID}'", "22023", 'table "public.notes" does not note a deletion id'),
    ("deletion => 'one'", "22P02", "invalid input syntax for type uuid"),
)


def test_what_cannot_be_meant_is_refused(shop: Lifecycle, direct: Direct) -> None:
    shop.delete("users", "true")
    deleted = shop.live()
    for arguments, state, words in MEANINGLESS:
        error = direct.refused(arguments)
        assert (error.sqlstate, words in str(error.message_primary)) == (state, True), error.message_primary
    assert shop.live() == deleted


def test_tables_of_the_caller_cannot_stand_in_for_its_own(shop: Lifecycle, direct: Direct) -> None:
    shop.delete("users", "id = 1")
    deleted = shop.live()
    direct.connection.execute("CREATE TEMPORARY TABLE pgsoftproxy_links (link int, key text)")
    assert direct.refused(f"deletion => '{ID}'").sqlstate == "42P07"
    direct.connection.execute("DROP TABLE pgsoftproxy_links; CREATE TEMPORARY TABLE users (id int)")
    assert direct.restore("'public.users', '1'")
    assert shop.live() != deleted


def test_tables_in_a_cycle_in_partitions_and_with_odd_names_come_back(
    lifecycle: Lifecycle, direct: Direct
) -> None:
    lifecycle.database.execute(f"""
        CREATE SCHEMA "my app";
        CREATE TABLE "my app"."a.%s" (
            "i d" text PRIMARY KEY, key text, up text REFERENCES "my app"."a.%s" ON DELETE CASCADE, {COLUMNS});
        CREATE UNIQUE INDEX ON "my app"."a.%s" (lower(key)) WHERE deleted_at IS NULL;
        INSERT INTO "my app"."a.%s" VALUES ('it''s \\', 'A', NULL), ('below', 'B', 'it''s \\');
        CREATE TABLE a (id int PRIMARY KEY, b int, {COLUMNS});
        CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a ON DELETE CASCADE, {COLUMNS});
        ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
        INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1, 1), (2, 2); UPDATE a SET b = 3 - id;
        CREATE TABLE p (id int, part int, deleted_at timestamptz, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
        CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
        INSERT INTO p VALUES (1, 1), (2, 2), (3, 2);
        CREATE TABLE q (id int PRIMARY KEY, a int, b int, deleted_at timestamptz,
            FOREIGN KEY (a, b) REFERENCES p1 ON DELETE SET NULL);
        INSERT INTO q VALUES (1, 1, 1)""")
    rules = [TableRule("my app.*", deletion_id="deletion_id"), TableRule("public.*")]
    equip(lifecycle.database.dsn, rules=rules)
    before = lifecycle.live()
    odd = 'SELECT count(*) FROM "my app"."a.%s" WHERE deleted_at IS NULL'
    lifecycle.database.execute('UPDATE "my app"."a.%s" SET deleted_at = now() WHERE up IS NULL')
    lifecycle.database.execute("UPDATE a SET deleted_at = now() WHERE id = 1")
    lifecycle.database.execute("UPDATE p1 SET deleted_at = now(); UPDATE p2 SET deleted_at = now()")
    assert lifecycle.database.execute(odd) == [(0,)]
    assert direct.restore("""'"my app"."a.%s"', E'it\\'s \\\\'""")[0]["rows"] == 2
    assert lifecycle.database.execute(odd) == [(2,)]
    assert [row["rows"] for row in direct.restore("'b', '2'")] == [2, 2]
    assert [row["rows"] for row in direct.restore("'p2', '[2, 2]'")] == [1]
    assert lifecycle.live()["q"] == [{"id": 1, "a": None, "b": None}]
    [of_p, of_q] = direct.restore("'p1', since => '-infinity'")
    assert (of_p["table_name"], of_q["table_name"], of_q["put_back"]) == ("public.p", "public.q", 1)
    direct.restore("'p', '{\"part\": 2, \"id\": 3}'")
    assert lifecycle.live() == before
