"""Catalogs read inside the client's own transaction, before a real server: what it changes holds there at once."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.model.context import Grant, VisibilityMode
from pgsoftproxy.model.policy import Policy, TableRule, compile_policy
from pgsoftproxy.wire import frontend
from tests.fix_servers import Database
from tests.playbook import SYNC
from tests.session.real import Message, Through

parse, bind, execute, query = frontend.parse, frontend.bind, frontend.execute, frontend.query
RULES = (TableRule("app.*"), TableRule("public.*"))
TABLES = """
    CREATE SCHEMA app;
    CREATE TABLE app.users (id int PRIMARY KEY, deleted_at timestamptz);
    INSERT INTO app.users VALUES (1, NULL), (2, now()), (3, NULL);
    CREATE TABLE app.plain (id int, gone timestamptz);
    INSERT INTO app.plain VALUES (1, NULL), (2, now());
    CREATE TABLE app.parts (id int, deleted_at timestamptz) PARTITION BY LIST (id);
"""
USERS, PLAIN = b"SELECT id FROM app.users ORDER BY id", b"SELECT id FROM app.plain ORDER BY id"


class Migrating(Through):
    """A session whose policy is that of the real catalog."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.granted = {database.server.user: Grant(frozenset(VisibilityMode), hard_delete=True)}
        self.shared_versions = iter(range(1, 1000))
        super().__init__(database, self.refresh())
        self.rules = RULES

    def refresh(self) -> Policy:
        catalog = asyncio.run(load_catalog(self.database.server.dsn(self.database.name)))
        return compile_policy(RULES, self.granted, catalog, next(self.shared_versions))[0]

    def run(self, *texts: bytes) -> list[Message]:
        """Run each text as a Query of its own; return the answer to the last."""
        for text in texts:
            answer = self.ask(query(text))
        return answer

    def extended(self, text: bytes) -> list[Message]:
        """Run a text by Parse, Bind, Execute and Sync."""
        return self.ask(parse(b"", text) + bind(b"", b"") + execute(b"") + SYNC)


@pytest.fixture
def line(database: Database) -> Iterator[Migrating]:
    """Give a session on fresh tables."""
    database.execute(TABLES)
    with Migrating(database) as made:
        yield made


def ids(messages: list[Message]) -> list[int]:
    """Return the integers of a one-column result; an error fails the test."""
    assert not [message for message in messages if message.kind == "E"], messages
    return [int(message.body[6:]) for message in messages if message.kind == "D"]


def kinds(messages: list[Message]) -> str:
    """Return the types of messages as one word."""
    return "".join(message.kind for message in messages)


def tag(messages: list[Message]) -> str:
    """Return the command tag, or the SQLSTATE of the error."""
    (found,) = (message for message in messages if message.kind in "CE")
    return found.sqlstate if found.kind == "E" else found.body[:-1].decode()


ADD = b"ALTER TABLE app.plain ADD COLUMN deleted_at timestamptz"
MARK = b"UPDATE app.plain SET deleted_at = gone WHERE gone IS NOT NULL"


def test_table_that_gains_the_deletion_column_is_protected_in_the_same_transaction(line: Migrating) -> None:
    line.run(b"BEGIN", ADD, MARK)
    assert ids(line.run(PLAIN)) == [1]
    assert tag(line.run(b"DELETE FROM app.plain")) == "DELETE 1"
    line.run(b"COMMIT")
    assert ids(line.run(PLAIN)) == []
    assert line.database.execute("SELECT count(*) FROM app.plain") == [(2,)]


def test_rollback_takes_the_catalog_back(line: Migrating) -> None:
    line.run(b"BEGIN", ADD, MARK)
    assert ids(line.run(PLAIN)) == [1]
    line.run(b"ROLLBACK")
    assert ids(line.run(PLAIN)) == [1, 2]


