"""Tables in observe mode: nothing is rewritten, everything is counted."""

from collections.abc import Callable, Iterator
from functools import partial

import psycopg
import pytest

from tests.clients.shop import ALL_USERS, ROWS, SCHEMA, Shop, Target
from tests.fix_proxy import RunningProxy, config_text
from tests.fix_shop import temporary_database
from tests.servers import Server

CONFIG = """
[tables."app.users"]
mode = "observe"

[tables."app.orders"]
"""


@pytest.fixture(scope="module")
def observed_of_module(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    script = SCHEMA + "ALTER TABLE app.orders DROP CONSTRAINT orders_user_id_fkey"
    with temporary_database(server, script) as name:
        config = tmp_path_factory.mktemp("observed") / "proxy.toml"
        config.write_text(config_text(server, name, CONFIG))
        proxy = RunningProxy(config, server, name)
        try:
            proxied = Target(proxy.host, proxy.port, name, "ann")
            yield Shop(server, proxy, proxied, Target(server.host, server.port, name, server.user))
        finally:
            proxy.stop()


@pytest.fixture
def observed(observed_of_module: Shop) -> Shop:
    observed_of_module.execute(ROWS)
    return observed_of_module


class Counted:
    """What a metric has risen by since this was made."""

    def __init__(self, shop: Shop, name: str, **labels: str) -> None:
        self._read: Callable[[], float] = partial(shop.proxy.metric, name, **labels)
        self._start = self._read()

    @property
    def rise(self) -> float:
        return self._read() - self._start


def test_statements_on_an_observed_table_pass_as_they_are_and_are_counted(observed: Shop) -> None:
    users = Counted(observed, "pgsoftproxy_observed_total", table="app.users")
    statements = Counted(observed, "pgsoftproxy_statements_total", outcome="observed")
    with psycopg.connect(observed.proxied.conninfo, autocommit=True) as connection:
        assert connection.execute("SELECT id, name FROM app.users ORDER BY id").fetchall() == ALL_USERS
        assert users.rise == 1
        assert connection.execute("UPDATE app.users SET name = 'x' WHERE id = 4").rowcount == 1
        assert connection.execute("DELETE FROM app.users WHERE id = 3").statusmessage == "DELETE 1"
        assert users.rise == 3
        connection.execute("SELECT count(*) FROM app.notes")
        assert users.rise == 3
    assert observed.rows("SELECT count(*) FROM app.users") == [(4,)]
    assert statements.rise == 3


def test_an_enforced_table_beside_an_observed_one_is_guarded_in_the_same_statement(observed: Shop) -> None:
    users = Counted(observed, "pgsoftproxy_observed_total", table="app.users")
    deleted = Counted(observed, "pgsoftproxy_soft_deleted_rows_total", table="app.orders")
    with psycopg.connect(observed.proxied.conninfo, autocommit=True) as connection:
        query = "SELECT u.id, o.id FROM app.users u LEFT JOIN app.orders o ON o.user_id = u.id ORDER BY 1, 2"
        assert connection.execute(query).fetchall() == [(1, 1), (2, 3), (3, None), (4, 4), (5, None)]
        assert connection.execute("DELETE FROM app.orders WHERE id = 1").statusmessage == "DELETE 1"
    assert observed.rows("SELECT count(*) FROM app.orders") == [(5,)]
    assert (users.rise, deleted.rise) == (1, 1)


def test_what_enforcement_would_refuse_passes_while_observed(observed: Shop) -> None:
    users = Counted(observed, "pgsoftproxy_observed_total", table="app.users")
    with psycopg.connect(observed.proxied.conninfo, autocommit=True) as connection:
        assert connection.execute("TRUNCATE app.users").statusmessage == "TRUNCATE TABLE"
    assert observed.rows("SELECT count(*) FROM app.users") == [(0,)]
    assert users.rise == 1
