"""Input that no decent client sends: a clear error to its sender, nothing lost, nobody else disturbed."""

import struct
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.clients.raw import (
    FLUSH,
    SYNC,
    TERMINATE,
    Message,
    RawClient,
    bind,
    comparable,
    execute,
    function_call,
    message,
    parse,
    query,
    startup,
    talk,
)
from tests.clients.shop import Shop, Target

LONGEST_WAIT = 3.0
"""Seconds that another session may have to wait for an answer while bad input is being refused."""

UNPARSABLE = {
    "a misspelt keyword": "SELEC 1",
    "a missing operand": "SELECT 1 +",
    "a misplaced keyword in a protected query": "SELECT id FROM app.users WERE id = 1",
    "after characters of several bytes": "SELECT 'äöü€', '😀' FROM FROM app.users",
    "in the second line": "SELECT id\n  FROM app.users\n  ORDER id",
    "in the third statement": "DELETE FROM app.users; SELECT 1; SELEC 2; SELECT 3",
    "an unterminated string": "DELETE FROM app.users WHERE name = 'x",
    "an unterminated identifier": 'SELECT "id FROM app.users',
    "an unterminated comment": "SELECT 1 /* and /* so */ on",
    "an unterminated dollar quote": "SELECT $tag$ text $tagg$",
    "an empty identifier": 'SELECT ""',
    "junk after a number": "SELECT 1a",
    "a bad escape": r"SELECT U&'\zz'",
    "a lone dollar": "SELECT $ 1",
    "a bracket too many": "SELECT (1))",
    "a bracket too few": "SELECT (1 FROM app.users",
    "an unsupported clause": "SELECT * FROM app.users LIMIT 1, 2",
    "only an operator": "=",
    "a backslash command": r"\d app.users",
}

WRONG_PACKETS = {
    "an unknown message type": message(b"y", b"what"),
    "a message of the server": message(b"Z", b"I"),
    "a password that no one asked for": message(b"p", b"secret\x00"),
    "a Query without its final NUL": message(b"Q", b"SELECT 1"),
    "a Parse that ends early": message(b"P", b"name\x00SELECT 1\x00") + SYNC,
    "a Bind with too few parameters": parse("SELECT $1::int") + bind() + SYNC,
    "a Bind that ends early": parse("SELECT 1") + message(b"B", b"\x00\x00\x00") + SYNC,
    "a Describe of neither kind": message(b"D", b"X\x00") + SYNC,
    "a Close of neither kind": message(b"C", b"X\x00") + SYNC,
    "an Execute of no portal": execute("nowhere") + SYNC,
    "a Bind of no statement": bind("nowhere") + SYNC,
    "a Parse under a used name": parse("SELECT 1", "s") + parse("SELECT 2", "s") + SYNC,
    "two statements in one Parse": parse("SELECT 1; SELECT 2") + SYNC,
    "copy data outside a COPY": message(b"d", b"1\t2\n") + message(b"c", b"") + SYNC,
    "a COPY that the client gives up": query("COPY app.notes FROM STDIN") + message(b"f", b"no more\x00"),
    "a Query in the middle of a COPY": query("COPY app.notes FROM STDIN") + query("SELECT 1"),
    "a Sync with a body": message(b"S", b"body"),
    "many Syncs and Flushes": (SYNC + FLUSH) * 200,
    "messages after an error up to the Sync": parse("SELEC")
    + bind()
    + execute()
    + parse("SELECT 1")
    + SYNC
    + SYNC,
}

WRONG_FIRST_PACKETS = {
    "a length of zero": struct.pack("!I", 0),
    "a length below its own": struct.pack("!I", 7) + b"\x00\x03\x00",
    "a huge length": struct.pack("!II", 0x7FFFFFFF, 196608),
    "a negative length": struct.pack("!iI", -1, 196608),
    "a web request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no final NUL": struct.pack("!II", 8 + 8, 196608) + b"user\x00ann",
    "a name without a value": struct.pack("!II", 8 + 6, 196608) + b"user\x00\x00",
    "a Query before the startup": query("DELETE FROM app.users"),
    "the longest that the server reads": startup((3, 0), {"user": "", "x": "y" * (10_004 - 18)}),
    "one byte more": startup((3, 0), {"user": "", "x": "y" * (10_005 - 18)}),
}

WRONG_LENGTHS = {"zero": 0, "below its own": 3, "negative": -1, "the largest of 32 bits": 0x7FFFFFFF}


