"""A refusal in every place of many conversations: all around it goes as around an error of PostgreSQL's own.

Each conversation is held twice, with one more statement at each place in turn: directly one that PostgreSQL finds
wrong when it parses it, through a session one that the session refuses. Types, tags, rows, transaction states and
all other errors must be equal; of the error itself only its severity and place.
"""

from collections.abc import Callable, Iterator

import pytest

from pgsoftproxy.wire import frontend
from tests.fix_servers import Database
from tests.fix_shop import temporary_database
from tests.playbook import COPY_DONE, FLUSH, SYNC
from tests.servers import Server
from tests.session.real import Line, Through
from tests.session.test_real_server import TABLES, close, describe, execute, parse, policy, query
from tests.session.test_real_server import bind as bind_to

WRONG = b"SELECT no_such_function()"
REFUSED = b"TRUNCATE app.items"
REFUSED_SELECT = b"SELECT query_to_xml('TABLE app.items', true, true, '')"
OWN = ("42883", "0A000")
"""What PostgreSQL says of the wrong statement, and the session of the refused ones."""

TEXTS = {"a utility statement": (WRONG, REFUSED), "a query": (WRONG, REFUSED_SELECT)}
AROUND = (b"PREPARE x AS %b", b"COPY (%b) TO STDOUT", b"DECLARE x CURSOR WITH HOLD FOR %b", b"EXPLAIN %b")
"""Statements that hold a query: PostgreSQL itself finds out only when it runs them, so they come in a Query."""


def run(text: bytes, name: bytes = b"", rows: int = 0) -> bytes:
    """Build Parse, Bind, Describe and Execute of a text."""
    return parse(name, text) + bind_to(name, name) + describe(b"P", name) + execute(name, rows)


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "in a Query": query,
    "as the first of a batch": lambda text: query(
        text + b"; INSERT INTO plain VALUES (100); SELECT 'behind'"
    ),
    "as the last of a batch": lambda text: query(b"INSERT INTO plain VALUES (101); SELECT 'ahead'; " + text),
    "in a pipeline": run,
    "in a pipeline of its own": lambda text: run(text) + SYNC,
    "parsed under a name that is used": lambda text: parse(b"s", text) + bind_to(b"s", b"s") + execute(b"s"),
    "parsed under a name of its own": lambda text: parse(b"own", text) + describe(b"S", b"own"),
    "parsed, then flushed": lambda text: parse(b"", text) + FLUSH + bind_to(b"", b"") + FLUSH,
}
WRONG_AND_REFUSED = {
    **{
        f"{text} {form}": (build(wrong), build(refused))
        for text, (wrong, refused) in TEXTS.items()
        for form, build in FORMS.items()
    },
    **{f"{outer.decode()}": (query(outer % WRONG), query(outer % REFUSED_SELECT)) for outer in AROUND},
}

INSERT = b"INSERT INTO plain VALUES (%d)"
ROWS = b"SELECT n FROM generate_series(1, 5) AS n"
DATA = frontend.message(frontend.COPY_DATA, b"7\n")
COPY = b"COPY plain FROM STDIN"

