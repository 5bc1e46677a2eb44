"""Fixtures that give a test a real PostgreSQL: `server`, `database`, `new_server`.

`PGSOFTPROXY_TEST_DSN` names one server to use alone. Otherwise `PGSOFTPROXY_TEST_VERSIONS` lists the major
versions to run on, each in a container if a Docker engine answers, else from programs on this machine. A
version named there that cannot be had is an error, never a skip (CI names both). Where it is not set, the run
takes those of 15 and 18 that can be had, and says at its end which it did not.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.containers import container_server, docker_answers
from tests.servers import TRUST, GivenServer, LocalServer, Server, execute, find_programs, local_server

GIVEN_DSN = os.environ.get("PGSOFTPROXY_TEST_DSN", "")
NAMED = os.environ.get("PGSOFTPROXY_TEST_VERSIONS", "")
WANTED = [int(part) for part in (NAMED or "15,18").split(",")]
MISSING = [] if NAMED or docker_answers() else [known for known in WANTED if find_programs(known) is None]
VERSIONS = [known for known in WANTED if known not in MISSING]
GIVEN = 0
"""Stands for "the version that PGSOFTPROXY_TEST_DSN has" among the parameters."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database of a test's own on a server."""

    server: Server
    name: str

    @property
    def dsn(self) -> str:
        """Return its connection string, without the proxy."""
        return self.server.dsn(self.name)

    def execute(self, statements: str) -> list[tuple[Any, ...]]:
        """Run SQL as superuser, without the proxy; return the rows of the last statement."""
        return execute(self.dsn, statements)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which versions the run did without, so that its success is not read as theirs."""
    for version in [] if GIVEN_DSN else MISSING:
        terminalreporter.write_line(
            f"NOT TESTED: PostgreSQL {version}, which this machine lacks (Debian: apt install postgresql-{version})",
            red=True,
        )


def make_server(version: int) -> Server:
    """Start a server as the environment asks."""
    if version == GIVEN:
        return GivenServer(GIVEN_DSN)
    return container_server(version) if docker_answers() else local_server(version)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[int], Server]]:
    """Keep one server for each version until the end of the run; they start when first asked for."""
    running: dict[int, Server] = {}

    def get(version: int) -> Server:
        if version not in running:
            running[version] = make_server(version)
        return running[version]

    yield get
    for server in running.values():
        server.destroy()


@pytest.fixture(
    scope="session",
    params=[GIVEN] if GIVEN_DSN else VERSIONS,
    ids=lambda version: f"pg{version}" if version else "given",
)
def server(request: pytest.FixtureRequest, servers: Callable[[int], Server]) -> Server:
    """Give a running server, once for each version; shared by all tests, so roles need names of their own."""
    return servers(request.param)


def create_database(server: Server, name: str, template: str = "template1") -> Database:
    """Create a database; nobody may be connected to the template."""
    # From 15 on the default writes each page of the template to the log: twice the time for an empty one.
    strategy = " STRATEGY file_copy" if server.version >= 15 else ""
    execute(server.dsn(), f'CREATE DATABASE "{name}" TEMPLATE "{template}"{strategy}')
    return Database(server, name)


def drop_database(made: Database) -> None:
    """Drop a database, whoever is connected to it."""
    execute(made.server.dsn(), f'DROP DATABASE IF EXISTS "{made.name}" WITH (FORCE)')


Fill = Callable[[Database], None]
Templates = Callable[[Server, Fill], str]


@pytest.fixture(scope="session")
def templates() -> Iterator[Templates]:
    """Give a keeper of databases that tests get copies of: `templates(server, fill)` fills one when first asked."""
    kept: dict[tuple[int, Fill], Database] = {}

    def get(server: Server, fill: Fill) -> str:
        if (server.port, fill) not in kept:
            made = create_database(server, f"template_{uuid4().hex[:12]}")
            fill(made)
            kept[server.port, fill] = made
        return kept[server.port, fill].name

    yield get
    for made in kept.values():
        drop_database(made)


@pytest.fixture
def template() -> str:
    """Give the name of the database that `database` is a copy of: an empty one, unless tests say otherwise."""
    return "template1"


@pytest.fixture
def database(server: Server, template: str) -> Iterator[Database]:
    """Give a database, dropped afterwards; print what the server logged meanwhile."""
    before = len(server.log())
    made = create_database(server, f"test_{uuid4().hex[:12]}", template)
    yield made
    print(server.log()[before:])  # pytest shows it where the test failed
    drop_database(made)


@contextmanager
def new_role(server: Server, attributes: str = "") -> Iterator[str]:
    """Give the name of a new role; whatever refers to it must be gone at the end."""
    name = f"role_{uuid4().hex[:12]}"
    execute(server.dsn(), f"CREATE ROLE {name} {attributes}")
    yield name
    execute(server.dsn(), f"DROP ROLE {name}")


@pytest.fixture
def role(server: Server) -> Iterator[str]:
    """Give the name of a new role; what it holds in a test's database goes with that."""
    with new_role(server) as name:
        yield name


@pytest.fixture
def new_server() -> Iterator[Callable[..., LocalServer]]:
    """Give a factory of servers that the test may stop, kill and configure.

    `new_server(version=18, hba="...", max_connections="5")`; the default version is the newest that this
    machine has programs for.
    """
    made: list[LocalServer] = []

    def make(version: int | None = None, hba: str = TRUST, **settings: str) -> LocalServer:
        wanted = version or max((known for known in (*VERSIONS, 18) if find_programs(known)), default=18)
        made.append(local_server(wanted, settings, hba))
        return made[-1]

    yield make
    for server in made:
        print(server.log())
        server.destroy()
