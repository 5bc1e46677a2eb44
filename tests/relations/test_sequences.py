"""Random schemas and sequences: through the proxy and the triggers all is as on the twin where DELETE removes."""

import time
from collections.abc import Iterator

import pytest

from tests.fix_proxy import RunningProxy, config_text
from tests.relations.twins import CONFIG, REQUIRE, Tally, run_schema
from tests.servers import Server

SECONDS = 6.0
FEWEST = 2


@pytest.fixture(scope="module")
def proxy(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    config = tmp_path_factory.mktemp("relations") / "proxy.toml"
    config.write_text(config_text(server, "postgres", CONFIG, REQUIRE))
    running = RunningProxy(config, server, "postgres")
    yield running
    assert running.stop() == 0


def test_deletions_do_to_related_rows_what_the_server_would_have_done(
    server: Server, proxy: RunningProxy
) -> None:
    ends = time.monotonic() + SECONDS
    seed, tally = 0, Tally()
    while seed < FEWEST or time.monotonic() < ends:
        tally.add(run_schema(server, proxy, seed))
        seed += 1
    assert tally.statements > 400
    assert tally.refused > 20
