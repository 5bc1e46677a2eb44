"""What the proxy's processes hold, from /proc and /metrics: while the soak lasts, and once all clients have left."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fix_proxy import RunningProxy
from tests.processes import children
from tests.servers import LocalServer, execute
from tests.soak.ground import Ground

SAMPLE_SECONDS = 2.0
WARM_SECONDS = 120.0
"""What memory does before is not looked at: caches fill, and as many sessions as there will be come."""
LONG_ENOUGH = 60.0
"""Seconds of samples from which a slope says something."""
MOST_GROWTH = 1024.0
"""KiB a minute that all processes together may grow after the warm-up."""
BAD_EVENTS = frozenset({"session_crashed", "task_died", "worker_died", "worker_hung", "worker_cannot_start"})
OURS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = %s AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class Held:
    """What all processes of a proxy hold."""

    descriptors: int
    tasks: int
    memory: int
    """Resident, in KiB; what they share counts for each."""


@dataclass(slots=True)
class Watch:
    """Samples of one proxy."""

    proxy: RunningProxy
    began: float = field(default_factory=time.monotonic)
    samples: list[tuple[float, int]] = field(default_factory=list)
    """Seconds since the beginning, and resident KiB."""

    def processes(self) -> list[int]:
        """Return the process that was started, and its workers."""
        return [self.proxy.process.pid, *children(self.proxy.process.pid)]

    def held(self) -> Held:
        """Look."""
        pids = self.processes()
        tasks = int(self.proxy.metric("pgsoftproxy_tasks"))
        return Held(sum(descriptors(pid) for pid in pids), tasks, sum(memory(pid) for pid in pids))

    async def keep(self, ground: Ground) -> None:
        """Take samples until the soak is over, and print a line each minute."""
        minute = 0
        while not ground.over:
            passed = time.monotonic() - self.began
            self.samples.append((passed, sum(memory(pid) for pid in self.processes())))
            if passed >= 60 * minute:
                held = await asyncio.to_thread(self.held)
                sessions = int(await asyncio.to_thread(self.proxy.metric, "pgsoftproxy_connections_open"))
                print(
                    f"minute {minute}: {held.memory} KiB resident, {sessions} sessions, {held.descriptors} "
                    f"descriptors, {held.tasks} tasks; {ground.acts.total()} acts so far",
                    flush=True,
                )
                minute += 1
            await asyncio.sleep(SAMPLE_SECONDS)

    def judge_memory(self, ground: Ground) -> None:
        """Print how memory grew after the warm-up; find it if that is too much."""
        late = [(seconds, size) for seconds, size in self.samples if seconds >= WARM_SECONDS]
        if len(late) < 3 or late[-1][0] - late[0][0] < LONG_ENOUGH:
            print(f"memory: not judged, which takes {WARM_SECONDS + LONG_ENOUGH:.0f} seconds")
            return
        growth = 60 * slope(late)
        print(f"memory after the warm-up: {growth:+.0f} KiB a minute, {MOST_GROWTH:.0f} allowed")
        if growth > MOST_GROWTH:
            ground.find(f"memory grows: {growth:.0f} KiB a minute")

    async def judge_rest(
        self, ground: Ground, upstream: Callable[[], int], before: Held, seconds: float
    ) -> None:
        """Find what is left so long after all clients are gone; `upstream` counts the server's connections."""
        left: dict[str, Callable[[], int]] = {
            "sessions left": lambda: int(self.proxy.metric("pgsoftproxy_connections_open")),
            "server connections left": upstream,
            "descriptors left": lambda: self.held().descriptors - before.descriptors,
            "tasks left": lambda: self.held().tasks - before.tasks,
        }
        deadline = time.monotonic() + seconds
        for what, count in left.items():
            number = await asyncio.to_thread(_least, count, deadline)
            if number > 0:
                ground.find(f"{what}: {number}")
        after = await asyncio.to_thread(self.held)
        print(f"at rest: before {before}, after {after}")

    def judge_log(self, ground: Ground) -> None:
        """Find bugs that the proxy has told of, and workers that it has lost."""
        for event in self.proxy.logs():
            if event["event"] in BAD_EVENTS:
                ground.find(f"{event['event']}: {event}")
        for name in ("pgsoftproxy_session_crashes_total", "pgsoftproxy_worker_restarts_total"):
            if count := self.proxy.metric(name):
                ground.find(f"{name}: {count}")


def _least(count: Callable[[], int], deadline: float) -> int:
    """Ask again and again until nothing is left, or it is time; return what is."""
    while (number := count()) > 0 and time.monotonic() < deadline:
        time.sleep(0.1)  # what the proxy and the server still hold goes by itself: nothing tells when
    return number


def descriptors(pid: int) -> int:
    """Return how many files a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def memory(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def connections(server: LocalServer, database: str) -> int:
    """Return how many clients the server has in a database besides this one."""
    text = OURS.replace("%s", f"'{database}'")
    return int(execute(server.dsn(), text)[0][0])


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Return by how much the second of each pair grows with the first: the line of least squares."""
    middle, level = sum(x for x, _ in samples) / len(samples), sum(y for _, y in samples) / len(samples)
    above = sum((x - middle) * (y - level) for x, y in samples)
    return above / sum((x - middle) ** 2 for x, _ in samples)
