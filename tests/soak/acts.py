"""What a client of a soak does, each with the answer that it must get.

A client owns the rows of its number in `soak_items` and knows which are live: `rows`. Where a connection ends before
the answer, `doubt` holds what they are if the statement was done all the same.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.raw import frame, query
from tests.soak.wire import Answer, Row, Session, extended

MOST_ROWS = 12
SHARED_ROWS = 50
LARGE = 300_000
TABLES = f"""
CREATE TABLE soak_items (owner int, id int, note text, deleted_at timestamptz, PRIMARY KEY (owner, id));
CREATE INDEX ON soak_items (owner) WHERE deleted_at IS NULL;
CREATE TABLE soak_shared (id int PRIMARY KEY, note text, deleted_at timestamptz);
CREATE TABLE soak_other (id int PRIMARY KEY, deleted_at timestamptz);
INSERT INTO soak_items SELECT owner, -id, 'CANARY', now()
  FROM generate_series(0, 999) AS owner, generate_series(1, 3) AS id;
INSERT INTO soak_shared SELECT id, 'shared', NULL FROM generate_series(1, {SHARED_ROWS}) AS id;
INSERT INTO soak_shared SELECT -id, 'CANARY', now() FROM generate_series(1, {SHARED_ROWS}) AS id;
"""
MINE = "SELECT id, note FROM soak_items WHERE owner = {owner} ORDER BY id"

Rows = dict[int, str]


class Wrong(Exception):
    """An answer is not what it must be."""


@dataclass(slots=True)
class Client:
    """One client's rows, and the session that it has now."""

    owner: int
    chance: random.Random
    session: Session
    rows: Rows = field(default_factory=dict)
    doubt: Rows | None = None
    astray: bool = False
    """After a wrong answer it takes the next one for the truth."""
    number: int = 0
    """The last id that it has used."""

    def next_id(self) -> int:
        """Return an id that was never used."""
        self.number += 1
        return self.number

    def listed(self) -> list[Row]:
        """Return the answer to `MINE`."""
        return [(str(key), self.rows[key]) for key in sorted(self.rows)]

    async def ask(self, sql: str, arguments: Sequence[object] = ()) -> Answer:
        """Ask by the simple protocol, the extended one, or a prepared statement, as chance has it."""
        way = self.chance.randrange(3)
        if way == 0:
            for number in range(len(arguments), 0, -1):
                sql = sql.replace(f"${number}", f"'{arguments[number - 1]}'")
            self.session.send(query(sql))
        elif way == 1:
            self.session.send(extended(sql, arguments))
        else:
            name = f"s{hash(sql):x}"
            self.session.send(extended(sql, arguments, name, parse=name not in self.session.prepared))
            self.session.prepared.add(name)
        return await self.session.answer()

    async def change(self, sql: str, arguments: Sequence[object], after: Rows, tag: str) -> None:
        """Ask for a change that takes our rows to `after`."""
        self.doubt = after
        answer = await self.ask(sql, arguments)
        must(answer, tags=[tag])
        self.rows, self.doubt = after, None

    async def settle(self) -> None:
        """See which of two states a statement has left that had no answer."""
        # Held until the backend of the session before has ended, and all that it was asked for with it.
        must(await self.ask(f"SELECT 1 FROM pg_advisory_lock({self.owner})"), [("1",)])
        answer = await self.ask(MINE.format(owner=self.owner))
        if self.astray:
            self.rows = {int(key or 0): note or "" for key, note in answer.rows}
        elif self.doubt is not None and answer.rows != self.listed():
            self.rows = self.doubt
        self.doubt, self.astray = None, False
        must(answer, self.listed())


def must(answer: Answer, rows: list[Row] | None = None, tags: list[str] | None = None) -> None:
    """See that an answer is this one, without errors. Raises Wrong."""
    if answer.errors or (rows is not None and answer.rows != rows) or (tags and answer.tags != tags):
        raise Wrong(f"{answer} instead of {rows} {tags}")


async def read(client: Client) -> None:
    """Read our rows."""
    must(
        await client.ask("SELECT id, note FROM soak_items WHERE owner = $1 ORDER BY id", [client.owner]),
        client.listed(),
    )


async def read_shared(client: Client) -> None:
    """Read what all share, by a join with what is protected, too."""
    must(await client.ask("SELECT count(*), min(id) FROM soak_shared"), [(str(SHARED_ROWS), "1")])
    join = "soak_items AS i LEFT JOIN soak_shared AS s ON s.id = -i.id"
    sql = f"SELECT count(*) FROM {join} WHERE i.owner = $1 AND s.id IS NULL"
    must(await client.ask(sql, [client.owner]), [(str(len(client.rows)),)])


