"""Drivers' ways of preparing statements, by raw messages before a real server: message for message as without us."""

import struct

import pytest

from pgsoftproxy.wire import frontend
from tests.fix_servers import Database
from tests.playbook import SYNC
from tests.session.real import Line, Message, Through
from tests.session.test_real_server import ids, policy, tables, through

__all__ = ["tables", "through"]

parse, bind, execute, describe, close, query = (
    frontend.parse,
    frontend.bind,
    frontend.execute,
    frontend.describe,
    frontend.close,
    frontend.query,
)
READ = b"SELECT id FROM app.items WHERE id > $1 ORDER BY id"
INT8 = struct.pack(">hI", 1, 20)
UNTYPED = b"\0\0"


def values(*given: bytes) -> bytes:
    """Build what follows the names in a Bind, everything in text."""
    parts = b"".join(struct.pack(">I", len(value)) + value for value in given)
    return struct.pack(">hh", 0, len(given)) + parts + b"\0\0"


def use(name: bytes, *given: bytes) -> bytes:
    """Build Bind, Describe and Execute of a prepared statement by the unnamed portal."""
    return bind(b"", name, values(*given)) + describe(b"P", b"") + execute(b"")


def twin(line: Line) -> None:
    """Remove the deleted rows, so that a direct connection answers as a session should."""
    line.ask(query(b"DELETE FROM app.items WHERE deleted_at IS NOT NULL"))


def told(messages: list[Message]) -> list[tuple[str, object]]:
    """Return what a client is told, without the table that columns stem from."""
    return [message.told for message in messages]


JDBC = [
    (parse(b"S_1", b"BEGIN") + use(b"S_1") + parse(b"", READ, INT8) + describe(b"S", b""), use(b"", b"0")),
    (parse(b"S_2", READ, INT8) + describe(b"S", b"S_2"), use(b"S_2", b"1")),
    (parse(b"S_3", b"SAVEPOINT PGJDBC_AUTOSAVE") + use(b"S_3"), use(b"S_2", b"2")),
    (parse(b"", b"SELECT nope FROM app.items"), use(b"")),
    (parse(b"", b"ROLLBACK TO SAVEPOINT PGJDBC_AUTOSAVE"), use(b"")),
    (parse(b"S_4", b"DELETE FROM app.items WHERE id = $1", INT8) + describe(b"S", b"S_4"), use(b"S_4", b"2")),
    (use(b"S_4", b"2") + use(b"S_2", b"0"), use(b"S_4", b"5")),
    (close(b"S", b"S_2"), parse(b"S_2", b"SELECT count(*) FROM app.items", UNTYPED) + use(b"S_2")),
    (parse(b"S_5", b"ROLLBACK"), use(b"S_5")),
    (use(b"S_1") + use(b"S_2"), use(b"S_5")),
]


def test_jdbc_is_told_what_it_is_told_directly(tables: Database) -> None:
    with Line(tables) as direct:
        with Through(tables, policy(tables)) as line:
            answers = [told(line.ask(*step, SYNC)) for step in JDBC]
        twin(direct)
        assert answers == [told(direct.ask(*step, SYNC)) for step in JDBC]


NAMED = [
    query(b"PREPARE p (int) AS SELECT id FROM app.items WHERE id > $1 ORDER BY id"),
    query(b"EXECUTE p (1); SET search_path = app; EXECUTE p (2); EXPLAIN (COSTS OFF) EXECUTE p (2)"),
    use(b"p", b"0") + SYNC,
    query(b"PREPARE p AS SELECT 1"),
    parse(b"p", b"SELECT 1") + SYNC,
    query(b"BEGIN"),
    query(b"PREPARE q AS DELETE FROM items WHERE id = $1"),
    query(b"EXECUTE q (1)"),
    query(b"SELECT 1 / 0"),
    query(b"EXECUTE q (1)"),
    query(b"ROLLBACK"),
    query(b"EXECUTE q (3)"),
    query(b"DISCARD PLANS"),
    parse(b"e", b"EXECUTE q (2)") + use(b"e") + SYNC,
    query(b"DEALLOCATE q"),
    query(b"EXECUTE q (2)"),
    use(b"q", b"2") + SYNC,
    query(b"DEALLOCATE ALL; SELECT count(*) FROM pg_prepared_statements"),
]


