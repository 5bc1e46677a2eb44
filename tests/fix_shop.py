"""The fixture `shop`: one shop and one proxy a module and server version, fresh rows for each test."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from psycopg import sql

from tests.clients import shop as contents
from tests.clients.shop import Shop, Target
from tests.fix_proxy import RunningProxy, config_text
from tests.servers import Server, execute


@contextmanager
def temporary_database(server: Server, script: str) -> Iterator[str]:
    """Create a database and the shop's roles, run a script in it, yield its name, drop it."""
    name = f"clients_{uuid4().hex[:12]}"
    present = {role for (role,) in execute(server.dsn(), "SELECT rolname FROM pg_roles")}
    for role in contents.ROLES:
        if role not in present:
            execute(server.dsn(), f"CREATE ROLE {sql.Identifier(role).as_string(None)} LOGIN")
    execute(server.dsn(), f"CREATE DATABASE {name}")
    try:
        execute(server.dsn(name), script)
        yield name
    finally:
        execute(server.dsn(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def shop_of_module(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One shop for all tests of a module: a proxy takes longer to start than most tests to run."""
    with temporary_database(server, contents.SCHEMA) as name:
        config = tmp_path_factory.mktemp("shop") / "proxy.toml"
        config.write_text(config_text(server, name, contents.CONFIG))
        proxy = RunningProxy(config, server, name)
        try:
            proxied = Target(proxy.host, proxy.port, name, "ann")
            yield Shop(server, proxy, proxied, Target(server.host, server.port, name, server.user))
        finally:
            proxy.stop()


@pytest.fixture
def shop(shop_of_module: Shop) -> Iterator[Shop]:
    """A shop whose rows are as `shop.ROWS` has them; proxied connections are an ordinary role's."""
    shop_of_module.execute(contents.ROWS)
    before = len(shop_of_module.proxy.output())
    yield shop_of_module
    print(shop_of_module.proxy.output()[before:])  # pytest shows it where the test failed