@pytest.fixture
def bystander(shop: Shop) -> Iterator[None]:
    """Keep another session busy during the test; it must get every answer, right and in time."""
    stop = threading.Event()
    answers: list[object] = []
    waits: list[float] = []

    def work() -> None:
        with psycopg.connect(shop.proxied.conninfo) as connection:
            connection.execute("CREATE TEMP TABLE mine (n int)")
            while not stop.is_set() or not answers:
                started = time.monotonic()
                connection.execute("INSERT INTO mine VALUES (1)")
                answers.append(connection.execute("SELECT count(*) FROM app.orders").fetchone())
                waits.append(time.monotonic() - started)
            answers.append(connection.execute("SELECT count(*) FROM mine").fetchone() == (len(waits),))

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join(30)
    assert answers == [(3,)] * len(waits) + [True]
    assert max(waits) < LONGEST_WAIT
    assert shop.proxy.process.poll() is None


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("name", UNPARSABLE)
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_unparsable_text_gets_the_servers_own_error_with_its_position(
    shop: Shop, name: str, protocol: str
) -> None:
    text = UNPARSABLE[name]
    packet = query(text) if protocol == "simple" else parse(text) + bind() + execute() + SYNC
    with RawClient(shop.proxied) as through, RawClient(shop.direct.as_user("ann")) as straight:
        through.log_in()
        straight.log_in()
        answer, expected = (comparable(client.ask(packet), without="FLRH") for client in (through, straight))
        assert answer == expected
        assert [kind for kind, _ in answer] == [b"E", b"Z"]
        assert through.ask(query("SELECT 1"))[-1] == Message(b"Z", b"I")
    assert not shop.is_deleted(1)


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("name", WRONG_PACKETS)
def test_a_wrong_packet_is_answered_as_on_a_direct_connection(shop: Shop, name: str) -> None:
    through = comparable(talk(shop.proxied, WRONG_PACKETS[name]))
    assert through == comparable(talk(shop.direct.as_user("ann"), WRONG_PACKETS[name]))


@pytest.mark.usefixtures("bystander")
def test_what_was_sent_before_a_goodbye_is_still_answered(shop: Shop) -> None:
    data = query("DELETE FROM app.users WHERE id = 1") + parse("SELECT 1") + bind() + execute() + SYNC
    answers = [one.type for one in talk(shop.proxied, data, end=TERMINATE)]
    assert answers == [b"C", b"Z", b"1", b"2", b"D", b"C", b"Z", b"T", b"D", b"C", b"Z"]
    assert shop.is_deleted(1)


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("name", WRONG_FIRST_PACKETS)
def test_a_wrong_first_packet_is_answered_as_by_the_server(shop: Shop, name: str) -> None:
    answers = []
    for target in (shop.proxied, shop.direct):
        with RawClient(target) as client:
            client.send(WRONG_FIRST_PACKETS[name])
            answers.append(comparable(client.read_to_end()))
    assert answers[0] == answers[1]
    assert not shop.is_deleted(1)


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("name", WRONG_LENGTHS)
@pytest.mark.parametrize("kind", [b"Q", b"P", b"S", b"d", b"B"])
def test_a_wrong_length_ends_the_session_with_an_error(shop: Shop, name: str, kind: bytes) -> None:
    with RawClient(shop.proxied) as client:
        client.log_in()
        client.send(kind + struct.pack("!i", WRONG_LENGTHS[name]) + b"DELETE FROM app.users\x00")
        error = client.read_to_end()[-1]
    assert (error.type, error.fields["S"], error.fields["C"]) in {
        (b"E", "FATAL", "08P01"),
        (b"E", "FATAL", "54000"),
    }
    assert not shop.is_deleted(1)


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("kept", [1, 4, 5, 10, -1])
def test_a_cut_packet_does_nothing_and_leaves_no_session_behind(shop: Shop, kept: int) -> None:
    packet = query("DELETE FROM app.users")
    with RawClient(shop.proxied) as client:
        client.log_in(application_name="cut packet")
        client.ask(query("BEGIN; DELETE FROM app.users WHERE id = 2"))
        client.send(packet[:kept])
    while shop.rows("SELECT 1 FROM pg_stat_activity WHERE application_name = 'cut packet'"):
        pass
    assert not shop.is_deleted(1) and not shop.is_deleted(2)


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("kept", [0, 1, 4, 8, 20])
def test_a_cut_startup_does_nothing(shop: Shop, kept: int) -> None:
    with RawClient(shop.proxied) as client:
        client.send(startup((3, 0), {"user": "ann", "database": shop.proxied.dbname})[:kept])


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_a_statement_longer_than_the_limit_is_refused(shop: Shop, protocol: str) -> None:
    text = "SELECT '" + "x" * (17 << 20) + "'"
    packet = query(text) if protocol == "simple" else parse(text) + SYNC
    with RawClient(shop.proxied) as client:
        client.log_in()
        client.send(packet)
        messages = client.read_until(b"E")
    assert messages[-1].fields["C"] == "54000"


@pytest.mark.usefixtures("bystander")
def test_a_long_statement_within_the_limit_is_served(shop: Shop) -> None:
    text = "SELECT length('" + "x" * (8 << 20) + "') FROM app.users WHERE id = 1"
    with RawClient(shop.proxied) as client:
        client.log_in()
        rows = [one.body for one in client.ask(query(text)) if one.type == b"D"]
    assert rows == [struct.pack("!HI", 1, 7) + str(8 << 20).encode()]


