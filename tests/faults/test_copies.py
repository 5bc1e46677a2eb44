"""COPYs that go wrong in their midst, both ways: the server's own answer, and a session in step."""

import pytest

from tests.clients.raw import (
    FLUSH,
    SYNC,
    Message,
    RawClient,
    bind,
    comparable,
    execute,
    message,
    parse,
    query,
)
from tests.clients.shop import Shop, Target

DONE = message(b"c", b"")
FAIL = message(b"f", b"changed my mind\x00")
ROWS = b"".join(message(b"d", f"{n}\tnote {n}\n".encode()) for n in range(100, 2100))
BAD = message(b"d", b"no number\tnote\n")
TWICE = message(b"d", b"7\tseven\n7\tseven again\n")
AFTER = query("SELECT count(*) FROM app.notes")
NOTES = "COPY app.notes FROM STDIN"
BY_EXECUTE = parse(NOTES) + bind() + execute()

Step = bytes | tuple[bytes, bytes]
"""What is sent, and where it is waited then: for a message of some type."""

INTO: dict[str, tuple[Step, ...]] = {
    "a bad row, with more behind it": ((query(NOTES), b"G"), ROWS + BAD + ROWS + DONE),
    "a bad row whose error is read before the rest is sent": ((query(NOTES), b"G"), (BAD + ROWS, b"E"), ROWS + DONE),
    "a bad row in the first message, nothing waited for": (query(NOTES) + BAD + ROWS + DONE,),
    "a duplicate, told at the end": ((query(NOTES), b"G"), TWICE + DONE),
    "given up": ((query(NOTES), b"G"), ROWS + FAIL),
    "given up after a bad row": ((query(NOTES), b"G"), (BAD, b"E"), FAIL),
    "ended twice": ((query(NOTES), b"G"), ROWS + DONE + DONE),
    "a bad row inside a transaction, its failed rest and the way back": (
        (query("BEGIN; INSERT INTO app.notes VALUES (9, 'nine')"), b"Z"),
        (query(NOTES), b"G"),
        ROWS + BAD + DONE,
        query(NOTES) + query("ROLLBACK"),
    ),
    "a savepoint that a bad row is rolled back to": (
        (query("BEGIN; SAVEPOINT here"), b"Z"),
        (query(NOTES), b"G"),
        BAD + DONE,
        query("ROLLBACK TO here") + query("COMMIT"),
    ),
    "two of one text, the first one bad": ((query(f"{NOTES}; {NOTES}"), b"G"), BAD + DONE + ROWS + DONE),
    "two of one text, the second one bad": (
        (query(f"{NOTES}; {NOTES}"), b"G"),
        (ROWS + DONE, b"G"),
        BAD + DONE,
    ),
    "a table that is not there": (query("COPY app.nothing FROM STDIN") + ROWS + DONE,),
    "a protected table, a bad row": ((query("COPY app.users (id, email) FROM STDIN"), b"G"), BAD + DONE),
    "a protected table, given up": ((query("COPY app.users (id, email) FROM STDIN"), b"G"), FAIL),
    "a header that does not match": (
        (query("COPY app.notes FROM STDIN (FORMAT csv, HEADER match)"), b"G"),
        message(b"d", b"id,other\n1,one\n") + DONE,
    ),
    "binary without its signature": ((query(f"{NOTES} (FORMAT binary)"), b"G"), ROWS + DONE),
    "by Execute: a bad row, a Sync ahead": ((BY_EXECUTE + SYNC, b"G"), ROWS + BAD + DONE + SYNC),
    "by Execute: given up, a Sync ahead": ((BY_EXECUTE + SYNC, b"G"), ROWS + FAIL + SYNC),
    "by Execute: Syncs and Flushes between the rows": (
        (BY_EXECUTE + FLUSH, b"G"),
        ROWS + SYNC + FLUSH + message(b"d", b"1\tone again\n") + SYNC + DONE + SYNC,
    ),
    "by Execute: more statements behind it are skipped up to the Sync": (
        (BY_EXECUTE + FLUSH, b"G"),
        BAD + DONE + parse("SELECT 1") + bind() + execute() + SYNC + parse("SELECT 2") + bind() + execute() + SYNC,
    ),
    "by Execute: a statement ahead of it is undone with it": (
        (parse("DELETE FROM app.notes") + bind() + execute() + BY_EXECUTE + FLUSH, b"G"),
        BAD + DONE + SYNC,
    ),
    "rows that the server skips, or an option that it does not know": (
        query("COPY app.notes FROM STDIN (ON_ERROR ignore)") + BAD + ROWS + BAD + DONE,
    ),
}  # fmt: skip

