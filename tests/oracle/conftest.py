"""One proxy for each server version, in front of the twin databases, for the whole run."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_proxy import RunningProxy, config_text
from tests.oracle.client import Address, Client
from tests.oracle.databases import CONFIG, FULL, Databases
from tests.oracle.harness import Harness
from tests.servers import Server

VERDICTS: Counter[str] = Counter()


@pytest.fixture(scope="session")
def oracle(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """Give the harness in front of a running proxy; print what the proxy logged if its tests failed."""
    databases = Databases(server.host, server.port, server.user)
    databases.create()
    config: Path = tmp_path_factory.mktemp("oracle") / "proxy.toml"
    config.write_text(config_text(server, FULL, CONFIG))
    proxy = RunningProxy(config, server, FULL)

    def connect(database: str, user: str) -> Client:
        return Client(Address(proxy.host, proxy.port, user, database))

    harness = Harness(databases, connect)
    yield harness
    harness.close()
    proxy.stop()


@pytest.fixture
def verdicts() -> Counter[str]:
    """Give the running count of how cases ended, for the summary."""
    return VERDICTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many statements agreed with the twin and how many were refused as declared."""
    if VERDICTS:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(VERDICTS.items()))
        terminalreporter.write_line(f"oracle: {counts}")
