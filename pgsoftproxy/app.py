"""The composition root: build everything from settings, run it, reload it, drain it.

The one place that knows both the settings and the rooms they configure. Owns the signals of a process that serves.
"""

import asyncio
import signal
import time
from dataclasses import dataclass
from functools import partial

from pgsoftproxy import __version__
from pgsoftproxy.db.auth_query import AuthQuery
from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.errors import ConfigError, UpstreamUnavailable
from pgsoftproxy.model.catalog import Catalog
from pgsoftproxy.ops.audits import Audits
from pgsoftproxy.ops.fold import Families, families
from pgsoftproxy.ops.http import OpsServer
from pgsoftproxy.ops.logs import Logger, adopt_standard_logging, make_logger, set_level
from pgsoftproxy.ops.metrics import Metrics, Reload
from pgsoftproxy.ops.reporter import Reporter
from pgsoftproxy.ops.trail import Trail
from pgsoftproxy.proxy.bounds import NOWHERE, Bounds, Connections, Limits, Timeouts
from pgsoftproxy.proxy.encryption import Encryption
from pgsoftproxy.proxy.entrance import Entrance, Way
from pgsoftproxy.proxy.listener import Listener, raise_file_limit
from pgsoftproxy.proxy.policies import PolicyStore, Rules
from pgsoftproxy.proxy.services import Services
from pgsoftproxy.proxy.tasks import Tasks
from pgsoftproxy.proxy.upstream import Address, Upstream
from pgsoftproxy.proxy.watch import keep_watching
from pgsoftproxy.rewrite.cache import Planner
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.session.limits import SessionLimits
from pgsoftproxy.settings import Settings
from pgsoftproxy.source import Source, in_force, waiting
from pgsoftproxy.ways import way_in, way_out
from pgsoftproxy.workers.orders import LEAVING, START, Orders, Post
from pgsoftproxy.workers.surroundings import Surroundings

RETRY_SECONDS = 1.0
ALONE = Surroundings()


async def serve(
    source: Source, settings: Settings, post: Post | None = None, around: Surroundings = ALONE
) -> None:
    """Build, run, reload and drain; as a worker, where there is a post. Raises ConfigError if it cannot start."""
    app = App(source, settings, post, around)
    try:
        await app.start()
        await app.stopped()
    finally:
        await app.close()


