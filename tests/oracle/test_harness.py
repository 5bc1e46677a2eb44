"""The oracle itself must notice: run it against the bare server, as if that were the proxy."""

from collections.abc import Iterator

import pytest

from tests.oracle.cases import Case, CaseError, Message, parse_cases
from tests.oracle.client import Address, Answer, Client, Column, Result
from tests.oracle.compare import (
    Naming,
    Terms,
    answer_differences,
    is_ordered,
    leaks,
    newly_deleted,
    state_differences,
    state_losses,
)
from tests.oracle.databases import Databases
from tests.oracle.harness import Harness

NAMING = Naming(lambda kind, oid: f"{kind} {oid}", lambda kind, oid: f"{kind} {oid}")


@pytest.fixture
def no_proxy(oracle: Harness) -> Iterator[Harness]:
    """Give a harness whose proxied side is the bare server; the databases are those of the real one."""
    databases: Databases = oracle.databases

    def connect(database: str, user: str) -> Client:
        return Client(Address(databases.host, databases.port, user, database))

    harness = Harness(databases, connect)
    yield harness
    harness.close()
    oracle.forget()


def found(harness: Harness, sql: str, protocol: str = "simple", **directives: str) -> str:
    case = Case("here", "a statement", 1, (Message(sql),), directives)
    return " ".join(harness.run(case, protocol).differences)


def test_a_deleted_row_in_a_read_is_noticed(no_proxy: Harness) -> None:
    differences = found(no_proxy, "SELECT id, name FROM app.users")
    assert "rows that should not be" in differences
    assert "a deleted value reached the client" in differences


def test_a_deleted_value_in_an_aggregate_is_noticed(no_proxy: Harness) -> None:
    assert "rows that are missing" in found(no_proxy, "SELECT sum(total) FROM app.orders", "extended")


def test_a_deleted_value_in_a_binary_copy_is_noticed(no_proxy: Harness) -> None:
    assert "a deleted value reached" in found(no_proxy, "COPY app.tasks TO STDOUT (FORMAT binary)")


def test_a_hard_delete_is_noticed(no_proxy: Harness) -> None:
    differences = found(no_proxy, "DELETE FROM app.accounts WHERE handle = 'alpha'")
    assert "protected tables have" in differences
    assert "stamped [], removed ['app.accounts" in differences


def test_an_update_of_a_deleted_row_is_noticed(no_proxy: Harness) -> None:
    differences = found(no_proxy, "UPDATE app.tasks SET title = 'x' WHERE id = 4")
    assert "tag 'UPDATE 1', not 'UPDATE 0'" in differences


def test_a_deleted_row_brought_back_is_noticed(no_proxy: Harness) -> None:
    differences = found(no_proxy, "DO 'BEGIN UPDATE app.tasks SET is_deleted = false; END'")
    assert "only in full: app.tasks" in differences


def test_a_statement_that_is_not_refused_is_noticed(no_proxy: Harness) -> None:
    assert "not refused" in found(no_proxy, "TRUNCATE app.memos", expect="refused 0A000")


def test_an_error_that_only_deleted_rows_cause_is_noticed(no_proxy: Harness) -> None:
    assert "22012" in found(no_proxy, "SELECT 1 / (age - 6661) FROM app.users")


def test_a_commit_is_noticed_and_undone_before_the_next_case(no_proxy: Harness) -> None:
    sql = "DELETE FROM app.logs WHERE id = 1"
    assert found(no_proxy, sql, transaction="none") == ""
    assert found(no_proxy, sql) == ""


