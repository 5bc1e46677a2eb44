"""pg_dump through the proxy: a backup of what is live, which can be loaded through the proxy again."""

import re
import subprocess

import psycopg
import pytest

from tests.clients.shop import LIVE_USERS, Shop, Target
from tests.clients.terminal import ENVIRONMENT
from tests.fix_shop import temporary_database
from tests.servers import execute, find_programs

DELETED = re.compile(r"^.*\t2024-0\d-\d\d 12:00:00\+00.*\n", re.M)
NOISE = re.compile(r"^(\\(un)?restrict .*|SET transaction_timeout = 0;)\n", re.M)
"""A random word that pg_dump brackets its output with; a setting that PostgreSQL 15 does not know."""


def dump(target: Target, *options: str) -> str:
    """Return what pg_dump of PostgreSQL 18 writes."""
    folder = find_programs(18)
    assert folder is not None
    done = subprocess.run(
        [folder / "pg_dump", "-d", target.conninfo, *options],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return NOISE.sub("", done.stdout)


def test_a_dump_is_that_of_a_direct_connection_without_deleted_rows(shop: Shop) -> None:
    direct = dump(shop.direct.as_user("ann"))
    without = DELETED.sub("", direct)
    assert len(direct.splitlines()) - len(without.splitlines()) == 4
    assert dump(shop.proxied) == without


def test_a_schema_dump_is_that_of_a_direct_connection(shop: Shop) -> None:
    assert dump(shop.proxied, "--schema-only") == dump(shop.direct.as_user("ann"), "--schema-only")


@pytest.mark.parametrize("form", ["--inserts", "--column-inserts", "--rows-per-insert=2"])
def test_a_dump_as_inserts_holds_live_rows_only(shop: Shop, form: str) -> None:
    text = dump(shop.proxied, form, "--data-only")
    assert re.findall(r"\w+@example.org", text) == ["ada@example.org", "bob@example.org", "cyd@example.org"]


def test_a_dump_can_be_loaded_through_the_proxy(shop: Shop) -> None:
    folder = find_programs(18)
    assert folder is not None
    text = dump(shop.proxied.as_user(shop.direct.user), "--no-acl", "--exclude-table=app.orders")
    with temporary_database(shop.server, "") as name:
        copy = Target(shop.proxied.host, shop.proxied.port, name, shop.direct.user)
        done = subprocess.run(
            [folder / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", copy.conninfo],
            input=text,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert execute(shop.server.dsn(name), "SELECT id, name FROM app.users ORDER BY id") == LIVE_USERS
        with psycopg.connect(copy.conninfo, autocommit=True) as connection:
            assert connection.execute("DELETE FROM app.users WHERE id = 1").statusmessage == "DELETE 1"
        assert execute(shop.server.dsn(name), "SELECT count(*) FROM app.users") == [(3,)]
