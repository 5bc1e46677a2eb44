"""Several databases behind one upstream: a policy of its own for each, and none without one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql

from tests.clients.raw import RawClient, startup
from tests.clients.shop import Target
from tests.fix_proxy import RunningProxy
from tests.fix_shop import temporary_database
from tests.servers import Server, execute

SCRIPT = """
CREATE TABLE public.items (id int PRIMARY KEY, deleted_at timestamptz, gone boolean NOT NULL DEFAULT false);
INSERT INTO public.items VALUES (1, NULL, false), (2, now(), false), (3, NULL, true);
CREATE TABLE public.plain (id int PRIMARY KEY, deleted_at timestamptz);
INSERT INTO public.plain VALUES (1, NULL), (2, now());
GRANT ALL ON ALL TABLES IN SCHEMA public TO ann;
"""
COUNTS = "SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM plain)"


@dataclass(frozen=True, slots=True)
class Three:
    """The names of three databases of the same content."""

    server: Server
    one: str
    two: str
    shut: str


@pytest.fixture
def three(server: Server) -> Iterator[Three]:
    with (
        temporary_database(server, SCRIPT) as one,
        temporary_database(server, SCRIPT) as two,
        temporary_database(server, SCRIPT) as shut,
    ):
        yield Three(server, one, two, shut)


def through(proxy: RunningProxy, database: str) -> list[tuple[int, ...]]:
    with psycopg.connect(proxy.dsn(database, "ann"), autocommit=True) as connection:
        return connection.execute(COUNTS).fetchall()


def test_each_database_has_its_own_rules(three: Three, start_proxy: Callable[..., RunningProxy]) -> None:
    proxy = start_proxy(
        three.server,
        f"""
        [tables."public.items"]
        [databases.{three.two}.tables."public.items"]
        column = "gone"
        [databases.{three.two}.tables."public.plain"]
        """,
        control={"dsn": three.server.dsn(three.one)},
    )
    assert through(proxy, three.one) == [(2, 2)]
    assert through(proxy, three.two) == [(2, 1)]
    with psycopg.connect(proxy.dsn(three.two, "ann"), autocommit=True) as connection:
        assert connection.execute("DELETE FROM items WHERE id < 3").statusmessage == "DELETE 2"
    assert execute(three.server.dsn(three.two), "SELECT id, gone, deleted_at IS NULL FROM items ORDER BY id") == [
        (1, True, True), (2, True, False), (3, True, True),
    ]  # fmt: skip
    assert through(proxy, three.one) == [(2, 2)]


def test_sessions_in_different_databases_do_not_mix_their_plans(
    three: Three, start_proxy: Callable[..., RunningProxy]
) -> None:
    proxy = start_proxy(
        three.server,
        f'[databases.{three.two}.tables."public.*"]',
        control={"dsn": three.server.dsn(three.one)},
    )
    with (
        psycopg.connect(proxy.dsn(three.one, "ann"), autocommit=True, prepare_threshold=0) as one,
        psycopg.connect(proxy.dsn(three.two, "ann"), autocommit=True, prepare_threshold=0) as two,
    ):
        for _ in range(3):
            assert one.execute(COUNTS).fetchall() == [(3, 2)]
            assert two.execute(COUNTS).fetchall() == [(2, 1)]


def test_a_database_whose_catalog_cannot_be_read_refuses_sessions_until_it_can(
    three: Three, start_proxy: Callable[..., RunningProxy]
) -> None:
    shut = sql.Identifier(three.shut).as_string(None)
    execute(
        three.server.dsn(),
        f"REVOKE CONNECT ON DATABASE {shut} FROM public; GRANT CONNECT ON DATABASE {shut} TO ann",
    )
    proxy = start_proxy(
        three.server,
        '[tables."public.items"]',
        control={"dsn": three.server.dsn(three.one, "support")},
    )
    with RawClient(Target(proxy.host, proxy.port, three.shut, "ann")) as client:
        client.send(startup((3, 0), {"user": "ann", "database": three.shut}))
        (error,) = client.read_to_end()
    assert (error.type, error.fields["S"], error.fields["C"]) == (b"E", "FATAL", "57P03")
    assert through(proxy, three.one) == [(2, 2)]
    execute(three.server.dsn(), f"GRANT CONNECT ON DATABASE {shut} TO support")
    assert through(proxy, three.shut) == [(2, 2)]


def test_a_database_made_later_is_served_under_the_common_rules(
    three: Three, server: Server, start_proxy: Callable[..., RunningProxy]
) -> None:
    proxy = start_proxy(server, '[tables."public.*"]', control={"dsn": server.dsn(three.one)})
    assert through(proxy, three.one) == [(2, 1)]
    with temporary_database(server, SCRIPT) as later:
        assert through(proxy, later) == [(2, 1)]
