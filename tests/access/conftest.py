"""Certificates, a server and proxies for the tests of this room."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.access.authority import Authority
from tests.fix_proxy import Proxies, RunningProxy
from tests.fix_servers import VERSIONS
from tests.servers import LocalServer, execute, local_server

StartProxy = Callable[..., RunningProxy]

TABLES = '[tables."public.users"]'
SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, deleted_at timestamptz);
INSERT INTO users VALUES (1, NULL), (2, now());
GRANT SELECT ON users TO PUBLIC;
"""


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give an authority that proxies and clients trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give an authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="session")
def own(authority: Authority) -> tuple[str, str]:
    """Give the certificate of the proxies, and its key."""
    return authority.issue("proxy", hosts=("127.0.0.1", "localhost"))


@pytest.fixture(scope="module", params=VERSIONS, ids="pg{}".format)
def shop(request: pytest.FixtureRequest) -> Iterator[LocalServer]:
    """Give a server that trusts everybody, with one protected table that has one live row."""
    server = local_server(request.param)
    execute(server.dsn(), "CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN")
    execute(server.dsn(), SCHEMA)
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def front(shop: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartProxy]:
    """Give a factory of proxies before that server, one for each set of sections: `front(client_tls={...})`."""
    proxies = Proxies(shop, tmp_path_factory.mktemp("front"))
    yield lambda extra="", **sections: proxies.get(TABLES + extra, **sections)
    proxies.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder of the test's own."""
    return tmp_path
