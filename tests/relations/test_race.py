"""Deletions beside new children, with real connections: no live child is left under a deleted parent."""

import pytest

from tests.fix_proxy import RunningProxy
from tests.relations.pairs import random_pairs
from tests.relations.race import Result, arena_of, run_pairs
from tests.servers import Server, execute

SEED = 4
WORKERS = 4
OFTEN = 0.05
"""The least share of the pairs that either side wins; a tenth on a machine that is not too busy."""
KEY_INDEXES = """
SELECT i.indexrelid::regclass::text FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indexrelid
WHERE i.indisunique AND i.indpred IS NULL AND a.attname = 'deleted_at'
"""


def run(server: Server, proxy: RunningProxy, count: int) -> Result:
    """Run a number of pairs."""
    with arena_of(server, proxy) as arena:
        return run_pairs(arena, random_pairs(SEED, count), WORKERS)


def holds(result: Result) -> bool:
    """Tell whether nothing is as it must not be, and who won differed."""
    assert result.troubles == []
    assert result.orphans == 0
    shares = [result.won[name] / result.pairs for name in ("child's side", "parent's side", "both")]
    return all(share > OFTEN for share in shares)


def test_no_live_child_is_left_under_a_deleted_parent(server: Server, requiring: RunningProxy) -> None:
    assert holds(run(server, requiring, 300))


@pytest.mark.slow
def test_no_live_child_is_left_under_a_deleted_parent_in_thousands_of_pairs(
    server: Server, requiring: RunningProxy
) -> None:
    assert holds(run(server, requiring, 5000))


@pytest.mark.slow
def test_the_race_finds_live_orphans_where_the_key_index_is_missing(
    server: Server, requiring: RunningProxy
) -> None:
    with arena_of(server, requiring) as arena:
        for (name,) in execute(arena.dsn, KEY_INDEXES):
            execute(arena.dsn, f"DROP INDEX {name}")
        result = run_pairs(arena, random_pairs(SEED, 150), WORKERS)
    assert result.orphans > 0
    assert any(trouble.startswith("live orphan") for trouble in result.troubles)
