"""Control connections: what is told when they fail, and what is not."""

import asyncio
from collections.abc import Callable

import pytest

from pgsoftproxy.db.connection import connect, is_conninfo
from pgsoftproxy.errors import UpstreamUnavailable
from tests.fix_servers import Database
from tests.servers import LocalServer, Server


async def value(dsn: str, query: str, database: str | None = None) -> object:
    async with connect(dsn, database) as connection:
        row = await (await connection.execute(query.encode())).fetchone()
        return row[0] if row is not None else None


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("postgresql://u@h:5432/d", True),
        ("postgres://h", True),
        ("host=h dbname='a b'", True),
        ("", False),
        ("  ", False),
        ("h", False),
        ("hots=h", False),
        ("postgresql://h/d?no=1", False),
    ],
)
def test_a_connection_string_is_known_by_the_rules_of_libpq(text: str, known: bool) -> None:
    assert is_conninfo(text) is known


def test_a_control_connection_names_itself_and_the_database(database: Database, server: Server) -> None:
    assert asyncio.run(value(database.dsn, "SHOW application_name")) == "pgsoftproxy"
    assert asyncio.run(value(server.dsn(), "SELECT current_database()", database.name)) == database.name


def test_an_application_name_in_the_dsn_is_kept(database: Database) -> None:
    separator = "&" if "?" in database.dsn else "?"
    dsn = f"{database.dsn}{separator}application_name=mine"
    assert asyncio.run(value(dsn, "SHOW application_name")) == "mine"


@pytest.mark.parametrize(
    "form",
    ["postgresql://u:hunter2@127.0.0.1:{port}/d", "host=127.0.0.1 port={port} user=u password=hunter2"],
)
def test_a_server_that_is_not_there_is_told_without_the_password(form: str) -> None:
    with pytest.raises(UpstreamUnavailable, match="cannot be read: connection failed") as caught:
        asyncio.run(value(form.format(port=1), "SELECT 1"))
    assert "hunter2" not in caught.value.message
    assert "\n" not in caught.value.message


def test_a_wrong_password_is_told_without_it(new_server: Callable[..., LocalServer]) -> None:
    server = new_server(hba="local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    with pytest.raises(UpstreamUnavailable, match="password authentication failed") as caught:
        asyncio.run(
            value(f"host={server.host} port={server.port} user=postgres password=hunter2", "SELECT 1")
        )
    assert "hunter2" not in caught.value.message


def test_an_error_inside_the_block_is_an_unavailable_upstream(database: Database) -> None:
    with pytest.raises(UpstreamUnavailable, match="division by zero"):
        asyncio.run(value(database.dsn, "SELECT 1/0"))
