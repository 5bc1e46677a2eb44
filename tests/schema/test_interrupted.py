"""Migrations that are cut short again and again: the next run goes on where the last was, and the way back too."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from pgsoftproxy.db.migration import Note, Runner
from pgsoftproxy.model.steps import Statement, Step
from tests.relations.test_triggers import FAMILY
from tests.schema.migrating import Migration
from tests.schema.test_unique import PARTITIONED

TABLES = f"""
{FAMILY} {PARTITIONED}
ALTER TABLE users ADD UNIQUE (email), ADD r int4range, ADD CONSTRAINT apart EXCLUDE USING gist (r WITH &&);
CREATE VIEW everybody AS SELECT id FROM users;
CREATE MATERIALIZED VIEW kept AS SELECT id FROM users; CREATE UNIQUE INDEX ON kept (id);
"""
OPTIONS = ("--exclusions", "--stored", "--rls", "--views")
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


@contextmanager
def cut_after(units: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lose the connection before the next unit once some were done; a unit is a transaction, or one statement."""
    done = [0]
    retried = Runner._retried

    async def counted(runner: Runner, step: Step, unit: list[Statement], note: Note) -> None:
        if done[0] == units:
            await runner._connection.close()
            raise psycopg.OperationalError("cut")
        await retried(runner, step, unit, note)
        done[0] += 1

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "_retried", counted)
        yield


def run_in_pieces(migration: Migration, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run until nothing is left, one unit more each time; return how often it was cut."""
    for cuts in range(100):
        with cut_after(cuts, monkeypatch):
            code, _ = migration.command("--yes", "--json", *arguments)
        if code == 0:
            return cuts
    raise AssertionError("it never ends")


@pytest.mark.slow
def test_a_run_that_is_cut_short_again_and_again_ends_where_one_run_does_and_so_does_the_way_back(
    migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = migration.database
    database.execute(TABLES)
    before = migration.dump()
    migration.run(*OPTIONS)
    after = migration.dump()
    migration.run("--down")
    assert migration.dump() == before
    assert run_in_pieces(migration, monkeypatch, *OPTIONS) > 5
    assert (migration.ids(*OPTIONS), database.execute(INVALID)) == ([], [(0,)])
    assert migration.dump() == after
    assert run_in_pieces(migration, monkeypatch, "--down") > 5
    assert migration.dump() == before
