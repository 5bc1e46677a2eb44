"""Keep the workers alive, pass on what the operator says, answer for all of them on the operator's port.

The supervisor holds a copy of every listening socket: while a worker is away a sibling takes the clients of its share,
so that nobody is refused and nobody waits. It has one thread, and forks outside its loop.
"""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pgsoftproxy.errors import ConfigError
from pgsoftproxy.ops import pages
from pgsoftproxy.ops.fold import Families, Fold, families
from pgsoftproxy.ops.logs import Logger
from pgsoftproxy.ops.metrics import Metrics, Reload
from pgsoftproxy.workers.birth import Birth, fork
from pgsoftproxy.workers.orders import Order, Post
from pgsoftproxy.workers.surroundings import Surroundings
from pgsoftproxy.workers.tally import Tally
from pgsoftproxy.workers.worker import Gone, Worker

FIRST_DELAY, LONGEST_DELAY = 0.1, 10.0
STEADY_SECONDS = 10.0
"""A worker that lived so long is replaced at once; one that died sooner, after a delay that doubles."""
SCRAPE_SECONDS = 2.0
RELOAD_SECONDS = 60.0
PATIENCE_SECONDS = 10.0
"""How much longer than their own deadline the workers may take to end."""


@dataclass(frozen=True, slots=True)
class Duty:
    """What is to be kept: each worker's share of the port; and how to read the configuration."""

    shares: tuple[tuple[socket.socket, ...], ...]
    server: pages.PagesServer
    read: Callable[[], str]
    keep: Callable[[str], None]
    """Told the text of a configuration that is in force from now on: workers that come begin with it."""
    around: Surroundings
    drain_timeout: Callable[[], float]
    listening: Callable[[int], None]
    """Told the port of the metrics when all workers serve for the first time."""


