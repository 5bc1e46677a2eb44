"""Fixtures of the migrations' tests."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pgsoftproxy.db.owner_ddl import KEEPER
from tests.fix_servers import Database, Templates, new_role
from tests.schema.holes import RULES as SOUND_RULES
from tests.schema.holes import SOUND
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


def fill_sound(database: Database) -> None:
    """Make the sound schema, and equip it."""
    database.execute(SOUND)
    with TemporaryDirectory() as folder:
        made = Migration(database, Path(folder) / "p.toml")
        made.configure(SOUND_RULES)
        made.run()


@pytest.fixture
def template(request: pytest.FixtureRequest, server: Server, templates: Templates) -> str:
    """Give the sound schema to tests that plant holes in it, else an empty database."""
    return templates(server, fill_sound) if "plot" in request.fixturenames else "template1"


@pytest.fixture
def plot(role: str, login: str, database: Database, tmp_path: Path) -> Plot:
    """Give a place to plant holes in."""
    return Plot(Migration(database, tmp_path / "p.toml"), role, login)
