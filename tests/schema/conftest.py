"""Fixtures of the migrations' tests."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.fix_servers import Database
from tests.schema.migrating import RULES, Migration
from tests.servers import Server, execute


@pytest.fixture
def migration(role: str, database: Database, tmp_path: Path) -> Migration:
    """Give a migration of an empty database whose public tables are protected."""
    made = Migration(database, tmp_path / "p.toml")
    made.configure(RULES)
    return made


@pytest.fixture
def role(server: Server) -> Iterator[str]:
    """Give the name of a new role; what it holds in a test's database goes with that."""
    name = f"role_{uuid4().hex[:12]}"
    execute(server.dsn(), f"CREATE ROLE {name}")
    yield name
    execute(server.dsn(), f"DROP ROLE {name}")
