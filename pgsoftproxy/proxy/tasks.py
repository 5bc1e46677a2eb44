"""The one way to start a task: it is referenced until it ends, and its death is reported."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from pgsoftproxy.ops.logs import Logger


class Tasks:
    """Start tasks and hold them; an exception that nobody awaits becomes a log line with its traceback."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._running: set[asyncio.Task[Any]] = set()

    def start(
        self,
        coroutine: Coroutine[Any, Any, None],
        name: str,
        on_death: Callable[[BaseException], None] | None = None,
    ) -> asyncio.Task[None]:
        """Run a coroutine on its own. If it raises, `on_death` is told; without that, the log."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._running.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                if on_death is None:
                    self._logger.error("task_died", task=name, exc_info=error)
                else:
                    on_death(error)

        task.add_done_callback(done)
        return task

    async def stop(self) -> None:
        """Cancel whatever still runs and wait until it has ended."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
