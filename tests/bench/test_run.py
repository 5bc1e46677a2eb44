"""The benchmarks themselves, with next to no effort: every measurement runs, and finds its answers right."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.figures import Ledger
from tests.bench.goals import GOALS
from tests.bench.names import DIRECT, OURS, PLAIN, PROTECTED
from tests.bench.pgbench import Failed, Load, pgbench
from tests.bench.rounds import Effort
from tests.bench.run import CURVES, WORKS
from tests.bench.stage import Contender, Stage, stage
from tests.servers import execute

pytestmark = pytest.mark.slow
LITTLE = Effort(rounds=1, seconds=1, share=0.002)
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def ground() -> Iterator[Stage]:
    """Give a stage with little on it."""
    with stage(18, 1) as made:
        yield made


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [*WORKS, *CURVES])
def test_a_measurement_gives_figures_for_the_proxy(ground: Stage, name: str) -> None:
    ledger = Ledger()
    (WORKS | CURVES)[name](ground, LITTLE, ledger)
    assert ledger.values or ledger.curves
    subjects = {goal.row: goal.subject for goal in GOALS}
    assert [row for row in ledger.values if not ledger.taken(row, subjects.get(row, OURS))] == []
    assert [curve for curve, by_name in ledger.curves.items() if len(by_name[OURS]) < 2] == []


def test_a_deleted_row_that_shows_fails_the_run(ground: Stage) -> None:
    (direct,) = ground.named(DIRECT)
    impostor = Contender(OURS, direct.ports)
    ground.check(direct, PROTECTED)
    ground.check(impostor, PLAIN)
    with pytest.raises(Failed, match="gives"):
        ground.check(impostor, PROTECTED)


def test_a_live_row_that_is_missing_fails_the_run(ground: Stage) -> None:
    (ours,) = ground.named(OURS)
    execute(ground.server.dsn(PLAIN), "UPDATE pgbench_accounts SET aid = -1 WHERE aid = 1")
    try:
        with pytest.raises(Failed, match="aid = 1"):
            ground.check(ours, PLAIN)
    finally:
        execute(ground.server.dsn(PLAIN), "UPDATE pgbench_accounts SET aid = 1 WHERE aid = -1")


def test_a_query_that_fails_fails_the_run(ground: Stage) -> None:
    (ours,) = ground.named(OURS)
    script = ground.directory / "wrong.sql"
    script.write_text("SELECT nothing FROM pgbench_accounts;\n")
    with pytest.raises(Failed, match="nothing"):
        pgbench(ground.server, ours.ports, Load(PROTECTED, "simple", 1, script=script))


@pytest.mark.timeout(300)
def test_the_command_prints_tables_and_writes_the_documents(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.run", "--quick", "--rounds", "1", "--scale", "1"]
    done = subprocess.run([*command, "--docs", str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CPU per query" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {
        "benchmarks.json",
        "benchmarks.md",
        "benchmarks.svg",
    }
