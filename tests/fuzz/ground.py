"""A proxy under attack: the database, the bystander, the attackers, and what must hold afterwards.

Knows processes and sockets; what is said is in `online`.
"""

import contextlib
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg

from tests.fix_proxy import RunningProxy, config_text
from tests.fuzz import record
from tests.fuzz.offline import check_frames
from tests.fuzz.online import Heard, Mangler, attack, client_turns, for_database
from tests.fuzz.transcript import CLIENT, Transcript, load
from tests.servers import Server, execute
from tests.waiting import wait_until

ATTACKERS = 3
LONGEST_WAIT = 10.0
"""Seconds that a bystander may wait for an answer on a busy machine."""
MOST_MEMORY = 400 << 20
"""Bytes that a proxy may ever have had resident, whatever floods came."""
LONGEST_TALK = 15.0
"""Seconds after which a broken conversation counts as hanging; the server gives up on statements far earlier."""

CONFIG = """
[tables."app.users"]
deleted_by = "deleted_by"
deletion_id = "deletion_id"
[tables."app.orders"]
"""
LIMITS = "".join(
    f"ALTER ROLE {role} SET statement_timeout = '2s';" for role in (record.ROLE, record.SECRET_ROLE)
)
ROWS = """
    SELECT 'users', id, CASE WHEN deleted_at IS NOT NULL AND id > 20 THEN email END FROM app.users WHERE id <= 30
    UNION ALL SELECT 'orders', id, NULL FROM app.orders WHERE id <= 30 ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Ground:
    """A database with deleted rows, and the conversations that are broken over it."""

    server: Server
    name: str
    transcripts: tuple[Transcript, ...]

    @classmethod
    def make(cls, server: Server, name: str) -> "Ground":
        """Fill an empty database."""
        record.fill(server, name)
        execute(server.dsn(), LIMITS)
        return cls(server, name, for_database(load(), name))

    def rows(self) -> list[tuple[object, ...]]:
        """Return which rows are there, and the values of the deleted ones."""
        return execute(self.server.dsn(self.name), ROWS)


@contextlib.contextmanager
def running(ground: Ground, folder: Path, upstream_port: int) -> Iterator[RunningProxy]:
    """Run a proxy; its log must hold no bug, and afterwards it holds no more files than before."""
    config = folder / "proxy.toml"
    config.write_text(config_text(ground.server, ground.name, CONFIG, {"upstream": {"port": upstream_port}}))
    proxy = RunningProxy(config, ground.server, ground.name)
    try:
        with bystander(proxy):
            pass  # what is opened once and kept, is open now
        before = files(proxy)
        yield proxy
        wait_until(lambda: proxy.metric("pgsoftproxy_connections_open") == 0)
        wait_until(lambda: files(proxy) <= before)
        assert proxy.process.poll() is None
        assert peak(proxy) < MOST_MEMORY
        assert proxy.metric("pgsoftproxy_session_crashes_total") == 0
        bugs = [entry for entry in proxy.logs() if entry.get("level") in ("error", "critical")]
        assert [entry for entry in bugs if entry["event"] in ("session_crashed", "task_died")] == []
        assert "Traceback" not in proxy.output()
    except BaseException:
        print(proxy.output()[-20_000:])
        raise
    finally:
        proxy.stop()


def files(proxy: RunningProxy) -> int:
    """Return how many files a proxy has open."""
    return len(list(Path(f"/proc/{proxy.process.pid}/fd").iterdir()))


def peak(proxy: RunningProxy) -> int:
    """Return how many bytes a proxy had resident at most."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{proxy.process.pid}/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) << 10


@contextlib.contextmanager
def bystander(proxy: RunningProxy) -> Iterator[None]:
    """Keep a decent session busy meanwhile: each of its answers must be right and in time."""
    stop = threading.Event()
    answers: list[object] = []
    waits: list[float] = []

    def work() -> None:
        with psycopg.connect(
            proxy.dsn(user=record.ROLE), application_name="bystander", autocommit=True
        ) as connection:
            while not stop.is_set() or not answers:
                started = time.monotonic()
                answers.append(connection.execute("SELECT count(*) FROM app.users WHERE id > 20").fetchone())
                answers.append(connection.execute("SELECT %s::int + 1", (len(waits),)).fetchone())
                waits.append(time.monotonic() - started)
                stop.wait(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert answers == [row for number in range(len(waits)) for row in ((0,), (number + 1,))] != []
    assert max(waits) < LONGEST_WAIT


Talk = Callable[[Random], tuple[Heard, str]]


class Attack:
    """Seeds and what became of them; `wrong` tells of those that did harm."""

    def __init__(self, talk: Talk, first: int) -> None:
        self._talk = talk
        self._lock = threading.Lock()
        self._seed = first
        self.count = 0
        self.wrong: list[str] = []

    def run(self, *, count: int = sys.maxsize, seconds: float = math.inf) -> "Attack":
        """Attack from several threads so often or for so long, or until something is wrong."""
        deadline = time.monotonic() + seconds

        def work() -> None:
            while time.monotonic() < deadline and not self.wrong and (seed := self._next(count)) is not None:
                self.one(seed)

        threads = [threading.Thread(target=work) for _ in range(ATTACKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self

    def one(self, seed: int) -> None:
        """Attack once."""
        heard, what = self._talk(Random(seed))  # noqa: S311 - no secret
        if heard.seconds > LONGEST_TALK:
            self.wrong.append(f"SEED={seed}: {what}: it hangs")
        if record.CANARY.encode() in heard.data:
            self.wrong.append(f"SEED={seed}: {what}: it shows a deleted row")
        try:
            check_frames(heard.data, whole=False)
        except AssertionError as error:
            self.wrong.append(f"SEED={seed}: {what}: {error}")

    def _next(self, limit: int) -> int | None:
        with self._lock:
            if self.count == limit:
                return None
            self._seed += 1
            self.count += 1
            return self._seed


def broken_clients(ground: Ground, address: tuple[str, int]) -> Talk:
    """Return the talk of clients that say what they should not."""

    def talk(rng: Random) -> tuple[Heard, str]:
        said, names = client_turns(rng, ground.transcripts)
        return attack(address, rng, said), names

    return talk


def decent_clients(ground: Ground, address: tuple[str, int]) -> Talk:
    """Return the talk of clients that say what was recorded."""

    def talk(rng: Random) -> tuple[Heard, str]:
        transcript = rng.choice(ground.transcripts)
        said = [turn.data for turn in transcript.turns if turn.side == CLIENT]
        return attack(address, rng, said), transcript.name

    return talk


@contextlib.contextmanager
def mangled(server: Server, seed: int) -> Iterator[int]:
    """Give the port of a relay to the server that breaks what the server says."""
    mangler = Mangler((server.host, server.port), seed)
    thread = threading.Thread(target=mangler.serve)
    thread.start()
    try:
        yield mangler.port
    finally:
        mangler.close()
        thread.join()
