"""Sessions: what opening one takes, and the memory that idle ones and cached plans hold."""

from collections.abc import Sequence
from contextlib import ExitStack

from tests.bench.cpu import family_memory
from tests.bench.figures import Ledger
from tests.bench.names import DIRECT, OURS, PGBOUNCER, PROTECTED
from tests.bench.pgbench import Failed, Load, pgbench
from tests.bench.rounds import Effort, interleaved
from tests.bench.stage import RULES, Stage, proxy
from tests.raw import RawClient

SESSIONS = 1000
PLANS = 10_000
CACHE_BYTES = 4 * 2**20
TEXT = "SELECT abalance AS balance{number} FROM pgbench_accounts WHERE aid = 1"


def measure_connects(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    """Note how long a client takes to connect, ask once and leave."""
    load = Load(PROTECTED, "simple", 1, effort.seconds).with_options("-C")
    for contender in interleaved(effort.rounds, stage.named(DIRECT, PGBOUNCER, OURS)):
        run = pgbench(stage.server, contender.ports, load)
        stage.check(contender, PROTECTED)
        ledger.add("connect.and leave", contender.name, 1e6 / run.rate)


def measure_memory(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    """Note what idle sessions and cached plans add to a fresh proxy."""
    sessions, plans = effort.size(SESSIONS), effort.size(PLANS)
    for number in range(min(effort.rounds, 3)):
        with proxy(stage.server, stage.directory, f"memory{number}", RULES) as running:
            grown = idle_growth(running.process.pid, running.port, sessions)
            ledger.add("memory.idle session", OURS, grown / sessions / 1024)
        for kind, cache in (("cached plan", 64 * 2**20), ("plan in a full cache", CACHE_BYTES)):
            limits = {"limits": {"plan_cache_bytes": cache}}
            with proxy(stage.server, stage.directory, f"plans{number}", RULES, limits) as running:
                grown = plan_growth(running.process.pid, running.port, plans)
                ledger.add(f"memory.{kind}", OURS, grown / plans / 1024)
                ledger.add(f"bound.{kind}", OURS, grown / cache)
                if running.metric("pgsoftproxy_plan_cache_bytes") > cache:
                    raise Failed("the plan cache is larger than it may be")
    middle = [contender for contender in stage.named(PGBOUNCER) for _ in range(min(effort.rounds, 3))]
    for contender in middle:
        grown = idle_growth(contender.pids[0], contender.port, sessions)
        ledger.add("memory.idle session", contender.name, grown / sessions / 1024)


def idle_growth(pid: int, port: int, sessions: int) -> int:
    """Return the bytes by which a process grows when so many sessions have asked once and are idle."""
    ask(port, [TEXT.format(number=0)] * 100)
    before = family_memory(pid)
    with ExitStack() as opened:
        for _ in range(sessions):
            client = opened.enter_context(RawClient("127.0.0.1", port).login(PROTECTED))
            _answered(client, TEXT.format(number=0))
        return family_memory(pid) - before


def plan_growth(pid: int, port: int, plans: int) -> int:
    """Return the bytes by which a proxy grows when it has planned so many texts, no two of one shape."""
    ask(port, [TEXT.format(number=0)] * 100)
    before = family_memory(pid)
    ask(port, [TEXT.format(number=number) for number in range(1, plans + 1)])
    return family_memory(pid) - before


def ask(port: int, texts: Sequence[str]) -> None:
    """Ask these in one session, one after the other."""
    with RawClient("127.0.0.1", port).login(PROTECTED) as client:
        for text in texts:
            _answered(client, text)


def _answered(client: RawClient, text: str) -> None:
    kinds = b"".join(kind for kind, _ in client.query(text))
    if kinds != b"TDCZ":
        raise Failed(f"{text} was answered by {kinds!r}")
