"""One proxy for each server version, in front of the twin databases, for the whole run."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_proxy import RunningProxy, config_text
from tests.fix_servers import GIVEN
from tests.oracle.cases import Case
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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the pairs of case and server version that a case's directives exclude."""
    left_out = [item for item in items if not _runs(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _runs(item)]


def _runs(item: pytest.Item) -> bool:
    parameters = (
        item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    )
    case, version = parameters.get("case"), parameters.get("server")
    return (
        not isinstance(case, Case)
        or not isinstance(version, int)
        or version == GIVEN
        or case.runs_on(version)
    )


@pytest.fixture
def verdicts() -> Counter[str]:
    """Give the running count of how cases ended, for the summary."""
    return VERDICTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many statements agreed with the twin and how many were refused as declared."""
    if VERDICTS:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(VERDICTS.items()))
        terminalreporter.write_line(f"oracle: {counts}")
