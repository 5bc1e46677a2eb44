"""The fixtures keep their own promises."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.fix_proxy import RunningProxy, start_anew, toml
from tests.fix_servers import Database
from tests.nursery import bear
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


def test_a_proxy_that_is_forked_ends_as_one_that_is_started_does(tmp_path: Path) -> None:
    ends = []
    for start in (start_anew, bear):
        process = start(("run", "--config", "absent.toml"), tmp_path, os.environ)
        assert process.stdout is not None
        with process.stdout as printed:
            ends.append((printed.read(), process.wait(), process.poll()))
    assert ends[0] == ends[1]
    assert ends[0][1:] == (2, 2)


def test_a_proxy_that_is_forked_has_a_session_a_folder_and_an_environment_of_its_own(
    database: Database, start_proxy: Callable[..., RunningProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSOFTPROXY_LIMITS__CONNECTIONS", "7")
    proxy = start_proxy(database)
    assert proxy.metric("pgsoftproxy_connections_limit") == 7
    pid = proxy.process.pid
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/cwd").readlink() == proxy.config.parent
    assert {Path(f"/proc/{pid}/fd/{number}").readlink().name[:4] for number in (1, 2)} == {"pipe"}
    proxy.process.kill()
    assert proxy.process.wait(30) == -signal.SIGKILL


def test_sections_are_written_as_toml() -> None:
    text = toml({"listen": {"host": "h", "port": 0}, "tables": {"app.*": {"column": "gone"}, "app.x": {}}})
    assert text == '["listen"]\n"host" = "h"\n"port" = 0\n["tables"."app.*"]\n"column" = "gone"\n'
