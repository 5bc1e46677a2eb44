"""Fixtures of the relations' tests."""

from collections.abc import Iterator

import pytest

from tests.fix_proxy import RunningProxy, config_text
from tests.relations.twins import CONFIG, REQUIRE
from tests.servers import Server


@pytest.fixture(scope="session")
def requiring(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    """One proxy for the databases of all tests, which protects every public table; it must end well."""
    config = tmp_path_factory.mktemp("relations") / "proxy.toml"
    config.write_text(config_text(server, "postgres", CONFIG, REQUIRE))
    running = RunningProxy(config, server, "postgres")
    yield running
    assert running.stop() == 0
