"""Conversations in the extended protocol, answered as on a direct connection however they are cut."""

import struct

import pytest

from tests.clients.raw import FLUSH, SYNC, TERMINATE, RawClient, bind, execute, message, parse, query
from tests.clients.shop import Shop, Target


def describe(kind: str, name: str = "") -> bytes:
    return message(b"D", kind.encode() + name.encode() + b"\x00")


def close(kind: str, name: str = "") -> bytes:
    return message(b"C", kind.encode() + name.encode() + b"\x00")


def bind_values(
    values: list[bytes | None], statement: str = "", portal: str = "", *, binary: bool = False
) -> bytes:
    """Return a Bind with text parameters and results in one format."""
    parts = b"".join(
        struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value for value in values
    )
    names = portal.encode() + b"\x00" + statement.encode() + b"\x00"
    return message(
        b"B", names + struct.pack("!HH", 0, len(values)) + parts + struct.pack("!HH", 1, int(binary))
    )


CONVERSATIONS = {
    "one statement, described and executed": (
        parse("SELECT id, note FROM app.notes WHERE id < $1 ORDER BY id")
        + describe("S") + bind_values([b"3"]) + describe("P") + execute() + SYNC
    ),
    "binary results": parse("SELECT 1::int8, 'x'::text, NULL::date", "b") + bind_values([], "b", binary=True)
    + describe("P") + execute() + close("S", "b") + SYNC,
    "a portal in pieces": (
        parse("SELECT n FROM generate_series(1, 5) AS n") + bind(portal="p")
        + execute("p", 2) + execute("p", 2) + execute("p", 2) + execute("p", 2) + SYNC
    ),
    "a portal that lives as long as its transaction": (
        query("BEGIN") + parse("TABLE app.notes", "t") + bind("t", "p") + execute("p", 1) + SYNC
        + execute("p", 1) + SYNC + query("COMMIT") + execute("p", 1) + SYNC
    ),
    "one statement bound many times": parse("SELECT $1::text", "s")
    + b"".join(bind_values([str(n).encode()], "s", f"p{n}") for n in range(5))
    + b"".join(execute(f"p{n}") for n in reversed(range(5))) + SYNC,
    "flushes in place of syncs": (
        parse("SELECT 1", "a") + FLUSH + bind("a") + FLUSH + execute() + FLUSH + SYNC
    ),
    "several errors, each up to its Sync": (
        parse("SELECT 1/0") + bind() + execute() + SYNC + parse("SELECT nothing") + bind() + SYNC
        + parse("SELECT $1::int") + bind_values([b"x"]) + execute() + SYNC + query("SELECT 'fine'")
    ),
    "an implicit transaction undone by its error": (
        parse("INSERT INTO app.notes VALUES (77, 'x')") + bind() + execute() + parse("SELECT 1/0") + bind()
        + execute() + SYNC + query("SELECT count(*) FROM app.notes WHERE id = 77")
    ),
    "an explicit transaction inside a pipeline": (
        parse("BEGIN") + bind() + execute() + parse("INSERT INTO app.notes VALUES (78, 'x')") + bind() + execute()
        + parse("ROLLBACK") + bind() + execute() + SYNC + query("SELECT count(*) FROM app.notes WHERE id = 78")
    ),
    "a failed transaction block": (
        query("BEGIN; SELECT 1/0") + parse("SELECT 1") + bind() + execute() + SYNC + query("ROLLBACK; SELECT 2")
    ),
    "an empty statement": parse("") + bind() + describe("P") + execute() + SYNC + query("") + query(";"),
    "a closed statement and a closed portal": (
        parse("SELECT 1", "c") + close("S", "c") + close("P", "none") + bind("c") + SYNC
    ),
    "prepared by SQL, bound by message": (
        query("PREPARE q(int) AS SELECT $1 + 1") + bind_values([b"41"], "q") + describe("S", "q") + execute() + SYNC
        + parse("EXECUTE q(1)") + bind() + execute() + SYNC + query("DEALLOCATE q") + bind("q") + SYNC
    ),
    "prepared by message, executed by SQL": (
        parse("SELECT $1::int * 2", "m") + SYNC + query("EXECUTE m(21)") + query("DEALLOCATE ALL")
        + query("EXECUTE m(1)")
    ),
    "a cursor held over its transaction": (
        query("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT id FROM app.notes ORDER BY id; COMMIT")
        + query("FETCH 2 FROM c") + parse("FETCH c") + bind() + execute() + SYNC + query("CLOSE c; FETCH c")
    ),
    "copy in both directions, extended": (
        parse("COPY app.notes FROM STDIN") + bind() + execute() + SYNC
        + message(b"d", b"81\tone\n82\t") + message(b"d", b"two\n") + message(b"c", b"") + SYNC
        + parse("COPY (SELECT id FROM app.notes WHERE id > 80 ORDER BY 1) TO STDOUT") + bind() + execute() + SYNC
        + query("DELETE FROM app.notes WHERE id > 80")
    ),
    "copy in a batch of statements": (
        query("SELECT 1; COPY app.notes FROM STDIN; TABLE app.notes; DELETE FROM app.notes WHERE id > 80")
        + message(b"d", b"83\tx\n") + message(b"c", b"")
    ),
    "two copies in one batch": (
        query("COPY app.notes FROM STDIN; COPY app.notes FROM STDIN; ROLLBACK")
        + message(b"d", b"84\tx\n") + message(b"c", b"") + message(b"d", b"85\tx\n") + message(b"f", b"enough\x00")
    ),
    "many queries at once": b"".join(query(f"SELECT {n}") for n in range(100)),
    "notifications and settings": (
        query("LISTEN here") + query("SET application_name = 'x y'") + query("SET DateStyle = 'ISO, DMY'")
        + query("UNLISTEN *") + query("RESET ALL") + query("DISCARD ALL")
    ),
    "a large row, and many small ones": (
        query("SELECT repeat('x', 300000)") + query("SELECT n, repeat('y', 100) FROM generate_series(1, 5000) AS n")
    ),
}  # fmt: skip


def answers(target: Target, conversation: bytes, step: int) -> list[tuple[bytes, object]]:
    """Hold a conversation, sent in pieces of `step` bytes; return the answers without places in the server's source."""
    with RawClient(target) as client:
        client.log_in()
        for position in range(0, len(conversation), step):
            client.send(conversation[position : position + step])
        client.send(TERMINATE)
        return [
            (one.type, {key: text for key, text in one.fields.items() if key not in "FLR"})
            if one.type in b"EN"
            else (one.type, one.body)
            for one in client.read_to_end()
        ]


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("step", [1 << 20, 7, 1], ids=["whole", "in pieces", "byte by byte"])
def test_every_answer_is_that_of_a_direct_connection(shop: Shop, name: str, step: int) -> None:
    expected = answers(shop.direct.as_user("ann"), CONVERSATIONS[name], 1 << 20)
    assert answers(shop.proxied, CONVERSATIONS[name], step) == expected
    assert expected[-1] == (b"Z", b"I")
