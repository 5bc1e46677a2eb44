"""Run `pgsoftproxy audit` every so often and keep its figures for a scrape.

In a process of its own, at a low priority: the reading of stored bodies must not cost the sessions time, nor be able to
end them. Must not know what is audited.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from pgsoftproxy.ops.logs import Logger
from pgsoftproxy.ops.metrics import Metrics

LONGEST = 600.0
"""Seconds after which an audit is given up."""
NICENESS = 10


class Audits(Collector):
    """The figures of the last audit that succeeded; none before that."""

    def __init__(self, command: Sequence[str], metrics: Metrics, logger: Logger) -> None:
        self._command = tuple(command)
        self._logger = logger
        self._families: tuple[Metric, ...] = ()
        self._interval = 0.0
        self._changed = asyncio.Event()
        metrics.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures; called on the thread that serves a scrape."""
        yield from self._families

    def set_interval(self, interval: float) -> None:
        """Audit each `interval` seconds from now on, or not at all if that is 0; then there are no figures."""
        if interval != self._interval:
            self._interval = interval
            self._changed.set()

    async def keep(self) -> None:
        """Audit as often as it was told to; never returns."""
        while True:
            self._changed.clear()
            if self._interval > 0:
                await self.audit()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._interval):
                        await self._changed.wait()
            else:
                self._families = ()
                await self._changed.wait()

    async def audit(self) -> None:
        """Audit once; what fails is logged, and the figures stay as they were."""
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        try:
            os.setpriority(os.PRIO_PROCESS, child.pid, NICENESS)
            async with asyncio.timeout(LONGEST):
                out, told = await child.communicate()
        except TimeoutError:
            self._logger.warning("audit_failed", reason=f"it took longer than {LONGEST:g} seconds")
            return
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode == 0:
            self._families = tuple(text_string_to_metric_families(out.decode()))
        else:
            reason = told.decode(errors="replace").strip()
            self._logger.warning("audit_failed", reason=reason, code=child.returncode)