def test_rollback_to_takes_the_catalog_back_to_its_savepoint(line: Migrating) -> None:
    line.run(b"BEGIN", b"CREATE TABLE app.first (id int, deleted_at timestamptz)")
    line.run(b"INSERT INTO app.first VALUES (1, NULL), (2, now())", b"SAVEPOINT a", ADD, MARK)
    assert ids(line.run(PLAIN)) == [1]
    reads = line.read_inside
    line.run(b"ROLLBACK TO a")
    assert ids(line.run(PLAIN)) == [1, 2]
    assert ids(line.run(b"SELECT id FROM app.first")) == [1]
    assert line.read_inside == reads, "the savepoint remembers what was known there"


def test_table_made_under_a_glob_is_protected_at_once_with_its_columns_known(line: Migrating) -> None:
    line.run(b"BEGIN", b"CREATE TABLE app.made (id int, deleted_at timestamptz)")
    line.run(b"INSERT INTO app.made VALUES (1, NULL), (2, now())")
    assert ids(line.run(b"SELECT n FROM app.made AS m (n, d)")) == [1]
    assert kinds(line.run(b"COPY app.made TO STDOUT")) == "HdcCZ"
    answer = line.run(b"DELETE FROM app.made RETURNING *")
    assert [message.body for message in answer if message.kind == "D"] == [b"\0\2\0\0\0\x011\xff\xff\xff\xff"]


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE {} PARTITION OF app.parts FOR VALUES IN (1, 2)",
        "CREATE TABLE {} () INHERITS (app.users)",
        "CREATE TABLE {} (id int, deleted_at timestamptz); ALTER TABLE app.parts ATTACH PARTITION {} DEFAULT",
        "CREATE TABLE {} (id int NOT NULL, deleted_at timestamptz); ALTER TABLE {} INHERIT app.users",
        "CREATE TABLE {} (LIKE app.users); ALTER TABLE {} INHERIT app.users",
    ],
)
def test_child_of_a_protected_table_is_protected_at_once(line: Migrating, made: str) -> None:
    line.run(b"CREATE SCHEMA side", b"BEGIN")
    for statement in made.format("side.child", "side.child").split("; "):
        line.run(statement.encode())
    line.run(b"INSERT INTO side.child VALUES (1, NULL), (2, now())")
    assert ids(line.run(b"SELECT id FROM side.child")) == [1]
    line.run(b"COMMIT")
    assert ids(line.run(b"SELECT id FROM side.child")) == [1]


def test_statements_that_name_nothing_of_interest_are_not_read_for(line: Migrating) -> None:
    line.run(b"CREATE TABLE app.versions (version text)")
    line.run(b"BEGIN", b"CREATE TABLE app.made (id int)", b"ALTER TABLE app.plain ADD COLUMN x int", ADD)
    line.run(b"INSERT INTO app.versions VALUES ('1')", b"UPDATE app.versions SET version = lower(version)")
    line.run(b"SELECT version() WHERE EXISTS (SELECT FROM app.versions)", b"INSERT INTO app.made VALUES (1)")
    assert line.read_inside == 0
    assert ids(line.run(b"SELECT id FROM app.made")) == [1]
    assert line.read_inside == 0, "a table without the deletion column"
    line.run(MARK)
    assert line.read_inside == 1
    line.run(b"CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT 1'", b"SELECT 1")
    assert line.read_inside == 2, "what functions do is not known by their names"


def test_many_statements_of_ddl_are_read_once(line: Migrating) -> None:
    line.run(b"BEGIN")
    for number in range(20):
        line.run(b"CREATE TABLE app.t%d (id int, deleted_at timestamptz)" % number)
        line.run(b"ALTER TABLE app.t%d ADD COLUMN x int" % number, b"CREATE INDEX ON app.t%d (x)" % number)
    line.run(b"SET LOCAL lock_timeout = '1s'", b"SHOW lock_timeout", b"SAVEPOINT a")
    assert line.read_inside == 0
    assert ids(line.run(b"SELECT count(x) FROM app.t1")) == [0]
    assert ids(line.run(b"SELECT count(x) FROM app.t2")) == [0]
    assert line.read_inside == 1


