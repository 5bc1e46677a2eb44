"""How long one client waits for an answer: half of its queries, and the slowest hundredth. From pgbench's log."""

import tempfile
from pathlib import Path

from tests.bench.figures import Ledger, percentile
from tests.bench.names import MODES, OURS_TWICE, PROTECTED
from tests.bench.pgbench import Failed, Load, pgbench
from tests.bench.rounds import Effort, interleaved
from tests.bench.stage import Contender, Stage


def measure_latency(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    """Note the latencies of each contender in each mode."""
    found = [contender for contender in stage.contenders if contender.name != OURS_TWICE]
    tasks = [(mode, contender) for mode in MODES for contender in found]
    for mode, contender in interleaved(effort.rounds, tasks):
        times = latencies(stage, contender, Load(PROTECTED, mode, 1, effort.seconds))
        stage.check(contender, PROTECTED)
        ledger.add(f"p50.{mode}", contender.name, percentile(times, 0.5))
        ledger.add(f"p99.{mode}", contender.name, percentile(times, 0.99))


def latencies(stage: Stage, contender: Contender, load: Load) -> list[float]:
    """Return the microseconds of each query but the first hundred."""
    with tempfile.TemporaryDirectory(dir=stage.directory) as folder:
        logged = ("-l", f"--log-prefix={folder}/log")
        run = pgbench(stage.server, contender.ports, load.with_options(*logged))
        # client, transaction, microseconds, script, seconds of the epoch, microseconds
        lines = [line for path in Path(folder).iterdir() for line in path.read_text().splitlines()]
    if len(lines) != run.queries:
        raise Failed(f"{contender.name}: pgbench has logged {len(lines)} of {run.queries} queries")
    return [float(line.split()[2]) for line in lines[100:] or lines]
