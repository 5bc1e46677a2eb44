"""What comes before the first statement: requests for encryption, versions, protocol options, their failures."""

import os
import re
import signal
import struct
from pathlib import Path

import psycopg
import pytest

from tests.clients.raw import GSSENC_REQUEST, SSL_REQUEST, Message, RawClient, comparable, query, startup
from tests.clients.shop import Shop, Target
from tests.clients.terminal import terminal, wait_until_sleeping

STARTUPS = {
    "3.0": ((3, 0), {}),
    "3.1, which no server speaks": ((3, 1), {}),
    "3.2": ((3, 2), {}),
    "3.9": ((3, 9), {}),
    "3.9999": ((3, 9999), {}),
    "3.2 with protocol options": ((3, 2), {"_pq_.one": "1", "_pq_.command_compression": "on"}),
    "3.0 with a protocol option": ((3, 0), {"_pq_.something": "on"}),
    "3.9999 with protocol options": ((3, 9999), {"_pq_.one": "1", "_pq_.two": "", "application_name": "x"}),
    "settings": ((3, 0), {"DateStyle": "German", "search_path": "app", "client_encoding": "LATIN1"}),
    "options": ((3, 0), {"options": r"-c work_mem=2MB --search_path=app,\ public -c a.b=c"}),
}

FAILURES = {
    "an unknown setting": ((3, 0), {"no_such_setting": "1"}),
    "a bad value": ((3, 0), {"work_mem": "much"}),
    "a bad option": ((3, 0), {"options": "-c"}),
    "no user": ((3, 0), {"user": ""}),
    "an unknown role": ((3, 0), {"user": "nobody_at_all"}),
    "an unknown database": ((3, 0), {"database": "no_such_database"}),
    "a newer major version": ((4, 0), {}),
}


def without_key(messages: list[Message]) -> list[tuple[bytes, object]]:
    """Return messages without what differs from session to session: the cancel key, but not its length."""
    # Without source file, line and routine: a refusal of the proxy's own has none.
    return [
        (kind, len(one.body) if kind == b"K" else told)
        for one, (kind, told) in zip(messages, comparable(messages), strict=True)
    ]


def greeting(
    target: Target, version: tuple[int, int], parameters: dict[str, str]
) -> list[tuple[bytes, object]]:
    """Start a session; return all that the server says to it, up to ReadyForQuery or the end."""
    with RawClient(target) as client:
        client.send(startup(version, {"user": target.user, "database": target.dbname, **parameters}))
        messages = []
        while True:
            try:
                messages.append(client.read_message())
            except EOFError:
                break
            if messages[-1].type == b"Z":
                break
        return without_key(messages)


@pytest.mark.parametrize("name", STARTUPS)
def test_greeting_is_that_of_the_server(shop: Shop, name: str) -> None:
    direct = greeting(shop.direct.as_user("ann"), *STARTUPS[name])
    assert direct[-1] == (b"Z", b"I")
    assert greeting(shop.proxied, *STARTUPS[name]) == direct


@pytest.mark.parametrize("name", FAILURES)
def test_refused_startup_is_refused_in_the_servers_words(shop: Shop, name: str) -> None:
    ends = []
    for target in (shop.proxied, shop.direct.as_user("ann")):
        kind, fields = greeting(target, *FAILURES[name])[-1]
        assert isinstance(fields, dict)
        ends.append((kind, fields["S"], fields["C"], fields["M"]))
    assert ends[0] == ends[1]
    assert ends[0][:2] == (b"E", "FATAL")


@pytest.mark.parametrize("version", [(2, 0), (1, 0), (0, 0), (2, 9999), (1234, 5600), (65535, 65535)])
def test_a_protocol_of_another_age_is_refused_as_by_the_server(shop: Shop, version: tuple[int, int]) -> None:
    answers = []
    for target in (shop.proxied, shop.direct.as_user("ann")):
        with RawClient(target) as client:
            client.send(startup(version, {"user": "ann", "database": target.dbname}))
            answer = client.everything()
        # Some are told which versions the proxy speaks, before it knows any server, and not where in its source.
        told = re.sub(rb"(3\.0 to 3\.)\d(\0|\n)(F.*?R[^\0]*\0)?", rb"\1x\2", answer)
        answers.append(re.sub(rb"^E\0...", b"E", told, flags=re.DOTALL))
    assert answers[0] == answers[1]
    assert b"unsupported frontend protocol %d.%d: server supports 3.0 to 3.x" % version in answers[0]