def test_unnamed_statement_and_portal_of_the_client_outlive_the_reading(line: Migrating) -> None:
    line.run(b"BEGIN")
    line.ask(parse(b"", USERS), bind(b"", b""), execute(b"", 1), SYNC)
    line.ask(parse(b"ddl", ADD), bind(b"ddl", b"ddl"), execute(b"ddl"), SYNC)
    line.ask(parse(b"read", b"SELECT id FROM app.plain"), SYNC)
    assert line.read_inside == 1
    assert ids(line.ask(execute(b""), SYNC)) == [3]
    assert ids(line.ask(bind(b"", b""), execute(b""), SYNC)) == [1, 3]


def test_pipeline_is_read_for_in_the_middle_of_it(line: Migrating) -> None:
    def one(text: bytes) -> bytes:
        return parse(b"", text) + bind(b"", b"") + execute(b"")

    answer = line.ask(one(b"BEGIN"), one(ADD), one(MARK), one(PLAIN), one(b"COMMIT"), SYNC)
    assert kinds(answer) == "12C12C12C12DC12CZ"
    assert ids(answer) == [1]


def test_names_that_are_not_ascii_come_through_whatever_the_encoding(line: Migrating) -> None:
    line.run(b"SET client_encoding = 'LATIN1'", b"BEGIN")
    line.run('CREATE TABLE app."größe" (id int, deleted_at timestamptz)'.encode("latin-1"))
    line.database.execute('CREATE TABLE app."日本" (id int)')
    line.run('INSERT INTO app."größe" VALUES (1, NULL), (2, now())'.encode("latin-1"))
    assert ids(line.run('SELECT id FROM app."größe"'.encode("latin-1"))) == [1]
    assert line.read_inside > 0


SETTINGS = (
    "search_path = evil, pg_catalog",
    "DateStyle = 'SQL, DMY'",
    "bytea_output = escape",
    "quote_all_identifiers = on",
    "IntervalStyle = sql_standard",
    "statement_timeout = '1ms'",
    "lock_timeout = '1ms'",
    "enable_hashjoin = off",
)


def test_settings_of_the_session_neither_matter_nor_change(line: Migrating) -> None:
    line.run(b"CREATE SCHEMA evil")
    line.run(b"CREATE FUNCTION evil.eq(name, name) RETURNS bool LANGUAGE sql AS 'SELECT false'")
    line.run(b"CREATE OPERATOR evil.= (FUNCTION = evil.eq, LEFTARG = name, RIGHTARG = name)")
    for setting in SETTINGS:
        name = setting.partition(" ")[0].encode()
        line.run(b"BEGIN", ADD, MARK, b"SET " + setting.encode(), b"ALTER TABLE app.plain ADD COLUMN x int")
        before = [message.body for message in line.run(b"SHOW " + name) if message.kind == "D"]
        reads = line.read_inside
        assert ids(line.run(PLAIN)) == [1], setting
        assert line.read_inside == reads + 1, setting
        assert [message.body for message in line.run(b"SHOW " + name) if message.kind == "D"] == before
        line.run(b"ROLLBACK")


def test_reading_that_fails_leaves_the_transaction_as_it_was(line: Migrating) -> None:
    line.run(b"BEGIN", ADD)
    with psycopg.connect(line.database.server.dsn(line.database.name)) as other:
        other.execute("LOCK TABLE pg_catalog.pg_inherits IN ACCESS EXCLUSIVE MODE")
        assert ids(line.run(USERS)) == [1, 3]
        line.run(b"SAVEPOINT a")
        assert tag(line.run(b"SELECT 1 FROM app.users AS u (a, b)")) == "0A000", "columns stay in doubt"
        assert line.read_inside == 0
    line.run(b"ROLLBACK TO a")
    assert tag(line.run(MARK)) == "UPDATE 1"
    assert line.read_inside == 1
    assert ids(line.run(PLAIN)) == [1]
    line.run(b"COMMIT")
    assert ids(line.run(PLAIN)) == [1]


