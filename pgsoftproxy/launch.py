"""Begin to serve: in this process, or in several workers below it, as the configuration says.

Must not know how a process serves, nor how workers are kept alive.
"""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from pgsoftproxy import __version__
from pgsoftproxy.app import FIXED_AT_START, serve
from pgsoftproxy.errors import ConfigError
from pgsoftproxy.ops.logs import adopt_standard_logging, make_logger
from pgsoftproxy.ops.metrics import Metrics
from pgsoftproxy.ops.pages import PagesServer
from pgsoftproxy.proxy.loop import Loop
from pgsoftproxy.proxy.sockets import bind
from pgsoftproxy.settings import Settings
from pgsoftproxy.source import Source
from pgsoftproxy.workers.orders import Post
from pgsoftproxy.workers.supervisor import Duty, Supervisor

ENDED, WRONG = 0, 2


def run(path: Path, environ: Mapping[str, str], overrides: Sequence[str] = ()) -> None:
    """Serve until a signal ends it. Raises ConfigError if the proxy cannot start."""
    # A reload asked for before anyone can answer it must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    source = Source(path, environ, overrides)
    text = source.read()
    settings = source.load(text)
    if settings.listen.workers == 1:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(serve(source, settings))
    else:
        _Fleet(source, text, settings).run()


class _Fleet:
    """Workers, and the configuration that a new one begins with."""

    def __init__(self, source: Source, text: str, settings: Settings) -> None:
        self._source = source
        self._text = text
        self._settings = settings
        self._logger = make_logger(settings.logs.format, settings.logs.level)
        adopt_standard_logging(self._logger)
        self._shares = bind(settings.listen.host, settings.listen.port, settings.listen.workers)

    def run(self) -> None:
        settings = self._settings
        server = PagesServer(settings.metrics.host, settings.metrics.port)
        duty = Duty(
            self._shares,
            server,
            self._source.read,
            self._keep,
            settings.limits.drain_timeout,
            self._listening,
        )
        Supervisor(duty, Metrics(), self._logger).run(self._work)

    def _keep(self, text: str) -> None:
        self._text = text

    def _work(self, post: Post) -> int:
        try:
            # Not from the file, which may be another by now; what is fixed at start is as it was.
            settings = self._source.load(self._text)
            fixed = {name: getattr(self._settings, name) for name in FIXED_AT_START}
            settings = settings.model_copy(update=fixed)
            with asyncio.Runner(loop_factory=Loop) as runner:
                runner.run(serve(self._source, settings, post))
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
