"""Replication connections through a running proxy, logical and physical."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database
from tests.raw import RawClient, frame, query, startup
from tests.servers import find_programs

Start = Callable[..., RunningProxy]
SCHEMA = """
CREATE SCHEMA app;
CREATE TABLE app.users (id int PRIMARY KEY, deleted_at timestamptz);
INSERT INTO app.users VALUES (1, NULL), (2, now());
"""
TABLE = '[tables."app.users"]\n'


def asked(dsn: str, kind: str, command: str) -> tuple[object, ...]:
    """Send one command over a replication connection and return its row, or what the server says against it."""
    try:
        with psycopg.connect(
            dsn, replication=kind, autocommit=True, cursor_factory=psycopg.ClientCursor
        ) as connection:
            row = connection.execute(command.encode()).fetchone()
    except psycopg.OperationalError as error:
        return (str(error).partition("FATAL")[2],)
    assert row is not None
    return tuple(row)


@pytest.mark.parametrize("kind", ["database", "true"])
def test_a_replication_connection_is_refused_unless_the_configuration_lets_it_pass(
    database: Database, start_proxy: Start, kind: str
) -> None:
    database.execute(SCHEMA)
    (refusal,) = asked(start_proxy(database, TABLE).dsn(), kind, "IDENTIFY_SYSTEM")
    assert "[statements] replication" in str(refusal)
    proxy = start_proxy(database, f'{TABLE}[statements]\nreplication = "warn"\n')
    direct = asked(database.server.dsn(database.name), kind, "IDENTIFY_SYSTEM")
    row = asked(proxy.dsn(), kind, "IDENTIFY_SYSTEM")
    assert (row[0], row[3:]) == (direct[0], direct[3:])
    assert proxy.metric("pgsoftproxy_warned_total", **{"class": "replication"}) == 1
    events = [event for event in proxy.logs() if event["event"] == "statement_runs_past_the_proxy"]
    assert [event["class"] for event in events] == ["replication"]


def test_what_passes_is_not_looked_into(database: Database, start_proxy: Start) -> None:
    database.execute(SCHEMA)
    proxy = start_proxy(database, f'{TABLE}[statements]\nreplication = "allow"\n')
    assert asked(proxy.dsn(), "database", "SELECT count(*) FROM app.users") == (2,)
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM app.users").fetchone() == (1,)


def test_changes_stream_through(database: Database, start_proxy: Start) -> None:
    database.execute(SCHEMA)
    database.execute("CREATE PUBLICATION p FOR TABLE app.users")
    proxy = start_proxy(database, f'{TABLE}[statements]\nreplication = "allow"\n')
    packet = startup(user=database.server.user, database=database.name, replication="database")
    with RawClient(proxy.host, proxy.port) as client:
        assert client.send(packet).until(b"Z")[-1][0] == b"Z"
        client.query('CREATE_REPLICATION_SLOT "s" TEMPORARY LOGICAL pgoutput')
        with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
            connection.execute("DELETE FROM app.users WHERE id = 1")
        client.send(query("START_REPLICATION SLOT s LOGICAL 0/0 (proto_version '1', publication_names 'p')"))
        assert client.recv()[0] == b"W"
        changes = b""
        while b"U" not in changes:
            kind, body = client.recv()
            assert kind == b"d", (kind, body)
            changes += (
                body[25:26] if body[:1] == b"w" else b""
            )  # the type of a change stands behind its place
    assert changes == b"BRU"


def streamed(host: str, port: int, user: str, start: str) -> list[tuple[bytes, bytes]]:
    """Stream from a place in the log, tell the server to end, ask it something; return what it says but the log."""
    with RawClient(host, port) as client:
        client.send(startup(user=user, database="", replication="true")).until(b"Z")
        client.send(query(f"START_REPLICATION PHYSICAL {start}"))
        answer = client.until(b"W") + client.until(b"d")[-1:]
        status = b"r" + bytes(24) + bytes(9)
        client.send(frame(b"d", status) + frame(b"c"))
        ended = [(kind, body) for kind, body in client.until(b"Z") if kind != b"d"]
        refused = client.query("START_REPLICATION PHYSICAL 0/0 TIMELINE 77")
        kinds = [(kind, b"") for kind, _ in client.query("IDENTIFY_SYSTEM")]
        return [answer[0], *ended, *refused, *kinds]


def test_a_stream_that_the_client_ends_goes_on_with_commands(database: Database, start_proxy: Start) -> None:
    server = database.server
    ((start,),) = database.execute("SELECT pg_current_wal_flush_lsn()")
    database.execute(SCHEMA)
    proxy = start_proxy(database, f'{TABLE}[statements]\nreplication = "allow"\n')
    through = streamed(proxy.host, proxy.port, server.user, start)
    assert through == streamed(server.host, server.port, server.user, start)
    assert [kind for kind, _ in through] == [*map(bytes, zip(b"WcCCZEZTDCZ"))]


def test_pg_receivewal_streams_through(database: Database, start_proxy: Start, tmp_path: Path) -> None:
    programs = find_programs(18)
    assert programs is not None
    database.execute(SCHEMA)
    proxy = start_proxy(database, f'{TABLE}[statements]\nreplication = "allow"\n')
    ((end,),) = database.execute("SELECT pg_current_wal_lsn()")
    folder = tmp_path / "received"
    folder.mkdir()
    place = f"host={proxy.host} port={proxy.port} user={database.server.user}"
    command = [
        str(programs / "pg_receivewal"),
        "-D",
        str(folder),
        "-d",
        place,
        "--no-loop",
        "--no-sync",
        f"--endpos={end}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [path.stat().st_size for path in folder.iterdir()] == [16 << 20]