DEEP = {
    "a chain of 100,000 additions": "SELECT 1" + "+1" * 100_000,
    "a chain of additions over a protected table": "SELECT id" + "+1" * 100_000 + " FROM app.users",
    "a chain of additions in a DELETE": "DELETE FROM app.users WHERE id < 1" + "+1" * 100_000,
    "100,000 brackets": "SELECT " + "(" * 100_000 + "1" + ")" * 100_000,
    "100,000 negations": "SELECT " + "- " * 100_000 + "1",
    "100,000 NOTs": "SELECT * FROM app.users WHERE " + "NOT " * 100_000 + "true",
    "10,000 nested sub-selects": "SELECT * FROM "
    + "(SELECT * FROM " * 10_000
    + "app.users"
    + ") AS s" * 10_000,
    "100,000 UNIONs": "SELECT id FROM app.users" + " UNION ALL SELECT 1" * 100_000,
    "100,000 joins": "SELECT 1 FROM app.users u" + " CROSS JOIN app.notes" * 100_000,
    "10,000 array subscripts": "SELECT (ARRAY[1])" + "[1]" * 10_000,
    "100,000 casts": "SELECT 1" + "::int" * 100_000,
}


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_a_statement_nested_too_deep_is_refused_and_the_session_goes_on(
    shop: Shop, name: str, protocol: str
) -> None:
    packet = query(DEEP[name]) if protocol == "simple" else parse(DEEP[name]) + SYNC
    expected = code_of(shop.direct.as_user("ann"), packet)
    with RawClient(shop.proxied) as client:
        client.log_in()
        answer = client.ask(packet)
        assert [one.type for one in answer] == [b"E", b"Z"]
        assert answer[0].fields["C"] == expected
        assert [one.type for one in client.ask(query("SELECT 1"))] == [b"T", b"D", b"C", b"Z"]
    assert not shop.is_deleted(1)


@pytest.mark.usefixtures("bystander")
def test_a_thousand_nested_sub_selects_are_answered_as_the_server_would(shop: Shop) -> None:
    text = "SELECT * FROM " + "(SELECT * FROM " * 1000 + "app.users" + ") AS s" * 1000
    with RawClient(shop.proxied) as client:
        client.log_in()
        answer = client.ask(query(text))
    assert [one.type for one in answer] == [b"T", b"D", b"D", b"D", b"C", b"Z"]


def code_of(target: Target, packet: bytes) -> str:
    """Return the SQLSTATE that a target answers with."""
    with RawClient(target) as client:
        client.log_in()
        return client.ask(packet)[0].fields["C"]


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize(
    "text", [b"SELECT 1\x00; DELETE FROM app.users", b"\x00DELETE FROM app.users", b"\x00\x00"]
)
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_a_nul_in_the_text_is_a_protocol_violation_and_nothing_runs(
    shop: Shop, text: bytes, protocol: str
) -> None:
    packet = query(text) if protocol == "simple" else parse(text) + bind() + execute() + SYNC
    errors = [one.fields["C"] for one in talk(shop.proxied, packet) if one.type == b"E"]
    assert errors == ["08P01"]
    assert not shop.is_deleted(1)


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize(
    "text", [b"SELECT '\xff'", b"SELECT * FROM app.users WHERE name = '\xc3('", b"SELECT '\xed\xa0\x80'"]
)
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_bytes_that_are_not_of_the_clients_encoding_are_refused_as_by_the_server(
    shop: Shop, text: bytes, protocol: str
) -> None:
    packet = query(text) if protocol == "simple" else parse(text) + SYNC
    with RawClient(shop.proxied) as through, RawClient(shop.direct.as_user("ann")) as straight:
        through.log_in()
        straight.log_in()
        answers = [comparable(client.ask(packet)) for client in (through, straight)]
        assert answers[0] == answers[1]
        assert [kind for kind, _ in answers[0]] == [b"E", b"Z"]
        assert through.ask(query("SELECT 1"))[-1] == Message(b"Z", b"I")


@pytest.mark.usefixtures("bystander")
def test_latin1_text_is_understood_as_such(shop: Shop) -> None:
    with RawClient(shop.proxied) as client:
        client.log_in(client_encoding="LATIN1")
        rows = [
            one.body
            for one in client.ask(query(b"SELECT '\xe4' FROM app.users WHERE id = 1"))
            if one.type == b"D"
        ]
        assert rows == [b"\x00\x01\x00\x00\x00\x01\xe4"]


@pytest.mark.usefixtures("bystander")
def test_a_function_call_message_is_refused_and_the_session_goes_on(shop: Shop) -> None:
    call = function_call(1598)  # random()
    with RawClient(shop.proxied) as client:
        client.log_in()
        answer = client.ask(call)
        assert [(one.type, one.fields.get("C")) for one in answer if one.type == b"E"] == [(b"E", "0A000")]
        assert client.ask(query("SELECT 1"))[-1] == Message(b"Z", b"I")


@pytest.mark.usefixtures("bystander")
def test_a_flood_of_bad_clients_is_survived(shop: Shop) -> None:
    for _ in range(50):
        with RawClient(shop.proxied) as client:
            client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200))  # a TLS ClientHello
        with RawClient(shop.proxied) as client:
            client.log_in()
            client.send(b"Q\x00\x00")
    assert shop.proxy.process.poll() is None