def test_a_server_of_its_version_answers_3_9999_with_a_negotiation(shop: Shop) -> None:
    version, parameters = STARTUPS["3.9999 with protocol options"]
    kind, body = greeting(shop.proxied, version, parameters)[0]
    assert kind == b"v"
    assert isinstance(body, bytes)
    newest, options = struct.unpack("!II", body[:8])
    assert newest & 0xFFFF == (0 if shop.server.version < 18 else 2)
    assert options == 2
    assert body[8:] == b"_pq_.one\x00_pq_.two\x00"


@pytest.mark.parametrize("request_bytes", [SSL_REQUEST, GSSENC_REQUEST], ids=["ssl", "gssenc"])
def test_encryption_that_is_not_offered_is_declined_and_the_session_starts_in_clear(
    shop: Shop, request_bytes: bytes
) -> None:
    with RawClient(shop.proxied) as client:
        client.send(request_bytes)
        assert client.read(1) == b"N"
        assert client.log_in()[-1] == Message(b"Z", b"I")


def test_both_requests_for_encryption_may_come_before_the_startup(shop: Shop) -> None:
    with RawClient(shop.proxied) as client:
        client.send(GSSENC_REQUEST)
        assert client.read(1) == b"N"
        client.send(SSL_REQUEST)
        assert client.read(1) == b"N"
        assert client.log_in()[-1] == Message(b"Z", b"I")


def test_a_client_that_insists_on_encryption_is_told_so(shop: Shop) -> None:
    with pytest.raises(psycopg.OperationalError, match="server does not support SSL, but SSL was required"):
        psycopg.connect(shop.proxied.conninfo, sslmode="require")


def test_a_startup_that_arrives_byte_by_byte_is_understood(shop: Shop) -> None:
    with RawClient(shop.proxied) as client:
        packet = startup((3, 0), {"user": client.target.user, "database": client.target.dbname})
        for position in range(len(packet)):
            client.send(packet[position : position + 1])
        assert client.read_until(b"Z")[-1] == Message(b"Z", b"I")


def test_statements_sent_along_with_the_startup_are_answered_after_it(shop: Shop) -> None:
    with RawClient(shop.proxied) as client:
        packet = startup((3, 0), {"user": client.target.user, "database": client.target.dbname})
        client.send(packet + query("SELECT count(*) FROM app.users") + query("SELECT 7"))
        client.read_until(b"Z")
        rows = [message.body for message in client.read_until(b"Z") if message.type == b"D"]
        assert rows == [b"\x00\x01\x00\x00\x00\x013"]
        assert b"7" in next(one.body for one in client.read_until(b"Z") if one.type == b"D")


def test_without_a_database_name_the_users_own_is_meant(shop: Shop) -> None:
    with RawClient(shop.proxied) as client:
        client.send(startup((3, 0), {"user": "ann"}))
        (error,) = client.read_to_end()[-1:]
    assert (error.type, error.fields["C"]) == (b"E", "3D000")
    assert error.fields["M"] == 'database "ann" does not exist'


def test_a_replication_connection_is_refused(shop: Shop) -> None:
    with RawClient(shop.proxied.as_user(shop.direct.user)) as client:
        parameters = {"user": client.target.user, "database": client.target.dbname, "replication": "database"}
        client.send(startup((3, 0), parameters))
        (error,) = client.read_to_end()
    assert (error.type, error.fields["S"], error.fields["C"]) == (b"E", "FATAL", "0A000")


@pytest.mark.parametrize("version", ["3.0", "3.2", "latest"])
def test_psql_18_speaks_each_protocol_version_and_cancels_in_it(
    psql_18: Path, shop: Shop, version: str
) -> None:
    with terminal(psql_18, shop.proxied, {"PGMAXPROTOCOLVERSION": version}) as session:
        session.send("SELECT pg_sleep(60), 'in protocol';")
        wait_until_sleeping(shop, "in protocol")
        os.kill(session.process.pid, signal.SIGINT)
        assert "ERROR:  canceling statement due to user request" in session.wait_for_prompt()
        assert " 3\n" in session.ask("SELECT count(*) FROM app.users;")
