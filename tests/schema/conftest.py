"""Fixtures of the migrations' tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsoftproxy.db.owner_ddl import KEEPER
from tests.fix_servers import Database, new_role
from tests.schema.migrating import RULES, Migration
from tests.schema.planting import Plot
from tests.servers import Server, execute


@pytest.fixture
def migration(role: str, database: Database, tmp_path: Path) -> Migration:
    """Give a migration of an empty database whose public tables are protected."""
    made = Migration(database, tmp_path / "p.toml")
    made.configure(RULES)
    return made


@pytest.fixture
def login(server: Server) -> Iterator[str]:
    """Give the name of a new role that can log in."""
    with new_role(server, "LOGIN") as name:
        yield name
    execute(server.dsn(), f"DROP ROLE IF EXISTS {KEEPER}")  # what an audit has an owner created


@pytest.fixture
def plot(role: str, login: str, database: Database, tmp_path: Path) -> Plot:
    """Give a place to plant holes in."""
    return Plot(Migration(database, tmp_path / "p.toml"), role, login)