LIVE = "SELECT id, name FROM app.users WHERE deleted_at IS NULL"
OUT_OF: dict[str, tuple[str, str | None]] = {
    "an error behind some rows": ("COPY (SELECT 10 / (3 - id) FROM app.users ORDER BY id) TO STDOUT", None),
    "a column that is not there": ("COPY app.users (id, nothing) TO STDOUT", None),
    "a column twice": ("COPY app.users (id, id) TO STDOUT", None),
    "no such table": ("COPY app.nothing TO STDOUT", None),
    "an option that there is not": ("COPY app.users TO STDOUT (FORMAT csv, NOTHING)", None),
    "a format that there is not": ("COPY app.users TO STDOUT (FORMAT pdf)", None),
    "a delimiter of two characters": ("COPY app.users TO STDOUT (DELIMITER '||')", None),
    "an error in a query": ("COPY (SELECT nothing FROM app.users) TO STDOUT", None),
    "live rows": ("COPY app.users (id, name) TO STDOUT", f"COPY ({LIVE}) TO STDOUT"),
    "live rows, then an error": (
        "COPY app.users (id, name) TO STDOUT; SELECT 1/0; COPY app.users TO STDOUT",
        f"COPY ({LIVE}) TO STDOUT; SELECT 1/0",
    ),
    "live rows as CSV": (
        "COPY app.users (id, name) TO STDOUT (FORMAT csv, HEADER)",
        f"COPY ({LIVE}) TO STDOUT (FORMAT csv, HEADER)",
    ),
    "live rows in binary": (
        "COPY app.users (id, name) TO STDOUT (FORMAT binary)",
        f"COPY ({LIVE}) TO STDOUT (FORMAT binary)",
    ),
}  # fmt: skip


def conversation(target: Target, steps: tuple[Step, ...]) -> list[tuple[bytes, object]]:
    """Say one thing after another; return all that is answered, up to the answer to what is asked last of all."""
    with RawClient(target) as client:
        client.log_in()
        messages: list[Message] = []
        for step in steps:
            data, awaited = step if isinstance(step, tuple) else (step, b"")
            client.send(data)
            if awaited:
                messages += client.read_until(awaited)
        client.send(query("SELECT 'the end of it'"))
        while not messages or b"the end of it" not in messages[-1].body:
            messages.append(client.read_message())
        messages += client.read_until(b"Z")
        messages += client.ask(AFTER)
        return comparable(messages)


@pytest.mark.parametrize("name", INTO)
def test_a_copy_into_a_table_that_goes_wrong_is_answered_as_by_the_server(shop: Shop, name: str) -> None:
    found = []
    for target in (shop.proxied, shop.direct.as_user("ann")):
        shop.execute("TRUNCATE app.notes; INSERT INTO app.notes VALUES (1, 'one')")
        found.append((conversation(target, INTO[name]), shop.rows("SELECT * FROM app.notes ORDER BY id")))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", OUT_OF)
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_a_copy_of_a_protected_table_that_goes_wrong_is_answered_as_by_the_server(
    shop: Shop, name: str, protocol: str
) -> None:
    text, same = OUT_OF[name]
    found = []
    for target, sql in ((shop.proxied, text), (shop.direct.as_user("ann"), same or text)):
        packet = query(sql) if protocol == "simple" else parse(sql) + bind() + execute() + SYNC
        # What the proxy itself refuses it refuses at the Parse already.
        found.append([one for one in conversation(target, (packet,)) if one[0] not in (b"1", b"2")])
    assert found[0] == found[1]