class App:
    """One running proxy."""

    def __init__(
        self, source: Source, settings: Settings, post: Post | None = None, around: Surroundings = ALONE
    ) -> None:
        self._post = post
        self._around = around
        self._orders = None if post is None else Orders(post.channel, self)
        self._source = source
        self._settings = self._first = settings
        self._bounds = Bounds()
        self._logger: Logger = make_logger(settings.logs.format, settings.logs.level)
        if post is not None:
            self._logger = self._logger.bind(worker=post.slot)
        adopt_standard_logging(self._logger)
        self._metrics = Metrics()
        self._tasks = Tasks(self._logger)
        self._trail = Trail(settings.logs.audit, self._metrics.figures, self._logger)
        reporter = Reporter(
            self._metrics, self._logger, literals=settings.logs.sql_literals, trail=self._trail
        )
        read = partial(_read_catalog, settings.control.dsn)
        self._store = PolicyStore(read, _rules(settings), reporter)
        self._entrance = Entrance(way_in(settings), reporter, AuthQuery(settings.control.dsn).ask)
        self._set_limits(settings)
        elsewhere = NOWHERE if post is None else post.tally
        self._listener = Listener(self._make_services(settings, reporter), elsewhere)
        self._audits = Audits(source.audit_command(), self._metrics, self._logger)
        self._ops: OpsServer | None = None
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._checked: _Fresh | None = None

    async def start(self) -> None:
        """Listen. Raises ConfigError if the configuration does not fit the database, or a port is taken."""
        settings, loop = self._settings, asyncio.get_running_loop()
        self._metrics.figures.tasks = lambda: len(asyncio.all_tasks(loop))
        if self._orders is not None:
            self._orders.listen(loop.call_soon_threadsafe, self._tasks.start)
        try:
            await self._open_catalog()
        except ConfigError as error:
            if self._orders is not None:
                self._orders.answer(START, list(error.problems))
            raise
        self._tasks.start(self._audits.keep(), "audit")
        self._tasks.start(keep_watching(self._listener.relays, self._bounds), "watch sessions")
        self._tasks.start(self._store.keep_fresh(settings.control.refresh_interval), "keep catalogs fresh")
        self._take_signals()
        if self._orders is not None:
            self._orders.answer(START, [])
        else:
            self._listen_alone(settings)
        self._set_audits(settings)

    def _listen_alone(self, settings: Settings) -> None:
        self._ops = OpsServer(settings.metrics.host, settings.metrics.port, self._metrics)
        port = self._listener.open(settings.listen.host, settings.listen.port, self._around.sockets)
        self._logger.info(
            "listening",
            host=settings.listen.host,
            port=port,
            metrics_host=settings.metrics.host,
            metrics_port=self._ops.port,
            version=__version__,
        )
        self._around.notifier.ready()
        self._tasks.start(self._around.notifier.keep_alive(), "watchdog")

    async def stopped(self) -> None:
        """Wait until told to stop, and until the sessions have ended or are ended."""
        await self._stop.wait()
        self._around.notifier.stopping()
        self._let_go_of_port()
        self._logger.info("draining", sessions=self._metrics.figures.connections_open)
        draining = asyncio.ensure_future(self._listener.drain(self._settings.limits.drain_timeout))
        forced = asyncio.ensure_future(self._force.wait())
        await asyncio.wait((draining, forced), return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            forced.cancel()
            self._logger.info("drained", cut_off=draining.result())
        else:
            draining.cancel()
            self._listener.abort()
            self._logger.warning("drain_forced", cut_off=self._metrics.figures.connections_open)

    async def close(self) -> None:
        """Let go of what is still held."""
        self._listener.stop_accepting()
        self._listener.abort()
        await self._tasks.stop()
        if self._ops is not None:
            self._ops.close()
        self._trail.close()

    def _make_services(self, settings: Settings, reporter: Reporter) -> Services:
        limits, upstream = settings.limits, settings.upstream
        planner = Planner(
            rewrite,
            limits.plan_cache_bytes,
            time.perf_counter,
            self._metrics.rewrite_seconds.observe,
            shapes=limits.plan_cache_shapes,
        )
        self._metrics.figures.plan_cache = planner.figures
        address = Address(upstream.hosts, upstream.port, upstream.connect_timeout)
        self._upstream = Upstream(address, self._metrics, self._logger, way_out(settings))
        services = Services(
            planner,
            reporter,
            self._store,
            self._upstream,
            self._tasks,
            self._bounds,
            entrance=self._entrance,
        )
        self._metrics.figures.shelf_hits, self._metrics.figures.shelf_shape_hits = services.shelves.hits
        return services

    async def _open_catalog(self) -> None:
        try:
            problems = await self._store.open_default()
        except UpstreamUnavailable:
            # Start all the same: the server may come up after us. Until then sessions are refused.
            self._tasks.start(self._keep_opening(), "read the first catalog")
            return
        if problems:
            raise ConfigError(tuple(str(problem) for problem in problems))
        self._metrics.figures.ready = True

    async def _keep_opening(self) -> None:
        while not self._metrics.figures.ready:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                await self._store.open_default()
            except UpstreamUnavailable:
                continue  # the store has reported it
            self._metrics.figures.ready = True
            self._logger.info("ready", database=self._store.default_database)

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        if self._post is not None:
            loop.add_signal_handler(signal.SIGTERM, self._stop_or_force)
            return
        loop.add_signal_handler(signal.SIGHUP, lambda: self._tasks.start(self._reload(), "reload"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_or_force)

    def _let_go_of_port(self) -> None:
        self._listener.stop_accepting()
        if self._post is not None and self._orders is not None:
            self._orders.answer(LEAVING, None)
            for sock in (sock for share in self._post.shares for sock in share):
                sock.close()

    def _set_audits(self, settings: Settings) -> None:
        # The figures of one audit are those of all workers.
        if self._post is None or self._post.slot == 0:
            self._audits.set_interval(settings.audit.interval)

    def _stop_or_force(self) -> None:
        if self._stop.is_set():
            self._force.set()
        self._stop.set()

    async def _reload(self) -> None:
        async with self._reloading:
            self._around.notifier.reloading()
            self._trail.reopen()  # whatever becomes of the rest: the file was moved away
            try:
                fresh = _fresh(self._source.load())
                await self._store.reload(_rules(fresh.settings))
            except ConfigError as error:
                self._metrics.reloads[(Reload.FAILED.value,)] += 1
                self._logger.error("reload_refused", problems=list(error.problems))
                self._around.told(error.problems)
                self._around.notifier.ready()
                return
            self._put_in_force(fresh)
            self._metrics.reloads[(Reload.OK.value,)] += 1
            self._logger.info("reloaded", databases=len(self._store.databases))
            self._around.told(())
            self._around.notifier.ready()

    def _set_limits(self, settings: Settings) -> None:
        self._bounds.now = _limits(settings)
        self._metrics.figures.connections_limit = settings.limits.connections
        raise_file_limit(settings.limits.connections)

    def _put_in_force(self, fresh: "_Fresh") -> None:
        waits = waiting(fresh.settings, self._first)
        self._settings = settings = in_force(fresh.settings, self._first)
        self._entrance.way = fresh.way
        self._upstream.encryption = fresh.encryption
        self._set_audits(settings)
        set_level(self._logger, settings.logs.level)
        self._set_limits(settings)
        self._trail.reopen(settings.logs.audit)
        if waits and (self._post is None or self._post.slot == 0):
            self._logger.warning("reload_needs_restart", sections=waits)

    # What the supervisor tells a worker.

    def figures(self) -> Families:
        """Return the metrics; called on a thread of its own."""
        return families(self._metrics.registry)

    def accept(self, slot: int) -> None:
        """Take clients of this share of the port."""
        if self._post is not None and not self._stop.is_set():
            self._listener.take(self._post.shares[slot])

    def leave(self, slot: int) -> None:
        """Take no more of them; somebody else does."""
        if self._post is not None and not self._stop.is_set():
            self._listener.leave(self._post.shares[slot])

    async def check(self, text: str) -> list[str]:
        """Return what is wrong with a configuration; keep it for `apply` if nothing is."""
        self._trail.reopen()
        try:
            fresh = _fresh(self._source.load(text))
            await self._store.check(_rules(fresh.settings))
        except ConfigError as error:
            return list(error.problems)
        self._checked = fresh
        return []

    def apply(self) -> None:
        """Put in force what was checked last."""
        if self._checked is not None:
            self._store.adopt(_rules(self._checked.settings))
            self._put_in_force(self._checked)
            self._checked = None

    def drain(self) -> None:
        """End in order."""
        self._stop.set()

    def force(self) -> None:
        """End now."""
        self._force.set()
        self._stop.set()


@dataclass(frozen=True, slots=True)
class _Fresh:
    """A configuration that was read anew, and what was made of it already."""

    settings: Settings
    way: Way
    encryption: Encryption


def _fresh(settings: Settings) -> _Fresh:
    return _Fresh(settings, way_in(settings), way_out(settings))


async def _read_catalog(dsn: str, database: str | None) -> Catalog:
    return await load_catalog(dsn, database)


def _limits(settings: Settings) -> Limits:
    limits = settings.limits
    return Limits(
        Connections(
            limits.connections,
            limits.connections_per_user,
            limits.connections_per_database,
            limits.connections_per_address,
        ),
        Timeouts(
            limits.login_timeout,
            limits.idle_timeout,
            limits.idle_in_transaction_timeout,
            limits.query_timeout,
        ),
        SessionLimits(statement_bytes=limits.statement_bytes),
    )


def _rules(settings: Settings) -> Rules:
    return Rules(
        settings.rules(),
        settings.grants(),
        settings.routine_rules(),
        settings.statement_rules(),
        settings.key_rules(),
    )
