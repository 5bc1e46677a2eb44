"""Random schemas and sequences: through the proxy and the triggers all is as on the twin where DELETE removes."""

import time

from tests.fix_proxy import RunningProxy
from tests.relations.outcomes import Tally
from tests.relations.twins import run_schema
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


def test_a_deleted_row_has_to_keep_its_key_where_the_key_never_had_a_parent(
    server: Server, requiring: RunningProxy
) -> None:
    assert run_schema(server, requiring, 5002).abandoned == 1
