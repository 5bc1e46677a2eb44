"""Named statements, portals and pipelines: what the extended protocol can do beyond one statement at a time."""

import pytest

from tests.oracle.client import Step
from tests.oracle.compare import Naming, Origins, Terms, answer_differences, leaks, state_differences
from tests.oracle.databases import FULL, OWNER, TWIN
from tests.oracle.harness import Harness, read_state

SYNC: Step = ("sync",)


def run(name: str, *values: str, rows: str = "0") -> list[Step]:
    """Return the steps that run a prepared statement with values."""
    return [("bind", "", name, *values), ("describe", "P", ""), ("execute", "", rows)]


CONVERSATIONS: dict[str, list[list[Step]]] = {
    "a named read used twice": [
        [
            ("parse", "s", "SELECT id, name FROM app.users WHERE id > $1 ORDER BY id"),
            ("describe", "S", "s"),
            SYNC,
        ],
        [*run("s", "3"), SYNC],
        [*run("s", "8"), *run("s", "0"), SYNC],
    ],
    "a named delete used until nothing is left": [
        [("parse", "d", "DELETE FROM app.items WHERE order_id = $1 RETURNING id, deleted_at"), SYNC],
        [*run("d", "100"), SYNC],
        [*run("d", "100"), *run("d", "102"), SYNC],
    ],
    "an unnamed delete executed twice": [
        [
            ("parse", "", "DELETE FROM app.tasks WHERE id = $1"),
            *run("", "1"),
            *run("", "2"),
            *run("", "4"),
            SYNC,
        ],
    ],
    "a portal read in parts": [
        [
            ("parse", "", "SELECT id FROM app.users ORDER BY id"),
            ("bind", "p", ""),
            ("describe", "P", "p"),
            ("execute", "p", "3"),
            ("execute", "p", "3"),
            ("execute", "p", "0"),
            ("execute", "p", "0"),
            SYNC,
        ],
    ],
    "a delete with RETURNING read in parts": [
        [
            ("parse", "", "DELETE FROM app.orders RETURNING id, deleted_at"),
            ("bind", "p", ""),
            ("execute", "p", "2"),
            ("execute", "p", "0"),
            SYNC,
        ],
    ],
    "a pipeline of reads and writes": [
        [
            ("parse", "", "SELECT count(*) FROM app.orders"),
            *run(""),
            ("parse", "", "DELETE FROM app.orders WHERE id < $1"),
            *run("", "102"),
            ("parse", "", "SELECT count(*) FROM app.orders"),
            *run(""),
            ("parse", "", "UPDATE app.orders SET note = $1 WHERE id IN (100, 103, 105)"),
            *run("", "piped"),
            SYNC,
        ],
    ],
    "an error in a pipeline skips what follows": [
        [
            ("parse", "", "DELETE FROM app.tasks WHERE id = 1"),
            *run(""),
            ("parse", "", "SELECT nope FROM app.users"),
            *run(""),
            ("parse", "", "DELETE FROM app.tasks"),
            *run(""),
            SYNC,
        ],
    ],
    "an error while a pipeline runs": [
        [("query", "SAVEPOINT a")],
        [
            ("parse", "x", "SELECT 1 / (id - 5) FROM app.users WHERE id = $1"),
            *run("x", "6"),
            *run("x", "5"),
            *run("x", "7"),
            SYNC,
            ("query", "ROLLBACK TO a"),
        ],
        [*run("x", "8"), SYNC],
    ],
    "several syncs in one write": [
        [
            ("parse", "a", "SELECT count(*) FROM app.memos"),
            SYNC,
            *run("a"),
            SYNC,
            ("parse", "b", "DELETE FROM app.memos WHERE id = 1"),
            *run("b"),
            SYNC,
            *run("a"),
            SYNC,
        ],
    ],
    "queries and extended messages mixed": [
        [
            ("query", "SELECT count(*) FROM app.tasks"),
            ("parse", "t", "DELETE FROM app.tasks WHERE id = $1"),
            *run("t", "2"),
            SYNC,
            ("query", "DELETE FROM app.tasks WHERE id = 3; SELECT id FROM app.tasks ORDER BY id"),
        ],
    ],
    "a closed name used for another statement": [
        [("parse", "n", "DELETE FROM app.tasks WHERE id = $1"), *run("n", "1"), SYNC],
        [("close", "S", "n"), ("parse", "n", "UPDATE app.tasks SET title = $1"), *run("n", "closed"), SYNC],
    ],
    "a name in use is not taken by a second Parse": [
        [("parse", "n", "DELETE FROM app.tasks WHERE id = $1"), SYNC, ("query", "SAVEPOINT a")],
        [("parse", "n", "UPDATE app.tasks SET title = 'x' WHERE id = $1"), SYNC, ("query", "ROLLBACK TO a")],
        [*run("n", "1"), SYNC],
    ],
    "a name whose Parse failed is not there": [
        [("query", "SAVEPOINT a")],
        [("parse", "n", "SELECT nope FROM app.users"), SYNC, ("query", "ROLLBACK TO a")],
        [*run("n"), SYNC],
    ],
    "a prepared statement of SQL bound by the protocol": [
        [("query", "PREPARE sqlp AS DELETE FROM app.items WHERE id = $1")],
        [*run("sqlp", "1000"), SYNC],
        [("query", "EXECUTE sqlp (1001)")],
    ],
    "a statement of the protocol executed by SQL": [
        [("parse", "wirep", "DELETE FROM app.items WHERE id = $1"), SYNC],
        [("query", "EXECUTE wirep (1000)"), ("query", "EXECUTE wirep (1006)")],
        [("query", "DEALLOCATE wirep")],
    ],
    "a named cursor and a portal of one name": [
        [
            ("query", "DECLARE c CURSOR FOR SELECT * FROM app.tasks ORDER BY id FOR UPDATE"),
            ("query", "FETCH 2 c"),
        ],
        [("parse", "", "DELETE FROM app.tasks WHERE CURRENT OF c RETURNING *"), *run(""), SYNC],
        [("describe", "P", "c"), ("execute", "c", "0"), SYNC],
    ],
    "an empty text and a statement without an answer": [
        [("parse", "", ""), *run(""), ("parse", "", "SET LOCAL work_mem = '5MB'"), *run(""), SYNC],
        [("parse", "", "-- only a comment"), *run(""), SYNC],
    ],
    "a described delete that is never run": [
        [("parse", "d", "DELETE FROM app.users WHERE id = $1 RETURNING *"), ("describe", "S", "d"), SYNC],
        [("parse", "e", "DELETE FROM app.users WHERE id = $1"), ("describe", "S", "e"), SYNC],
    ],
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_goes_as_with_the_twin(oracle: Harness, name: str) -> None:
    proxied, direct = oracle.client("proxied", FULL, OWNER), oracle.client("direct", TWIN, OWNER)
    terms = Terms(Naming(lambda _, oid: str(oid), lambda _, oid: str(oid)), True, Origins.EQUAL_OR_NONE)
    found: list[str] = []
    for client in (proxied, direct):
        client.query("BEGIN")
    try:
        for steps in CONVERSATIONS[name]:
            answer, expected = proxied.exchange(steps), direct.exchange(steps)
            found += [*answer_differences(answer, expected, terms), *leaks(bytes(answer.raw))]
        if answer.status.endswith("T"):
            found += state_differences(oracle.started_with(FULL), read_state(proxied), read_state(direct))
    finally:
        for client in (proxied, direct):
            client.query("ROLLBACK")
            client.query("DISCARD ALL")
    assert expected.status  # the conversation went to its end on both sides
    assert found == []
