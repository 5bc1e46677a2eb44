"""Deletions and new children above READ COMMITTED: which of them see each other, and what is left where they do not."""

from collections.abc import Iterator
from itertools import product

import psycopg
import pytest

from tests.fix_servers import Database
from tests.relations.twins import equip

STAMPS = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
SCHEMA = f"""
CREATE TABLE parents (id int PRIMARY KEY, v int, {STAMPS});
CREATE TABLE owned (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE, {STAMPS});
CREATE TABLE held (id int PRIMARY KEY, parent int REFERENCES parents, {STAMPS});
CREATE INDEX ON owned (parent); CREATE INDEX ON held (parent);
"""
DELETE = "UPDATE parents SET deleted_at = now() WHERE id = {n} AND deleted_at IS NULL"
BUSY = "UPDATE parents SET v = 1 WHERE id = {n}"
LOOK = "SELECT count(*) FROM parents, owned, held"
ORPHANS = """
SELECT count(*) FROM (TABLE owned UNION ALL TABLE held) AS c JOIN parents AS p ON p.id = c.parent
WHERE c.deleted_at IS NULL AND p.deleted_at IS NOT NULL AND p.id = {n}
"""
RC, RR, SERIALIZABLE = "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"
LEVELS = (RC, RR, SERIALIZABLE)
REFUSE = "ALTER DATABASE {} SET pgsoftproxy.refused_levels = 'repeatable read, serializable'"

Connection = psycopg.Connection[tuple[object, ...]]


class Family:
    """Two sessions on a database with parents and children."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.parents = 0
        self.one: Connection = psycopg.connect(database.dsn, autocommit=True)
        self.two: Connection = psycopg.connect(database.dsn, autocommit=True)

    def late(self, levels: tuple[str, str], earlier: list[str], statement: str) -> tuple[str, int]:
        """Let others commit between the snapshot of a transaction and its statement, all about a new parent.

        `levels` are that transaction's and that of the others. Return `ok` or the SQLSTATE, and how many live
        orphans are left.
        """
        self.parents += 1
        n = self.parents
        self.two.execute("INSERT INTO parents VALUES (%s)", (n,))
        self.one.execute(f"BEGIN ISOLATION LEVEL {levels[0]}".encode())
        self.one.execute(LOOK.encode())
        for text in earlier:
            self.two.execute(f"BEGIN ISOLATION LEVEL {levels[1]}".encode())
            self.two.execute(LOOK.encode())
            self.two.execute(text.format(n=n).encode())
            self.two.execute("COMMIT")
        try:
            self.one.execute(statement.format(n=n).encode())
            self.one.execute("COMMIT")
            answer = "ok"
        except psycopg.Error as error:
            self.one.execute("ROLLBACK")
            answer = error.sqlstate or "?"
        orphans = self.two.execute(ORPHANS.format(n=n).encode()).fetchall()
        return answer, int(str(orphans[0][0]))


@pytest.fixture
def family(database: Database) -> Iterator[Family]:
    database.execute(SCHEMA)
    equip(database.dsn)
    made = Family(database)
    with made.one, made.two:
        yield made


@pytest.mark.parametrize("table", ["owned", "held"])
def test_a_deletion_sees_children_that_were_committed_meanwhile(family: Family, table: str) -> None:
    for child in LEVELS:
        answer, orphans = family.late((RC, child), [f"INSERT INTO {table} VALUES ({{n}}, {{n}})"], DELETE)
        assert (answer, orphans) == ("ok" if table == "owned" else "23503", 0)
    both = family.late((SERIALIZABLE, SERIALIZABLE), [f"INSERT INTO {table} VALUES ({{n}}, {{n}})"], DELETE)
    assert both == ("40001", 0)


@pytest.mark.parametrize("table", ["owned", "held"])
def test_a_deletion_with_an_older_snapshot_does_not_see_them_unless_all_are_serializable(
    family: Family, table: str
) -> None:
    insert = [f"INSERT INTO {table} VALUES ({{n}}, {{n}})"]
    for levels in product((RR, SERIALIZABLE), LEVELS):
        if levels != (SERIALIZABLE, SERIALIZABLE):
            assert family.late(levels, insert, DELETE) == ("ok", 1)
    # Where the snapshot is the statement's own, nothing can be committed between.
    assert family.late((RR, RC), [], DELETE) == ("ok", 0)


@pytest.mark.parametrize("level", [RR, SERIALIZABLE])
def test_such_deletions_can_be_refused(database: Database, level: str) -> None:
    database.execute(REFUSE.format(database.name))
    database.execute(SCHEMA)
    equip(database.dsn)
    family = Family(database)
    insert = ["INSERT INTO owned VALUES ({n}, {n})"]
    with family.one, family.two:
        assert family.late((level, RC), insert, DELETE) == ("0A000", 0)
        assert family.late((RC, RC), insert, DELETE) == ("ok", 0)
        family.two.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
        with pytest.raises(psycopg.errors.FeatureNotSupported) as caught:
            family.two.execute("UPDATE parents SET deleted_at = now() WHERE id = 1")
    message = f'rows of table "public.parents" are not deleted softly under {level}'
    assert caught.value.diag.message_primary == message


def test_a_child_never_comes_to_a_parent_that_was_deleted_meanwhile(family: Family) -> None:
    insert = "INSERT INTO owned VALUES ({n}, {n})"
    for child, deletion, busy in product(LEVELS, LEVELS, ([], [BUSY])):
        expected = "23503" if child == RC else "40001"
        assert family.late((child, deletion), [*busy, DELETE], insert) == (expected, 0)


def test_the_servers_own_keys_see_them(database: Database) -> None:
    database.execute("CREATE TABLE parents (id int PRIMARY KEY); INSERT INTO parents VALUES (1)")
    database.execute(
        "CREATE TABLE owned (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE)"
    )
    with psycopg.connect(database.dsn) as one:
        one.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        one.execute("TABLE parents")
        database.execute("INSERT INTO owned VALUES (1, 1)")
        with pytest.raises(psycopg.errors.SerializationFailure):
            one.execute("DELETE FROM parents WHERE id = 1")
