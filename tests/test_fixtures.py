"""The fixtures keep their own promises."""

from collections.abc import Callable

import psycopg
import pytest

from tests.fix_proxy import toml
from tests.fix_servers import Database
from tests.servers import LocalServer, Server


def test_a_database_is_empty_and_on_the_server_it_names(database: Database) -> None:
    assert database.execute("SELECT current_database()") == [(database.name,)]
    assert database.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []


def test_a_server_has_the_version_it_names(server: Server) -> None:
    with psycopg.connect(server.dsn()) as connection:
        assert connection.info.server_version // 10000 == server.version


def test_a_killed_server_comes_back_on_its_port(new_server: Callable[..., LocalServer]) -> None:
    server = new_server(max_connections="20")
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("20",)
        port = server.port
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.dsn())
    server.start()
    assert server.port == port
    with psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_sections_are_written_as_toml() -> None:
    text = toml({"listen": {"host": "h", "port": 0}, "tables": {"app.*": {"column": "gone"}, "app.x": {}}})
    assert text == '["listen"]\n"host" = "h"\n"port" = 0\n["tables"."app.*"]\n"column" = "gone"\n'