CONVERSATIONS: dict[str, list[bytes]] = {
    "queries outside a transaction": [query(INSERT % 1), query(b"SELECT 1; SELECT 2"), query(b"")],
    "a transaction with savepoints": [
        query(b"BEGIN"), query(INSERT % 2), query(b"SAVEPOINT a"), query(INSERT % 3), query(b"ROLLBACK TO a"),
        query(b"RELEASE a"), query(b"COMMIT"),
    ],
    "a failed transaction": [query(b"BEGIN; SELECT 1/0"), query(b"SELECT 1"), query(b"ROLLBACK")],
    "one pipeline": [run(INSERT % 4), run(ROWS), run(b"SELECT 1"), SYNC],
    "pipelines of a transaction": [
        run(b"BEGIN") + run(INSERT % 5), run(b"SAVEPOINT a") + SYNC, run(INSERT % 6), run(b"ROLLBACK TO a"), SYNC,
        run(b"COMMIT"), SYNC,
    ],
    "a pipeline with a transaction of its own": [
        run(INSERT % 7), run(b"BEGIN"), run(INSERT % 8), run(b"COMMIT"), run(INSERT % 9), SYNC,
    ],
    "named statements and portals in parts": [
        query(b"BEGIN"), parse(b"s", ROWS), bind_to(b"s", b"s"), execute(b"s", 2), execute(b"s", 1), SYNC,
        execute(b"s", 1), describe(b"P", b"s"), close(b"P", b"s"), describe(b"S", b"s"), SYNC, close(b"S", b"s"),
        SYNC, query(b"COMMIT"),
    ],
    "flushes": [parse(b"", ROWS) + FLUSH, bind_to(b"", b"") + FLUSH, execute(b"", 2) + FLUSH, SYNC],
    "queries among pipelines": [run(INSERT % 10), query(b"SELECT 'between'"), run(ROWS), SYNC, query(b"SELECT 3")],
    "errors of the server's own": [run(b"SELECT 1/0"), run(b"SELECT 1"), SYNC, query(b"SELECT nothing"), SYNC],
    "copies by queries": [
        query(COPY) + DATA + COPY_DONE, query(b"COPY plain TO STDOUT"), query(COPY) + DATA,
        frontend.message(frontend.COPY_FAIL, b"no more\0"),
    ],
    "copies by pipelines": [run(COPY) + DATA + COPY_DONE, SYNC, run(b"COPY plain TO STDOUT"), SYNC],
    "names of SQL": [
        query(b"PREPARE s AS SELECT 5"), bind_to(b"", b"s") + execute(b""), SYNC, query(b"EXECUTE s"),
        query(b"DEALLOCATE s"), run(b"EXECUTE s") + SYNC,
    ],
    "cursors": [
        query(b"BEGIN; DECLARE c CURSOR FOR " + ROWS), query(b"FETCH 2 c"), run(b"FETCH c"), SYNC,
        query(b"CLOSE c; COMMIT"),
    ],
    "settings": [
        query(b"SET search_path = app"), run(b"BEGIN") + run(b"SET LOCAL search_path = public") + SYNC,
        query(b"SHOW search_path"), query(b"COMMIT"), query(b"SHOW search_path; RESET search_path"),
    ],
}  # fmt: skip
STATE = query(b"SELECT count(*), sum(id) FROM plain")
LAST = query(b"SELECT 'the end'")
CLEAN = (b"ROLLBACK", b"DISCARD ALL", b"TRUNCATE plain")


class Talker:
    """Hold one conversation after another in a connection; a new one where the server has ended it."""

    def __init__(self, connect: Callable[[], Line]) -> None:
        self._connect = connect
        self.line = connect()

    def told(self, data: bytes) -> list[object]:
        """Hold a conversation to its end; return what the client is told, of the wrong statement that it is wrong."""
        size = len(data) if len(data) % 2 else 70
        self.line.pieces = lambda whole: (whole[at : at + size] for at in range(0, len(whole), size))
        self.line.send(data + SYNC + STATE + query(b"ROLLBACK") + STATE + LAST)
        found: list[object] = []
        while (message := self.line.next()) is not None:
            if message.kind == "E" and message.sqlstate in OWN:
                found.append(("E", message.field("S"), message.field("V")))
            else:
                found.append(message.told)
            if message.kind == "D" and message.body.endswith(b"the end"):
                assert [self.line.message().kind for _ in range(2)] == ["C", "Z"]
                break
        else:
            self.line.socket.close()
            self.line = self._connect()
        for clean in CLEAN:
            self.line.ask(query(clean))
        return found


@pytest.mark.parametrize("share", [4, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_all_around_a_refusal_goes_as_around_an_error(
    ground: tuple[Talker, Talker], name: str, share: int
) -> None:
    direct, through = ground
    pairs = list(WRONG_AND_REFUSED.items())
    steps = CONVERSATIONS[name]
    different = []
    for place in range(len(steps) + 1):
        ahead, behind = b"".join(steps[:place]), b"".join(steps[place:])
        for one, (wrong, refused) in pairs[place % share :: share]:
            expected = direct.told(ahead + wrong + behind)
            answer = through.told(ahead + refused + behind)
            if answer != expected:
                different.append((place, one, answer, expected))
    assert [(place, one) for place, one, _, _ in different] == [], different[0][2:]


@pytest.fixture(scope="module")
def ground(server: Server) -> Iterator[tuple[Talker, Talker]]:
    """Give a connection to the server and one through a session, both to the same tables."""
    with temporary_database(server, TABLES) as name:
        database = Database(server, name)
        talkers = Talker(lambda: Line(database)), Talker(lambda: Through(database, policy(database)))
        yield talkers
        for talker in talkers:
            talker.line.socket.close()