def test_what_agrees_gives_no_difference(no_proxy: Harness) -> None:
    assert found(no_proxy, "SELECT * FROM app.logs") == ""


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        (Result(tag="DELETE 1"), Result(tag="UPDATE 1"), "tag"),
        (Result(rows=[(b"1",)], tag="x"), Result(rows=[(b"1",), (b"1",)], tag="x"), "missing"),
        (Result(copied=[b"1"], tag="x"), Result(copied=[], tag="x"), "should not be"),
        (Result(error={"C": "1", "M": "m"}), Result(error={"C": "1", "M": "n"}), "error field M"),
        (Result(error={"C": "1", "M": "m", "P": "5"}), Result(error={"C": "1", "M": "m"}), "error field P"),
        (Result(error={"C": "1", "M": "m"}), Result(tag="x"), "not success"),
        (Result((Column("a", 0, 0, 25, -1, 0),)), Result((Column("b", 0, 0, 25, -1, 0),)), "column"),
        (Result((Column("a", 0, 0, 25, -1, 0),)), Result((Column("a", 0, 0, 23, -1, 0),)), "regtype"),
        (Result((Column("a", 9, 1, 25, -1, 0),)), Result((Column("a", 9, 2, 25, -1, 0),)), "number"),
        (
            Result((Column("a", 99999, 1, 25, -1, 0),)),
            Result((Column("a", 88888, 1, 25, -1, 0),)),
            "regclass",
        ),
        (Result((Column("a", 0, 0, 25, -1, 0),)), Result(None), "columns"),
    ],
)
def test_answers_that_differ_are_told_apart(one: Result, other: Result, difference: str) -> None:
    lines = answer_differences(Answer([one]), Answer([other]), Terms(NAMING))
    assert difference in " ".join(lines)


def test_the_order_of_rows_counts_only_where_it_is_fixed() -> None:
    rows: list[tuple[bytes | None, ...]] = [(b"1",), (b"2",)]
    one, other = Answer([Result(rows=rows, tag="x")]), Answer([Result(rows=rows[::-1], tag="x")])
    assert answer_differences(one, other, Terms(NAMING)) == []
    assert answer_differences(one, other, Terms(NAMING, ordered=True)) != []
    assert is_ordered("SELECT 1; SELECT id FROM t ORDER BY id")
    assert is_ordered("SELECT 1 UNION SELECT 2 ORDER BY 1")
    assert not is_ordered("SELECT * FROM (SELECT id FROM t ORDER BY id) s")


def test_the_canary_is_found_in_text_and_in_hex() -> None:
    assert leaks(b"x CANARY-9d41 y") and leaks(b"\\x43414e4152592d39643431")
    assert leaks(b"x CANARY-") == []


def test_losses_are_told_from_moves() -> None:
    before = [("a", True, '{"id": 1}'), ("a", False, '{"id": 2}'), ("b", False, '{"id": 3}')]
    moved = [("b", True, '{"id": 1}'), ("a", False, '{"id": 2}'), ("b", False, '{"id": 3}')]
    assert state_losses(before, moved) == []
    assert "rows, had" in " ".join(state_losses(before, before[1:]))
    assert "was changed" in " ".join(state_losses(before, [before[0], before[1], ("b", False, '{"id": 4}')]))
    assert state_differences(before, before, moved) != []
    deleted = [("a", False, '{"id": 1, "deleted_at": "now"}'), *before[1:]]
    assert newly_deleted(before, deleted) == [("a", {"id": 1, "deleted_at": "now"})]


def test_the_format_reads_directives_messages_and_data() -> None:
    text = """-- path: app
-- case: one
-- expect: error 42703
SELECT 1
-- next
COPY t FROM STDIN
-- copy: plain
-- copy: "a\\tb\\n"
-- case: two
-- against: full
-- setup: SET x = 1
SELECT 2 -- not a directive
-- expect: this is SQL
-- direct:
SELECT 3
"""
    one, two = parse_cases("f", text)
    assert [message.sql for message in one.messages] == ["SELECT 1", "COPY t FROM STDIN"]
    assert one.messages[1].copy_in == b"plain\na\tb\n"
    assert (one.fails, one.refused, one.directives["path"], one.line) == ("42703", None, "app", 2)
    assert two.messages == (Message("SELECT 2 -- not a directive\n-- expect: this is SQL", None, "SELECT 3"),)
    assert two.setup == ("SET x = 1",) and two.directives["path"] == "app" and two.line == 9


def test_a_case_without_sql_is_an_error() -> None:
    with pytest.raises(CaseError, match="no SQL"):
        list(parse_cases("f", "-- case: empty\n-- expect: agree\n"))
