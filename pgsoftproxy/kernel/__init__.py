"""What runs for every byte of a session in its steady state: compiled where that was possible, else as plain Python.

The same source either way. PGSOFTPROXY_KERNEL=compiled or =python chooses; without it, what there is. Must not know
SQL, plans or settings.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pgsoftproxy.kernel.lane import Cell, Known, Lane
    from pgsoftproxy.kernel.mask import Masks
    from pgsoftproxy.kernel.selector import Selector
    from pgsoftproxy.kernel.wires import Wire

__all__ = ["COMPILED", "Cell", "Known", "Lane", "Masks", "Selector", "Wire"]

CHOICES = ("compiled", "python")
MODULES = ("mask", "lane", "wires", "selector")


def _compiled(choice: str | None) -> bool:
    if choice is not None and choice not in CHOICES:
        raise ImportError(f"PGSOFTPROXY_KERNEL is {choice!r}: it must be one of {', '.join(CHOICES)}")
    if choice == "python":
        return False
    try:
        for name in MODULES:
            import_module(f"pgsoftproxy.kernel._{name}")
    except ModuleNotFoundError:
        if choice is not None:
            raise ImportError(
                "PGSOFTPROXY_KERNEL asks for the compiled kernel, which this installation lacks: "
                "install it again where there are a C compiler and Cython"
            ) from None
        return False
    return True


COMPILED: Final = _compiled(os.environ.get("PGSOFTPROXY_KERNEL") or None)

if not TYPE_CHECKING:
    _prefix = "pgsoftproxy.kernel._" if COMPILED else "pgsoftproxy.kernel."
    _lane = import_module(f"{_prefix}lane")
    Cell, Known, Lane = _lane.Cell, _lane.Known, _lane.Lane
    Masks = import_module(f"{_prefix}mask").Masks
    Selector = import_module(f"{_prefix}selector").Selector
    Wire = import_module(f"{_prefix}wires").Wire