async def look_for_canaries(client: Client) -> None:
    """Look for deleted rows."""
    must(await client.ask("SELECT note FROM soak_items WHERE owner = $1 AND id < 0", [client.owner]), [])


async def insert(client: Client) -> None:
    """Insert a row."""
    key, note = client.next_id(), f"note {client.chance.random()}"
    sql = "INSERT INTO soak_items (owner, id, note) VALUES ($1, $2, $3)"
    await client.change(sql, [client.owner, key, note], {**client.rows, key: note}, "INSERT 0 1")


async def update(client: Client) -> None:
    """Update a row that is there, or one that is not."""
    key, note = (
        client.chance.randint(max(1, client.number - 20), client.number + 1),
        f"new {client.chance.random()}",
    )
    there = key in client.rows
    after = {**client.rows, key: note} if there else client.rows
    sql = "UPDATE soak_items SET note = $3 WHERE owner = $1 AND id = $2"
    await client.change(sql, [client.owner, key, note], after, f"UPDATE {int(there)}")


async def delete(client: Client) -> None:
    """Delete a row that is there, or one that is not."""
    key = client.chance.choice(list(client.rows) or [0])
    if client.chance.random() < 0.2:
        key = client.chance.randint(0, client.number + 1)
    after = {other: note for other, note in client.rows.items() if other != key}
    sql = "DELETE FROM soak_items WHERE owner = $1 AND id = $2"
    await client.change(sql, [client.owner, key], after, f"DELETE {int(key in client.rows)}")


async def transact(client: Client) -> None:
    """Change rows in a transaction, and keep it or not."""
    session, key = client.session, client.next_id()
    keeps = client.chance.random() < 0.5
    after = {key: "made"}
    client.doubt = after if keeps else None
    steps = (
        ("BEGIN", "BEGIN"),
        (f"DELETE FROM soak_items WHERE owner = {client.owner}", f"DELETE {len(client.rows)}"),
        (f"INSERT INTO soak_items VALUES ({client.owner}, {key}, 'made')", "INSERT 0 1"),
    )
    for sql, tag in steps:
        session.send(query(sql))
        must(await session.answer(), tags=[tag])
    must(await client.ask(MINE.format(owner=client.owner)), [(str(key), "made")])
    end = "COMMIT" if keeps else "ROLLBACK"
    session.send(query(end))
    must(await session.answer(), tags=[end])
    client.rows, client.doubt = (after if keeps else client.rows), None


async def copy_out(client: Client) -> None:
    """Copy our rows out."""
    client.session.send(query(f"COPY ({MINE.format(owner=client.owner)}) TO STDOUT"))
    answer = await client.session.answer()
    must(answer, tags=[f"COPY {len(client.rows)}"])
    wanted = "".join(f"{key}\t{note}\n" for key, note in client.listed())
    if answer.copied != wanted.encode():
        raise Wrong(f"COPY gives {bytes(answer.copied)!r}, not {wanted!r}")


async def copy_in(client: Client) -> None:
    """Copy rows in."""
    new = {client.next_id(): "copied" for _ in range(3)}
    client.session.send(query("COPY soak_items (owner, id, note) FROM STDIN"))
    must(await client.session.answer())
    client.doubt = {**client.rows, **new}
    client.session.send(copy_data(client.owner, new) + frame(b"c"))
    must(await client.session.answer(), tags=["COPY 3"])
    client.rows, client.doubt = client.doubt, None


def copy_data(owner: int, rows: Rows) -> bytes:
    """Return rows as COPY takes them."""
    return b"".join(frame(b"d", f"{owner}\t{key}\t{note}\n".encode()) for key, note in rows.items())


async def scroll(client: Client) -> None:
    """Read our rows by a cursor, some at a time."""
    session = client.session
    session.send(query(f"BEGIN; DECLARE soak CURSOR FOR {MINE.format(owner=client.owner)}"))
    must(await session.answer(), tags=["BEGIN", "DECLARE CURSOR"])
    found: list[Row] = []
    while True:
        session.send(query("FETCH 5 FROM soak"))
        answer = await session.answer()
        must(answer)
        found += answer.rows
        if not answer.rows:
            break
    session.send(query("COMMIT"))
    must(await session.answer(), tags=["COMMIT"])
    if found != client.listed():
        raise Wrong(f"the cursor gives {found}, not {client.listed()}")


