"""What runs for every byte of a session in its steady state: compiled where that was possible, else as plain Python.

The same source either way. PGSOFTPROXY_KERNEL=compiled or =python chooses; without it, what there is. Must not know
SQL, plans or settings.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from pgsoftproxy.compiled import CHOICES, choice, lacking

if TYPE_CHECKING:
    from pgsoftproxy.kernel.lane import Cell, Known, Lane
    from pgsoftproxy.kernel.mask import Masks
    from pgsoftproxy.kernel.scanner import Scanner
    from pgsoftproxy.kernel.selector import Selector
    from pgsoftproxy.kernel.wires import Wire

__all__ = ["CHOICES", "COMPILED", "Cell", "Known", "Lane", "Masks", "Scanner", "Selector", "Wire"]

MODULES = ("mask", "sheet", "lane", "scanner", "wires", "selector")


def _compiled() -> bool:
    wanted = choice()
    if wanted == "python":
        return False
    try:
        for name in MODULES:
            import_module(f"pgsoftproxy.kernel._{name}")
    except ModuleNotFoundError:
        if wanted is not None:
            raise lacking() from None
        return False
    return True


COMPILED: Final = _compiled()

if not TYPE_CHECKING:
    _prefix = "pgsoftproxy.kernel._" if COMPILED else "pgsoftproxy.kernel."
    _lane = import_module(f"{_prefix}lane")
    Cell, Known, Lane = _lane.Cell, _lane.Known, _lane.Lane
    Masks = import_module(f"{_prefix}mask").Masks
    Scanner = import_module(f"{_prefix}scanner").Scanner
    Selector = import_module(f"{_prefix}selector").Selector
    Wire = import_module(f"{_prefix}wires").Wire
