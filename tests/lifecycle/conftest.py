"""Fixtures of the lifecycle's tests."""

from pathlib import Path

import pytest

from tests.fix_servers import Database
from tests.lifecycle.restoring import RULES, SHOP, Lifecycle
from tests.relations.twins import equip


@pytest.fixture
def lifecycle(database: Database, tmp_path: Path) -> Lifecycle:
    """Give an empty database whose public tables are protected."""
    made = Lifecycle(database, tmp_path / "p.toml")
    made.configure(RULES)
    return made


@pytest.fixture
def shop(lifecycle: Lifecycle) -> Lifecycle:
    """Give a shop with all that its links need."""
    lifecycle.database.execute(SHOP)
    equip(lifecycle.database.dsn)
    return lifecycle
