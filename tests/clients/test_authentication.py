"""Authentication is between client and server: the proxy relays each method and each failure as it is."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.clients.raw import RawClient, startup
from tests.clients.shop import CONFIG, ROLES, ROWS, SCHEMA, Target
from tests.fix_proxy import RunningProxy, config_text
from tests.fix_servers import VERSIONS
from tests.servers import LocalServer, execute, find_programs, local_server

METHODS = ("trust", "password", "md5", "scram-sha-256")
HBA = """
host all postgres 127.0.0.1/32 trust
host all rejected 127.0.0.1/32 reject
host app with_trust 127.0.0.1/32 trust
host app with_password 127.0.0.1/32 password
host app with_md5 127.0.0.1/32 md5
host app with_scram-sha-256 127.0.0.1/32 scram-sha-256
"""
PASSWORD = "pä ss'w=rd"


@dataclass(frozen=True, slots=True)
class Place:
    """A server with passwords, its proxy, and connection strings for both."""

    server: LocalServer
    proxy: RunningProxy

    def conninfo(self, user: str, password: str | None, *, direct: bool = False) -> str:
        end = self.server if direct else self.proxy
        return make_conninfo(
            end.dsn("app", user), password=password, passfile="/nonexistent", connect_timeout=20
        )

    def target(self, user: str, *, direct: bool) -> Target:
        end = self.server if direct else self.proxy
        return Target(end.host, end.port, "app", user)


@pytest.fixture(scope="module", params=VERSIONS, ids="pg{}".format)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    server = local_server(request.param, hba=HBA)
    try:
        execute(server.dsn(), "CREATE DATABASE app")
        for role in ROLES:
            execute(server.dsn(), f"CREATE ROLE {role} LOGIN")
        execute(server.dsn("app"), SCHEMA + ROWS)
        for method in METHODS:
            encryption = "md5" if method == "md5" else "scram-sha-256"
            password = "NULL" if method == "trust" else "'" + PASSWORD.replace("'", "''") + "'"
            execute(
                server.dsn("app"),
                f"SET password_encryption = '{encryption}'; CREATE ROLE \"with_{method}\" LOGIN IN ROLE ann "
                f"PASSWORD {password}",
            )
        execute(server.dsn(), "CREATE ROLE rejected LOGIN; CREATE ROLE unlisted LOGIN")
        config = tmp_path_factory.mktemp("auth") / "proxy.toml"
        config.write_text(config_text(server, "app", CONFIG))
        proxy = RunningProxy(config, server, "app")
        try:
            yield Place(server, proxy)
        finally:
            proxy.stop()
    finally:
        server.destroy()


@pytest.mark.parametrize("method", METHODS)
def test_each_method_lets_the_right_password_in(place: Place, method: str) -> None:
    with psycopg.connect(place.conninfo(f"with_{method}", PASSWORD)) as connection:
        assert connection.execute("SELECT current_user, count(*) FROM app.users").fetchall() == [
            (f"with_{method}", 3)
        ]


@pytest.mark.parametrize("method", METHODS)
async def test_each_method_lets_asyncpg_in(place: Place, method: str) -> None:
    keywords = place.target(f"with_{method}", direct=False).keywords
    connection = await asyncpg.connect(**keywords, password=PASSWORD)
    try:
        assert await connection.fetchval("SELECT count(*) FROM app.users") == 3
    finally:
        await connection.close()


@pytest.mark.parametrize("password", ["wrong", "", None], ids=["wrong", "empty", "none"])
@pytest.mark.parametrize(
    "user", [*(f"with_{method}" for method in METHODS[1:]), "nobody", "rejected", "unlisted"]
)
def test_a_failed_login_fails_as_on_a_direct_connection(
    place: Place, user: str, password: str | None
) -> None:
    errors = []
    for direct in (True, False):
        with pytest.raises(psycopg.OperationalError) as caught:
            psycopg.connect(place.conninfo(user, password, direct=direct))
        errors.append(
            str(caught.value).replace(f"port {place.server.port}", "").replace(f"port {place.proxy.port}", "")
        )
    assert errors[0] == errors[1]


def test_the_servers_own_words_and_sqlstate_reach_a_client_with_a_wrong_password(place: Place) -> None:
    answers = []
    for direct in (True, False):
        with RawClient(place.target("with_password", direct=direct)) as client:
            client.send(startup((3, 0), {"user": "with_password", "database": "app"}))
            asked = client.read_message()
            client.send(b"p\x00\x00\x00\x0awrong\x00")
            answers.append([asked, *client.read_to_end()])
    assert answers[0] == answers[1]
    assert answers[1][-1].fields["C"] == "28P01"


def test_a_client_that_leaves_when_asked_for_a_password_leaves_no_session_behind(place: Place) -> None:
    with RawClient(place.target("with_scram-sha-256", direct=False)) as client:
        client.send(startup((3, 0), {"user": "with_scram-sha-256", "database": "app"}))
        assert client.read_message().type == b"R"
    query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'with_scram-sha-256'"
    while execute(place.server.dsn(), query) != [(0,)]:
        pass
    assert place.proxy.process.poll() is None


def test_psql_asks_for_a_password_and_gets_in(place: Place) -> None:
    programs = find_programs(18)
    assert programs is not None
    done = subprocess.run(
        [programs / "psql", "-X", "-At", "-d", place.conninfo("with_scram-sha-256", None)],
        input="SELECT count(*) FROM app.users",
        env={"PGPASSWORD": PASSWORD, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
