"""Find, in a byte stream, the frames that somebody must look at; all else goes on as slices.

Knows the layout of frames and the limits of their lengths, not what they mean, nor who reads them.

Theory. A frame is a type byte, a length that counts itself, a body. For each type the rules give the longest
length allowed (0: no such type here) and how much of the body the reader wants at hand: none of the frame at
all (PASS), or up to so many bytes. The scanner stops at each wanted frame as soon as that much of it has
come; the rest of a longer one passes, or is dropped, as it arrives. Frames that nobody replaces stay part of
one growing *run* that is cut from the buffer once, so a chunk that needs no change leaves as it came.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct

from pgsoftproxy.errors import ClientProtocolError, UpstreamProtocolError

PASS = -1
"""Wanted from a frame that nobody looks at."""

HEADER = 5
_LENGTH = Struct(">I").unpack_from


@dataclass(frozen=True, slots=True)
class Rules:
    """What one side may send in one phase, by type byte: the longest length, and how much of the body is wanted."""

    error: type[ClientProtocolError] | type[UpstreamProtocolError]
    side: str
    limits: tuple[int, ...]
    wanted: tuple[int, ...]

    @classmethod
    def of(
        cls,
        error: type[ClientProtocolError] | type[UpstreamProtocolError],
        side: str,
        frames: Mapping[int, tuple[int, int]],
    ) -> "Rules":
        """Build rules from a map of type byte to (longest length, bytes of the body wanted)."""
        limits = [0] * 256
        wanted = [PASS] * 256
        for kind, (limit, want) in frames.items():
            limits[kind] = limit
            wanted[kind] = want
        return cls(error, side, tuple(limits), tuple(wanted))


class Scanner:
    """Cut one direction of a connection into wanted frames and runs of bytes that pass.

    `feed` bytes, then call `next` until it returns 0. After a type byte was returned, the frame at hand is
    `data[start:stop]`, its body begins at `start + HEADER`, and `whole` tells whether that is all of it. The
    reader may `hold` the frame (it comes again), take the run `before` it, or take that and `drop` the frame.
    `flush` takes the run so far. `rules` may be changed after any frame.
    """

    __slots__ = ("_first", "_mark", "_more", "_pos", "_size", "data", "rules", "start", "stop", "whole")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.data = b""
        self.start = 0
        self.stop = 0
        self.whole = True
        # Offsets into `data`; `_pos` (the next header) and `_mark` (where the run begins) may lie beyond its
        # end, when the rest of a frame is still to come. `_first` is the size at which looking pays again.
        self._pos = 0
        self._mark = 0
        self._first = 0
        self._more: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Append received bytes."""
        if self.data or self._more:
            self._more.append(data)
            self._size += len(data)
        else:
            self.data = data
            self._size = len(data)

    def next(self) -> int:
        """Return the type byte of the next wanted frame, 0 if more bytes must come first.

        Raises the rules' error on an unknown type or a length out of bounds.
        """
        size = self._size
        if size < self._first:
            return 0
        if self._more:
            self.data = b"".join((self.data, *self._more))
            self._more.clear()
        data, pos, rules = self.data, self._pos, self.rules
        limits, wanted = rules.limits, rules.wanted
        while size - pos >= HEADER:
            kind = data[pos]
            length: int = _LENGTH(data, pos + 1)[0]
            if length > limits[kind] or length < 4:
                self._pos = self.start = pos
                raise self._bad(kind)
            end = pos + 1 + length
            want = wanted[kind]
            if want < 0:
                pos = end
                continue
            stop = end if length - 4 <= want else pos + HEADER + want
            if stop > size:
                self._first = stop
                self._pos = pos
                return 0
            self.start = pos
            self.stop = stop
            self.whole = stop == end
            self._first = 0
            self._pos = end
            return kind
        self._first = pos + HEADER
        self._pos = pos
        return 0

    def hold(self) -> None:
        """Put the frame at hand back: the next call of `next` returns it again."""
        self._pos = self.start

    def body(self) -> bytes:
        """Return what is wanted of the body of the frame at hand."""
        return self.data[self.start + HEADER : self.stop]

    def before(self) -> bytes:
        """Take the run of bytes ahead of the frame at hand."""
        run = self.data[self._mark : self.start]
        self._mark = max(self._mark, self.start)
        return run

    def drop(self) -> bytes:
        """Take the run of bytes ahead of the frame at hand, and leave that frame and its rest out of the next."""
        run = self.before()
        self._mark = self._pos
        return run

    def flush(self) -> bytes:
        """Take the run up to the frame that `next` waits for, or to the end of a frame's part that passes."""
        data, pos, mark = self.data, self._pos, self._mark
        # `data` may be shorter than what was fed (while a frame is awaited), never shorter than the run.
        upto = min(pos, len(data))
        run = data[mark:upto] if mark < upto else b""
        self.data = data[upto:]
        self._size -= upto
        self._pos = pos - upto
        self._mark = max(mark - upto, 0)
        self._first = max(self._first - upto, 0)
        if not self.data and len(self._more) == 1:
            self.data = self._more.pop()
        return run

    def resume(self, skip: int, held: bytes) -> None:
        """Go on where another has read so far: inside a frame, `skip` bytes of which pass, or behind `held`."""
        self._pos = skip
        if held:
            self.feed(held)

    @property
    def empty(self) -> bool:
        """Tell whether nothing is buffered and no frame is half-way through."""
        return self._size == 0 and self._pos == 0

    @property
    def inside(self) -> bool:
        """Tell whether a part of a frame has passed whose rest is still to come (call after `flush`)."""
        return self._pos > 0 and self._mark == 0 and self._size == 0

    def rest(self) -> bytes:
        """Take all that is buffered and not yet scanned, to be read by other rules than frames'."""
        rest = b"".join((self.data, *self._more))[self._pos :]
        self.data, self._size, self._pos, self._mark, self._first = b"", 0, 0, 0, 0
        self._more.clear()
        return rest

    def _bad(self, kind: int) -> ClientProtocolError | UpstreamProtocolError:
        rules = self.rules
        if rules.limits[kind] == 0:
            return rules.error(f"invalid {rules.side} message type {kind}")
        return rules.error("invalid message length")
