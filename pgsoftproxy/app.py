"""The composition root: build everything from settings, run it, reload it, drain it.

The one place that knows both the settings and the rooms they configure. Owns signals.
"""

import asyncio
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from ssl import SSLContext

from pgsoftproxy import __version__
from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.errors import ConfigError, UpstreamUnavailable
from pgsoftproxy.model.catalog import Catalog
from pgsoftproxy.ops.audits import Audits
from pgsoftproxy.ops.http import OpsServer
from pgsoftproxy.ops.logs import Logger, adopt_standard_logging, make_logger
from pgsoftproxy.ops.metrics import Metrics, Reload
from pgsoftproxy.ops.reporter import Reporter
from pgsoftproxy.proxy.certificates import Files, client_context, server_context
from pgsoftproxy.proxy.encryption import Encryption
from pgsoftproxy.proxy.entrance import Entrance
from pgsoftproxy.proxy.listener import UNADMITTED, Listener
from pgsoftproxy.proxy.policies import PolicyStore, Rules
from pgsoftproxy.proxy.services import Services, Timeouts
from pgsoftproxy.proxy.tasks import Tasks
from pgsoftproxy.proxy.upstream import Address, Upstream
from pgsoftproxy.rewrite.cache import Planner
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.session.door import Door
from pgsoftproxy.session.limits import SessionLimits
from pgsoftproxy.settings import Settings, load

RETRY_SECONDS = 1.0
SPARE_FILES = 64
FIXED_AT_START = ("listen", "upstream", "control", "metrics", "logs", "limits")
"""Sections of the configuration that a reload does not put in force."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where settings come from, to be read at start and at each reload."""

    path: Path
    environ: Mapping[str, str]
    overrides: Sequence[str] = ()

    def load(self) -> Settings:
        """Read the settings. Raises ConfigError."""
        return load(self.path, self.environ, self.overrides)


async def serve(path: Path, environ: Mapping[str, str], overrides: Sequence[str] = ()) -> None:
    """Build, run, reload and drain. Raises ConfigError if the proxy cannot start."""
    # A reload asked for before anyone can answer it must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    source = Source(path, environ, overrides)
    settings = source.load()
    app = App(source, settings)
    try:
        await app.start()
        await app.stopped()
    finally:
        await app.close()


class App:
    """One running proxy."""

    def __init__(self, source: Source, settings: Settings) -> None:
        self._source = source
        self._settings = settings
        self._logger: Logger = make_logger(settings.logs.format, settings.logs.level)
        adopt_standard_logging(self._logger)
        self._metrics = Metrics()
        self._metrics.figures.connections_limit = settings.limits.connections
        self._tasks = Tasks(self._logger)
        reporter = Reporter(self._metrics, self._logger, literals=settings.logs.sql_literals)
        read = partial(_read_catalog, settings.control.dsn)
        self._store = PolicyStore(read, _rules(settings), reporter)
        self._entrance = Entrance(*way_in(settings), reporter.tls_failed)
        services = self._services(settings, reporter)
        self._listener = Listener(services, settings.limits.connections)
        self._audits = Audits(_audit_command(source), self._metrics, self._logger)
        self._ops: OpsServer | None = None
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._reloading = asyncio.Lock()

    async def start(self) -> None:
        """Listen. Raises ConfigError if the configuration does not fit the database, or a port is taken."""
        settings = self._settings
        _raise_file_limit(2 * (settings.limits.connections + UNADMITTED) + SPARE_FILES)
        await self._open_catalog()
        self._ops = OpsServer(settings.metrics.host, settings.metrics.port, self._metrics)
        port = await self._listener.open(settings.listen.host, settings.listen.port)
        self._audits.set_interval(settings.audit.interval)
        self._tasks.start(self._audits.keep(), "audit")
        self._take_signals()
        self._tasks.start(self._store.keep_fresh(settings.control.refresh_interval), "keep catalogs fresh")
        self._logger.info(
            "listening",
            host=settings.listen.host,
            port=port,
            metrics_host=settings.metrics.host,
            metrics_port=self._ops.port,
            version=__version__,
        )

    async def stopped(self) -> None:
        """Wait until told to stop, and until the sessions have ended or are ended."""
        await self._stop.wait()
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

    def _services(self, settings: Settings, reporter: Reporter) -> Services:
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
            SessionLimits(statement_bytes=limits.statement_bytes),
            Timeouts(limits.login_timeout, limits.idle_timeout),
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
        loop.add_signal_handler(signal.SIGHUP, lambda: self._tasks.start(self._reload(), "reload"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_or_force)

    def _stop_or_force(self) -> None:
        if self._stop.is_set():
            self._force.set()
        self._stop.set()

    async def _reload(self) -> None:
        async with self._reloading:
            try:
                settings = self._source.load()
                entrance, encryption = way_in(settings), way_out(settings)
                await self._store.reload(_rules(settings))
            except ConfigError as error:
                self._metrics.reloads[(Reload.FAILED.value,)] += 1
                self._logger.error("reload_refused", problems=list(error.problems))
                return
            self._entrance.replace(*entrance)
            self._upstream.encryption = encryption
            self._audits.set_interval(settings.audit.interval)
            unchanged = self._settings
            waiting = [name for name in FIXED_AT_START if getattr(settings, name) != getattr(unchanged, name)]
            if waiting:
                self._logger.warning("reload_needs_restart", sections=waiting)
            self._metrics.reloads[(Reload.OK.value,)] += 1
            self._logger.info("reloaded", databases=len(self._store.databases))


def way_in(settings: Settings) -> tuple[Door, SSLContext | None]:
    """Return what clients meet; raises ConfigError if certificates cannot be had."""
    tls = settings.client_tls
    files = Files(f"{settings.origin('client_tls')}: client_tls", **tls.model_dump())
    return Door(tls.mode), server_context(files)


def way_out(settings: Settings) -> Encryption:
    """Return how the server is met; raises ConfigError if certificates cannot be had."""
    tls = settings.upstream_tls
    files = Files(f"{settings.origin('upstream_tls')}: upstream_tls", **tls.model_dump())
    return Encryption(tls.mode, client_context(files))


def _audit_command(source: Source) -> list[str]:
    flags = [part for override in source.overrides for part in ("--set", override)]
    command = [sys.executable, "-m", "pgsoftproxy", "audit", "--metrics", "--fail-on", "never"]
    return [*command, "--config", str(source.path), *flags]


async def _read_catalog(dsn: str, database: str | None) -> Catalog:
    return await load_catalog(dsn, database)


def _rules(settings: Settings) -> Rules:
    return Rules(
        settings.rules(),
        settings.grants(),
        settings.routine_rules(),
        settings.statement_rules(),
        settings.key_rules(),
    )


def _raise_file_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
