"""Random schemas and sequences: through the proxy and the triggers all is as on the twin where DELETE removes."""

import time

from tests.fix_proxy import RunningProxy
from tests.relations.twins import Tally, run_schema
from tests.servers import Server

SECONDS = 6.0


def test_deletions_do_to_related_rows_what_the_server_would_have_done(
    server: Server, requiring: RunningProxy
) -> None:
    ends = time.monotonic() + SECONDS
    seed, tally = 0, Tally()
    while seed == 0 or time.monotonic() < ends:
        tally.add(run_schema(server, requiring, seed))
        seed += 1
    assert tally.statements > 300
    assert tally.refused > 20
