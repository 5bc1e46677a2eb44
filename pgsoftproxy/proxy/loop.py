"""The event loop of a proxy: asyncio's own, waiting by the kernel's selector."""

import asyncio

from pgsoftproxy.kernel import Selector


class Loop(asyncio.SelectorEventLoop):
    """A loop at which wires read without waking it; `wires` holds them by file descriptor."""

    def __init__(self) -> None:
        selector = Selector()
        self.wires = selector.wires
        super().__init__(selector)
