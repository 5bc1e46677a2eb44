"""Frames that are known to be plain, for the lanes of all sessions: on one shelf for each context and policy version.

Knows when a frame is worth its room and when it must go; must not know messages. A shelf is only ever asked under the
context and the policy version that it was filled under, so that nothing on it can be out of date.
"""

from collections import OrderedDict

from pgsoftproxy.kernel import Cell, Known, Masks
from pgsoftproxy.model.context import Context

MOST_BYTES = 16 * 1024 * 1024
MOST_SHELVES = 64
MOST_SEEN = 4096
LONGEST = 8192
OVERHEAD = 700
"""Bytes that an entry costs besides its frames: the dictionary's slot, the entry, what it keeps of the plan."""


class Shelf:
    """The frames and the shapes of texts of one context; a lane looks into both."""

    __slots__ = ("known", "live", "seen", "shapes")

    def __init__(self) -> None:
        self.known: dict[bytes, Known] = {}
        self.shapes: dict[bytes, Known] = {}
        self.seen: set[int] = set()  # hashes of frames that came once
        self.live = True


class Shelves:
    """All shelves of a process, bounded by number and bytes; a frame is put on one when it comes first, or again."""

    def __init__(self, *, at_once: bool = False) -> None:
        self._at_once = at_once
        self._shelves: OrderedDict[tuple[Context, int], Shelf] = OrderedDict()
        self._bytes = 0
        self.masks = Masks()
        self.hits = (
            Cell(),
            Cell(),
        )  # texts that were found on a shelf, and those of them of which only the shape was

    def of(self, context: Context, version: int) -> Shelf:
        """Return the shelf of a context and a policy version."""
        key = context, version
        shelf = self._shelves.get(key)
        if shelf is None:
            shelf = self._shelves[key] = Shelf()
            if len(self._shelves) > MOST_SHELVES:
                self._clear(self._shelves.popitem(last=False)[1], live=False)
        return shelf

    def wants(self, shelf: Shelf, frame: bytes) -> bool:
        """Tell whether a frame that the session has found plain belongs on the shelf now."""
        if len(frame) > LONGEST or not shelf.live:
            return False
        mark = hash(frame)
        if self._at_once or mark in shelf.seen:
            return True
        if len(shelf.seen) >= MOST_SEEN:
            shelf.seen.clear()
        shelf.seen.add(mark)
        return False

    def put(self, shelf: Shelf, frame: bytes, known: Known) -> None:
        """Put a frame on a shelf; if there is no room, all shelves are emptied."""
        self._put(shelf.known, frame, known)

    def put_shape(self, shelf: Shelf, shape: bytes, known: Known) -> None:
        """Put the shape of a text there."""
        if shelf.live:
            self._put(shelf.shapes, shape, known)

    def _put(self, kept: dict[bytes, Known], frame: bytes, known: Known) -> None:
        weight = _weight(frame)
        if self._bytes + weight > MOST_BYTES:
            for other in self._shelves.values():
                self._clear(other, live=True)
        if frame not in kept:
            self._bytes += weight
        kept[frame] = known

    def _clear(self, shelf: Shelf, *, live: bool) -> None:
        self._bytes -= sum(map(_weight, (*shelf.known, *shelf.shapes)))
        shelf.known.clear()
        shelf.shapes.clear()
        shelf.seen.clear()
        shelf.live = live


def _weight(frame: bytes) -> int:
    return 3 * len(frame) + OVERHEAD
