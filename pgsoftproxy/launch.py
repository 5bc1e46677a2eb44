"""Begin to serve: in this process, or in several workers below it, as the configuration says.

Must not know how a process serves, nor how workers are kept alive.
"""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from pgsoftproxy import __version__
from pgsoftproxy.app import serve
from pgsoftproxy.errors import ConfigError
from pgsoftproxy.ops.logs import adopt_standard_logging, make_logger, set_level
from pgsoftproxy.ops.metrics import Metrics
from pgsoftproxy.ops.notify import Notifier
from pgsoftproxy.ops.pages import PagesServer
from pgsoftproxy.proxy.loop import Loop
from pgsoftproxy.proxy.sockets import bind, passed
from pgsoftproxy.settings import Settings
from pgsoftproxy.source import Source, in_force
from pgsoftproxy.workers.orders import Post
from pgsoftproxy.workers.outcome import Told
from pgsoftproxy.workers.supervisor import Duty, Supervisor
from pgsoftproxy.workers.surroundings import Surroundings

ENDED, WRONG = 0, 2


def run(path: Path, environ: Mapping[str, str], overrides: Sequence[str], told: Told) -> None:
    """Serve until a signal ends it; tell what comes of each reload. Raises ConfigError if the proxy cannot start."""
    # A reload asked for before anyone can answer it must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    source = Source(path, environ, overrides)
    settings = source.load()
    around = Surroundings(told, Notifier(environ), passed(environ))
    if settings.listen.workers == 1:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(serve(source, settings, around=around))
    else:
        _Fleet(source, settings, around).run()


class _Fleet:
    """Workers, and the configuration that a new one begins with."""

    def __init__(self, source: Source, settings: Settings, around: Surroundings) -> None:
        self._around = around
        self._source = source
        self._settings = self._first = settings
        self._logger = make_logger(settings.logs.format, settings.logs.level)
        adopt_standard_logging(self._logger)
        listen = settings.listen
        # Of sockets that were passed there is one for all: the workers take turns at it.
        same = (around.sockets,) * listen.workers
        self._shares = same if around.sockets else bind(listen.host, listen.port, listen.workers)

    def run(self) -> None:
        settings = self._settings
        server = PagesServer(settings.metrics.host, settings.metrics.port)
        duty = Duty(
            self._shares,
            server,
            self._source.read,
            self._keep,
            self._around,
            lambda: self._settings.limits.drain_timeout,
            self._listening,
        )
        Supervisor(duty, Metrics(), self._logger).run(self._work)

    def _keep(self, text: str) -> None:
        # What is fixed at start is as it was, also for a worker that comes later.
        self._settings = in_force(self._source.load(text), self._first)
        set_level(self._logger, self._settings.logs.level)

    def _work(self, post: Post) -> int:
        try:
            with asyncio.Runner(loop_factory=Loop) as runner:
                runner.run(serve(self._source, self._settings, post))
        except ConfigError:
            return WRONG  # it has told the supervisor why
        return ENDED

    def _listening(self, metrics_port: int) -> None:
        settings = self._settings
        self._logger.info(
            "listening",
            host=settings.listen.host,
            port=int(self._shares[0][0].getsockname()[1]),
            metrics_host=settings.metrics.host,
            metrics_port=metrics_port,
            workers=settings.listen.workers,
            version=__version__,
        )