class Supervisor:
    """Run the workers until told to stop."""

    def __init__(self, duty: Duty, metrics: Metrics, logger: Logger) -> None:
        self._duty = duty
        self._metrics = metrics
        self._logger = logger
        self._count = len(duty.shares)
        self._tally = Tally()
        self._workers: dict[int, Worker] = {}
        self._holders: dict[int, Worker] = {}
        self._births: asyncio.Queue[Birth] = asyncio.Queue()
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fold = Fold()
        self._last: dict[int, Families] = {}
        """The last figures of each worker, by its process id."""
        metrics.figures.workers = 0

    def run(self, work: Callable[[Post], int]) -> None:
        """Supervise until the end. Raises ConfigError if a worker cannot start with the configuration."""
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            loop = runner.get_loop()
            main = loop.create_task(self._supervise())
            while (birth := loop.run_until_complete(self._wished(main))) is not None:
                slot, tally = birth.slot, self._tally.part(birth.slot, self._count)
                made = fork(lambda channel: Post(slot, self._duty.shares, channel, tally), work)  # noqa: B023
                loop.call_soon(birth.made.set_result, made)
            main.result()

    async def _wished(self, main: "asyncio.Task[None]") -> Birth | None:
        birth = asyncio.ensure_future(self._births.get())
        await asyncio.wait((main, birth), return_when=asyncio.FIRST_COMPLETED)
        if birth.done():
            return birth.result()
        birth.cancel()
        return None

    async def _supervise(self) -> None:
        self._take_signals()
        server = self._duty.server
        try:
            await server.open(self._page)
            first = await asyncio.gather(*(self._bear(slot) for slot in range(self._count)))
            wrong = [line for _, problems in first for line in problems]
            if wrong:
                raise ConfigError(tuple(dict.fromkeys(wrong)))
            if not self._stop.is_set():
                self._duty.listening(server.port)
                self._duty.around.notifier.ready()
                self._begin(self._duty.around.notifier.keep_alive())
            for worker, _ in first:
                self._begin(self._keep(worker))
            await self._stop.wait()
        finally:
            await self._end()
            server.close()

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._begin(self._reload()))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_or_force)

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._logger.error("task_died", task="supervisor", exc_info=error)

    def _stop_or_force(self) -> None:
        if self._stop.is_set():
            self._force.set()
        self._stop.set()

    # Life and death of workers.

    async def _bear(self, slot: int) -> tuple[Worker, list[str]]:
        """Make a worker and wait until it can serve; return it with what hinders it."""
        made: asyncio.Future[tuple[int, socket.socket]] = asyncio.get_running_loop().create_future()
        await self._births.put(Birth(slot, made))
        pid, channel = await made
        worker = self._workers[slot] = Worker(slot, pid, channel, self._deal)
        await worker.open()
        try:
            problems = await worker.started()
        except Gone:
            await worker.ended.wait()
            problems = [f"worker {slot} ended before it had started: {_fate(worker)}"]
        else:
            worker.serves = not problems
            self._deal()
        return worker, problems

    def _reap(self) -> None:
        for worker in self._workers.values():
            worker.reap()

    async def _keep(self, worker: Worker) -> None:
        delay = FIRST_DELAY
        while True:
            await worker.ended.wait()
            self._tally.forget(worker.slot)
            self._fold.depart(self._last.pop(worker.pid, []))
            if self._stop.is_set():
                return
            self._deal()
            self._metrics.figures.worker_restarts += 1
            self._logger.error("worker_died", worker=worker.slot, pid=worker.pid, fate=_fate(worker))
            if time.monotonic() - worker.born < STEADY_SECONDS:
                await asyncio.sleep(delay)
                delay = min(2 * delay, LONGEST_DELAY)
            else:
                delay = FIRST_DELAY
            worker, problems = await self._bear(worker.slot)
            if problems:
                self._logger.error("worker_cannot_start", worker=worker.slot, problems=problems)
            else:
                self._logger.info("worker_started", worker=worker.slot, pid=worker.pid)

    def _deal(self) -> None:
        """Give each share of the port to its worker, or while that is away to the one that has the fewest."""
        able = [worker for worker in self._workers.values() if worker.serves]
        self._metrics.figures.ready = bool(able)
        for slot in range(self._count) if able else ():
            now, own = self._holders.get(slot), self._workers[slot]
            holder = now if now in able else min(able, key=self._burden)
            holder = own if own.serves else holder
            if holder is not now:
                self._holders[slot] = holder
                holder.tell(Order.ACCEPT, slot)
                if now is not None and now.serves:
                    now.tell(Order.LEAVE, slot)

    def _burden(self, worker: Worker) -> int:
        return sum(holder is worker for holder in self._holders.values())

    # What the operator says.

    async def _reload(self) -> None:
        # All or none: nobody applies what one of them cannot.
        async with self._reloading:
            self._duty.around.notifier.reloading()
            try:
                text = self._duty.read()
            except ConfigError as error:
                wrong = list(error.problems)
            else:
                wrong = await self._reload_all(text)
            if wrong:
                self._metrics.reloads[(Reload.FAILED.value,)] += 1
                self._logger.error("reload_refused", problems=wrong)
            else:
                self._metrics.reloads[(Reload.OK.value,)] += 1
                self._logger.info("reloaded", workers=len(self._workers))
            self._duty.around.told(wrong)
            self._duty.around.notifier.ready()

    async def _reload_all(self, text: str) -> list[str]:
        able = [worker for worker in self._workers.values() if worker.serves]
        answers = await self._each(able, Order.CHECK, text)
        silent = [worker.slot for worker in able if worker not in answers and not worker.ended.is_set()]
        wrong = [f"worker {slot} did not answer" for slot in silent]
        wrong += [line for problems in answers.values() for line in problems]
        if wrong:
            return list(dict.fromkeys(wrong))
        self._duty.keep(text)
        applied = await self._each(answers, Order.APPLY)
        for worker in self._workers.values():
            if worker not in applied:
                worker.kill()  # it has, or begins with, what was in force before
        return []

    async def _each(self, workers: Iterable[Worker], order: Order, text: str = "") -> dict[Worker, Any]:
        """Ask all at once; return the answers of those that gave one."""
        asked = {worker: worker.ask(order, RELOAD_SECONDS, text) for worker in workers}
        answers = await asyncio.gather(*asked.values(), return_exceptions=True)
        return {
            worker: answer
            for worker, answer in zip(asked, answers, strict=True)
            if not isinstance(answer, Gone)
        }

    async def _end(self) -> None:
        self._stop.set()
        self._duty.around.notifier.stopping()
        self._metrics.figures.draining = True
        for sock in (sock for share in self._duty.shares for sock in share):
            sock.close()
        living = [worker for worker in self._workers.values() if not worker.ended.is_set()]
        for worker in living:
            worker.tell(Order.DRAIN)
        ended = asyncio.gather(*(worker.ended.wait() for worker in living))
        forced = asyncio.ensure_future(self._force.wait())
        patience = self._duty.drain_timeout() + PATIENCE_SECONDS
        await asyncio.wait((ended, forced), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        forced.cancel()
        for worker in living:
            worker.tell(Order.FORCE)
        await asyncio.wait((ended,), timeout=PATIENCE_SECONDS)
        for worker in living:
            worker.kill()
        await ended
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What the operator asks.

    async def _page(self, path: str, accept: str) -> pages.Answer:
        match path:
            case "/metrics":
                await self._look()
                return pages.exposed(self._fold, accept)
            case "/healthz":
                return pages.words(pages.HEALTHY)
            case "/readyz":
                await self._look()
                ready = min(
                    sample.value
                    for family in self._fold.collect()
                    if family.name == "pgsoftproxy_ready"
                    for sample in family.samples
                )
                return pages.readiness(ready=bool(ready), draining=self._metrics.figures.draining)
            case _:
                return pages.Answer(HTTPStatus.NOT_FOUND, pages.NOT_FOUND.encode())

    async def _look(self) -> None:
        living = [worker for worker in self._workers.values() if worker.serves]
        await asyncio.gather(*(self._look_at(worker) for worker in living))
        self._fold.see((families(self._metrics.registry), *self._last.values()))

    async def _look_at(self, worker: Worker) -> None:
        # One that is too busy to answer is shown as it was, so that no counter runs backwards.
        try:
            found = await worker.ask(Order.FIGURES, SCRAPE_SECONDS)
        except Gone:
            return
        if not worker.ended.is_set():
            self._last[worker.pid] = found


def _fate(worker: Worker) -> str:
    status = worker.status
    if status is None or status >= 0:
        return f"exit code {status}"
    return signal.Signals(-status).name