def test_above_read_committed_the_catalog_stays_in_doubt(line: Migrating) -> None:
    line.run(b"BEGIN ISOLATION LEVEL REPEATABLE READ", b"ALTER TABLE app.users ADD COLUMN x int")
    assert ids(line.run(USERS)) == [1, 3]
    assert tag(line.run(b"SELECT 1 FROM app.users AS u (a, b)")) == "0A000"


def test_policy_that_changes_meanwhile_is_not_lost(line: Migrating) -> None:
    line.run(b"BEGIN", ADD, MARK)
    assert ids(line.run(PLAIN)) == [1]
    line.rules = (TableRule("app.users"),)
    line.session.policy_changed(line.policy)
    assert ids(line.run(PLAIN)) == [1, 2]
    assert line.read_inside == 2


def test_batch_that_ends_what_was_changed_is_not_planned_by_it(line: Migrating) -> None:
    line.run(b"SET pgsoftproxy.delete = 'hard'", b"BEGIN", b"ALTER TABLE app.users RENAME TO people")
    assert ids(line.run(b"SELECT id FROM app.people ORDER BY id")) == [1, 3]
    answer = line.run(b"ROLLBACK; SELECT id FROM app.users")
    assert [m.sqlstate for m in answer if m.kind == "E"] == ["0A000"]
    assert ids(line.run(USERS)) == [1, 3]


def test_client_cannot_tell_that_the_catalog_was_read(line: Migrating) -> None:
    line.run(b"BEGIN", b"SAVEPOINT mine", ADD)
    answer = line.extended(PLAIN)
    assert kinds(answer) == "12DDCZ"
    assert answer[-1].body == b"T"
    assert ids(line.run(b"SELECT count(*) FROM pg_prepared_statements")) == [0]
    assert tag(line.run(b"ROLLBACK TO _pgsoftproxy_catalog")) == "3B001"
    assert tag(line.run(b"ROLLBACK TO mine")) == "ROLLBACK"
    assert ids(line.run(PLAIN)) == [1, 2]


@pytest.mark.parametrize("begin", [b"BEGIN; ", b"", b"BEGIN ISOLATION LEVEL SERIALIZABLE; "])
def test_batch_guards_what_it_has_made_and_changed_itself(line: Migrating, begin: bytes) -> None:
    made = (
        b"CREATE TABLE app.made (id int PRIMARY KEY, deleted_at timestamptz); "
        b"INSERT INTO app.made VALUES (1), (2), (3) ON CONFLICT (id) DO NOTHING; "
        b"UPDATE app.made SET deleted_at = now() WHERE id = 2; DELETE FROM app.made WHERE id = 1; "
        b"SELECT id FROM app.made; " + ADD + b"; " + MARK + b"; " + PLAIN
    )
    answer = line.run(begin + made + (b"; COMMIT" if begin else b""))
    assert [int(message.body[6:]) for message in answer if message.kind == "D"] == [3, 1]
    assert not [message for message in answer if message.kind == "E"]
    assert line.database.execute("SELECT count(*) FROM app.made") == [(3,)]
    assert ids(line.run(b"SELECT id FROM app.made")) == [3]
    assert line.read_inside == 0


def test_pipeline_without_a_transaction_is_refused_what_it_cannot_know(line: Migrating) -> None:
    def one(text: bytes) -> bytes:
        return parse(b"", text) + bind(b"", b"") + execute(b"")

    answer = line.ask(one(ADD), one(MARK), SYNC)
    assert [message.sqlstate for message in answer if message.kind == "E"] == ["0A000"]
    answer = line.ask(one(b"ALTER TABLE app.users ADD x int"), one(USERS), SYNC)
    assert ids(answer) == [1, 3]


def test_transaction_above_read_committed_does_not_read_what_it_may_have_protected(line: Migrating) -> None:
    line.run(b"BEGIN ISOLATION LEVEL REPEATABLE READ", ADD)
    assert tag(line.run(MARK)) == "0A000"
    line.run(b"ROLLBACK")
    assert ids(line.run(PLAIN)) == [1, 2]
