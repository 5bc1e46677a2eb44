"""Fixtures of the client tests: the client programs."""

import shutil
from pathlib import Path

import pytest

from tests.servers import find_programs


@pytest.fixture(scope="session")
def psql_18() -> Path:
    """The psql of PostgreSQL 18."""
    folder = find_programs(18)
    assert folder is not None
    return folder / "psql"


@pytest.fixture(scope="session", params=["psql15", "psql18"])
def psql(request: pytest.FixtureRequest, psql_18: Path) -> Path:
    """Each psql in turn; where there is no PostgreSQL 15, that of the machine."""
    if request.param == "psql18":
        return psql_18
    folder = find_programs(15)
    found = shutil.which("psql") if folder is None else str(folder / "psql")
    assert found is not None
    return Path(found)