def test_names_of_sql_and_of_the_protocol_are_the_servers(tables: Database) -> None:
    explained = 1  # the plan shows the guard
    with Line(tables) as direct:
        with Through(tables, policy(tables)) as line:
            answers = [told(line.ask(step)) for step in NAMED]
        tables.execute("UPDATE app.items SET deleted_at = NULL WHERE id <= 3")
        twin(direct)
        expected = [told(direct.ask(step)) for step in NAMED]
    for both in (answers, expected):
        both[explained] = [message for message in both[explained] if message[0] != "D"]
    assert answers == expected


@pytest.mark.parametrize("path", ["app, public", "public, app"])
def test_statement_of_each_kind_is_prepared_again_on_the_server(through: Through, path: str) -> None:
    through.ask(query(b"SET pgsoftproxy.visibility = 'all'; SET search_path = " + path.encode()))
    through.ask(query(b"PREPARE a (bigint) AS SELECT id FROM items WHERE id > $1 ORDER BY id"))
    through.ask(parse(b"b", b"SELECT id FROM items WHERE id > $1 ORDER BY id", INT8), SYNC)
    for visibility, rows in ((b"live", [2, 3]), (b"deleted", [4, 5]), (b"all", [2, 3, 4, 5])):
        through.ask(query(b"SET pgsoftproxy.visibility = '" + visibility + b"'"))
        assert ids(through.ask(query(b"EXECUTE a (1)"))) == rows
        assert ids(through.ask(use(b"b", b"1"), SYNC)) == rows
    for visibility, rows in ((b"live", [2, 3]), (b"all", [2, 3, 4, 5])):
        through.ask(query(b"SET pgsoftproxy.visibility = '" + visibility + b"'"))
        assert ids(through.ask(use(b"a", b"1"), SYNC)) == rows
    (known,) = [
        m.body for m in through.ask(query(b"SELECT count(*) FROM pg_prepared_statements")) if m.kind == "D"
    ]
    assert known.endswith(b"2")  # nothing of ours is left


def test_pipeline_prepares_again_where_its_own_set_is(through: Through) -> None:
    through.ask(
        query(b"PREPARE a AS SELECT id FROM app.items ORDER BY id"), parse(b"e", b"EXECUTE a"), SYNC, until=2
    )
    set_all = parse(b"", b"SET pgsoftproxy.visibility = 'all'") + bind(b"", b"") + execute(b"")
    answer = through.ask(use(b"e"), set_all, use(b"e"), use(b"a"), SYNC)
    assert ids(answer) == [1, 2, 3, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5]


ENCODINGS = [
    query(b"SET client_encoding = 'LATIN1'") + query("SELECT 'gr\u00f6\u00dfe' AS \"\u00f6\"".encode("latin-1")),
    query(b"BEGIN") + query(b"SET NAMES 'UTF8'") + query("SELECT '\u20ac'".encode()) + query(b"ROLLBACK"),
    query("SELECT '\u00e9', length('\u00e9')".encode("latin-1")),
    parse(b"", b"SET client_encoding = 'UTF8'") + bind(b"", b"") + execute(b"")
    + parse(b"s", "SELECT '\u00e9', length('\u00e9')".encode()) + use(b"s") + SYNC,
    query(b"RESET client_encoding") + query("SELECT length('\u00e9\u20ac')".encode()),
]  # fmt: skip


def test_texts_behind_a_change_of_encoding_are_read_as_the_server_reads_them(tables: Database) -> None:
    counts = [2, 4, 1, 1, 2]
    with Line(tables) as direct, Through(tables, policy(tables)) as line:
        for step, count in zip(ENCODINGS, counts, strict=True):
            assert told(line.ask(step, until=count)) == told(direct.ask(step, until=count))