async def pipeline(client: Client) -> None:
    """Send several before the first is answered, one of which fails."""
    session, mine = client.session, MINE.format(owner=client.owner)
    session.send(extended(mine, ()) + extended("SELECT 1 / $1::int", (0,)) + extended(mine, ()))
    must(await session.answer(), client.listed())
    if (codes := (await session.answer()).codes) != ["22012"]:
        raise Wrong(f"a division by zero is answered by {codes}")
    must(await session.answer(), client.listed())


async def be_refused(client: Client) -> None:
    """Ask for what is refused, and go on."""
    client.session.send(query("TRUNCATE soak_items"))
    if len(codes := (await client.session.answer()).codes) != 1:
        raise Wrong(f"TRUNCATE is answered by {codes}")


async def read_much(client: Client) -> None:
    """Read a large row."""
    must(await client.ask(f"SELECT repeat('x', {LARGE})"), [("x" * LARGE,)])


async def be_cancelled(client: Client) -> None:
    """Ask for what lasts, and cancel it."""
    # Rows enough to fill the server's buffer: the first comes while the second statement runs, or is about to.
    client.session.send(query("SELECT repeat('x', 9000) FROM generate_series(1, 3); SELECT pg_sleep(3600)"))
    while (await client.session.message())[0] != b"D":
        pass
    await client.session.cancel()
    if (codes := (await client.session.answer()).codes) != ["57014"]:
        raise Wrong(f"a cancelled statement is answered by {codes}")


Act = Callable[[Client], Awaitable[None]]

ACTS: dict[Act, int] = {
    read: 10,
    read_shared: 4,
    look_for_canaries: 3,
    insert: 8,
    update: 8,
    delete: 6,
    transact: 2,
    copy_out: 3,
    copy_in: 2,
    scroll: 2,
    pipeline: 2,
    be_refused: 1,
    read_much: 1,
    be_cancelled: 1,
}


def chosen(client: Client) -> Act:
    """Return what a client does next."""
    if len(client.rows) > MOST_ROWS:
        return transact if len(client.rows) > 2 * MOST_ROWS else delete
    return client.chance.choices(list(ACTS), list(ACTS.values()))[0]


# How a client leaves.


async def say_goodbye(client: Client) -> None:
    """End in due form."""
    await client.session.leave()


async def vanish(client: Client) -> None:
    """Drop the connection while idle."""
    client.session.drop()


async def vanish_in_a_statement(client: Client) -> None:
    """Drop it before the answer to a change."""
    key = client.next_id()
    client.doubt = {**client.rows, key: "left"}
    client.session.send(query(f"INSERT INTO soak_items VALUES ({client.owner}, {key}, 'left')"))
    await asyncio.sleep(client.chance.choice((0.0, 0.005)))
    client.session.drop()


async def vanish_in_a_message(client: Client) -> None:
    """Drop it with half of a message sent."""
    whole = query(f"DELETE FROM soak_items WHERE owner = {client.owner}")
    client.session.send(whole[: client.chance.randrange(1, len(whole))])
    await asyncio.sleep(0)
    client.session.drop()


async def vanish_in_a_copy(client: Client) -> None:
    """Drop it in the midst of a COPY, which is undone."""
    client.session.send(query("COPY soak_items (owner, id, note) FROM STDIN"))
    must(await client.session.answer())
    client.session.send(copy_data(client.owner, {client.next_id(): "cut off"}) + b"d\0\0")
    await asyncio.sleep(0)
    client.session.drop()


async def vanish_in_a_result(client: Client) -> None:
    """Drop it with a large result unread."""
    client.session.send(query(f"SELECT repeat('x', {LARGE}) FROM generate_series(1, 20)"))
    await client.session.message()
    client.session.drop()


async def half_close(client: Client) -> None:
    """Close our side after a question, and read the answer."""
    client.session.send(query(MINE.format(owner=client.owner)))
    client.session.half_close()
    must(await client.session.answer(), client.listed())
    client.session.drop()


EXITS: Sequence[Act] = (
    say_goodbye, say_goodbye, vanish, vanish_in_a_statement, vanish_in_a_message, vanish_in_a_copy, vanish_in_a_result,
)  # fmt: skip


def exits(encrypted: bool) -> Iterator[Act]:
    """Yield how a session may end; TLS has no half-closed connections."""
    yield from EXITS
    if not encrypted:
        yield half_close
