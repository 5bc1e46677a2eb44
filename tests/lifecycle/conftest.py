"""Fixtures of the lifecycle's tests."""

from pathlib import Path

import pytest

from tests.fix_servers import Database, Templates
from tests.lifecycle.restoring import RULES, SHOP, Lifecycle
from tests.relations.twins import equip
from tests.servers import Server


def fill_shop(database: Database) -> None:
    """Make the shop with what its keys need."""
    database.execute(SHOP)
    equip(database.dsn)


@pytest.fixture
def template(request: pytest.FixtureRequest, server: Server, templates: Templates) -> str:
    """Give the shop to tests that ask for it, else an empty database."""
    return templates(server, fill_shop) if "shop" in request.fixturenames else "template1"


@pytest.fixture
def lifecycle(database: Database, tmp_path: Path) -> Lifecycle:
    """Give an empty database whose public tables are protected."""
    made = Lifecycle(database, tmp_path / "p.toml")
    made.configure(RULES)
    return made


@pytest.fixture
def shop(lifecycle: Lifecycle) -> Lifecycle:
    """Give a shop whose public tables are protected, with what its keys need."""
    return lifecycle
