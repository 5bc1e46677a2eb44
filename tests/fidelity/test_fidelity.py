"""Real clients over tables that nobody protects: through the proxy they hear the server's own bytes."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import psycopg
import pytest

from tests.clients.shop import Target
from tests.fidelity.recording import SERVER, comparable, recorded, replay
from tests.fidelity.visitors import MORE_VISITORS, SCHEMA, VISITORS, Visitor
from tests.fix_proxy import RunningProxy, config_text
from tests.fix_shop import temporary_database
from tests.servers import LocalServer, Server, execute

CONFIG = """
[tables."app.users"]
[roles.ann]
visibility = ["live", "all"]
"""


@dataclass(frozen=True)
class House:
    """A server with a template of the visited database, and a proxy before it."""

    server: Server
    proxy: RunningProxy
    template: str

    def direct(self, dbname: str) -> Target:
        """Return the way without the proxy."""
        return Target(self.server.host, self.server.port, dbname, "ann")

    def proxied(self, dbname: str) -> Target:
        """Return the way through the proxy."""
        return Target(self.proxy.host, self.proxy.port, dbname, "ann")

    def copies(self, stack: ExitStack) -> Iterator[str]:
        """Yield names of fresh copies, with the same OIDs, all of the same length; they go with the stack."""
        base = f"visit_{uuid4().hex[:8]}"
        for number in range(10):
            name = f"{base}_{number}"
            execute(self.server.dsn(), f"CREATE DATABASE {name} TEMPLATE {self.template}")
            stack.callback(execute, self.server.dsn(), f"DROP DATABASE {name} WITH (FORCE)")
            yield name


@pytest.fixture(scope="module")
def house(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a template and a proxy, whose control connection has a database of its own: none may hold the template."""
    with temporary_database(server, SCHEMA) as template, temporary_database(server, SCHEMA) as control:
        config = tmp_path_factory.mktemp("house") / "proxy.toml"
        config.write_text(config_text(server, control, CONFIG))
        proxy = RunningProxy(config, server, control)
        try:
            yield House(server, proxy, template)
        finally:
            proxy.stop()


@pytest.mark.parametrize(
    "visit",
    [*VISITORS, *(pytest.param(more, marks=pytest.mark.slow) for more in MORE_VISITORS)],
    ids=lambda visit: visit.__name__,
)
def test_a_client_sees_and_hears_the_same_through_the_proxy(house: House, visit: Visitor) -> None:
    with ExitStack() as stack:
        copies = house.copies(stack)
        first = next(copies)
        with recorded(house.direct(first)) as relay:
            seen = visit(relay.at)
        second = next(copies)
        through = visit(house.proxied(second))
        assert named(through, second) == named(seen, first)
        third, fourth = next(copies), next(copies)
        assert relay.conversations
        for conversation in relay.conversations:
            direct = comparable(replay(conversation, house.direct(third), first), third)
            proxied = comparable(replay(conversation, house.proxied(fourth), first), fourth)
            assert proxied == direct
            assert len(direct) >= len(comparable(conversation.said(SERVER), first)) > 0


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_login_by_scram_is_heard_as_without_the_proxy(
    new_server: Callable[..., LocalServer], start_proxy: Callable[..., RunningProxy], driver: str
) -> None:
    server = new_server(hba="host all locked 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")
    execute(server.dsn(), "CREATE ROLE locked LOGIN PASSWORD 'pencil'")
    proxy = start_proxy(server)
    heard = []
    for port in (server.port, proxy.port):
        with recorded(Target("127.0.0.1", port, "postgres", "locked")) as relay:
            log_in(driver, relay.at)
        (conversation,) = relay.conversations
        heard.append(comparable(conversation.said(SERVER), "postgres"))
    assert heard[1] == heard[0]
    assert [body for kind, body in heard[0] if kind == b"R"][1:] == [
        b"\0\0\0\x0b(drawn by lot)",
        b"\0\0\0\x0c(drawn by lot)",
        b"\0\0\0\0",
    ]


def log_in(driver: str, target: Target) -> None:
    """Log in with a password, and ask something."""
    if driver == "psycopg":
        with psycopg.connect(target.conninfo, password="pencil") as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("locked",)
        return

    async def talk() -> None:
        connection = await asyncpg.connect(**target.keywords, password="pencil")
        assert await connection.fetchval("SELECT current_user") == "locked"
        await connection.close()

    asyncio.run(talk())


def named(seen: list[object], dbname: str) -> str:
    """Return what a user saw without the database's name, where the places of the servers' sources are the same."""
    return repr(seen).replace(dbname, "(db)")
