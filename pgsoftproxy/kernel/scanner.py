# cython: boundscheck=False, wraparound=False
"""Find, in a byte stream, the frames that somebody must look at; all else goes on as slices, or unseen.

Knows the layout of frames, not what they mean, nor who reads them; `wire/framing` has the rules that it is given.

Theory. A frame is a type byte, a length that counts itself, a body. For each type the rules give the longest
length allowed (0: no such type here) and how much of the body the reader wants at hand: none of the frame at
all (below 0), or up to so many bytes. The scanner stops at each wanted frame as soon as that much of it has
come; the rest of a longer one passes, or is dropped, as it arrives. Frames that nobody replaces stay part of
one growing *run* that is cut from the buffer once, so a chunk that needs no change leaves as it came.
While a stream of frames that pass *flows*, its bytes may be `carried` in the buffer that they were read into:
whatever that finds, the scanner is where it would be had they been fed, looked for wanted frames, and flushed.
"""

from struct import Struct
from typing import Any

from pgsoftproxy.kernel import uncompiled as cython

if cython.compiled:
    import cython  # type: ignore[import-untyped,no-redef]

HEADER = cython.declare(cython.Py_ssize_t, 5)
_LENGTH = Struct(">I").unpack_from


@cython.cfunc
def _walk(
    text: cython.p_uchar, pos: cython.Py_ssize_t, size: cython.Py_ssize_t, rules: Any
) -> cython.Py_ssize_t:
    """Return where the first frame from `pos` on begins that is wanted, wrong, or still without its header."""
    limits: tuple[int, ...] = rules.limits
    wanted: tuple[int, ...] = rules.wanted
    kind: cython.int = -1
    limit: cython.Py_ssize_t = 0
    length: cython.Py_ssize_t
    while size - pos >= HEADER:
        if text[pos] != kind:
            kind = text[pos]
            if wanted[kind] >= 0:
                break
            limit = limits[kind]
        if cython.compiled:
            length = cython.cast(cython.uint, text[pos + 1]) << 24 | text[pos + 2] << 16
            length |= text[pos + 3] << 8 | text[pos + 4]
        else:
            length = _LENGTH(text, pos + 1)[0]
        if length > limit or length < 4:
            break
        pos += 1 + length
    return pos


class Scanner:
    """Cut one direction of a connection into wanted frames and runs of bytes that pass.

    `feed` bytes, then call `next` until it returns 0. After a type byte was returned, the frame at hand is
    `data[start:stop]`, its body begins at `start + HEADER`, and `whole` tells whether that is all of it. The
    reader may `hold` the frame (it comes again), take the run `before` it, or take that and `drop` the frame.
    `flush` takes the run so far. `rules` may be changed after any frame.
    """

    def __init__(self, rules: Any) -> None:
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
        self._passed = False  # the last that was seen of it, or of a frame's rest, was of what passes

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
        size: cython.Py_ssize_t = self._size
        pos: cython.Py_ssize_t = self._pos
        end: cython.Py_ssize_t
        stop: cython.Py_ssize_t
        length: cython.Py_ssize_t
        want: cython.Py_ssize_t
        kind: cython.int
        if size < self._first:
            return 0
        if self._more:
            self.data = b"".join((self.data, *self._more))
            self._more.clear()
        data: bytes = self.data
        wanted: tuple[int, ...] = self.rules.wanted
        self._passed = pos > size
        while size - pos >= HEADER:
            kind = data[pos]
            want = wanted[kind]
            if want < 0:
                stop = _walk(data, pos, size, self.rules)
                if stop == pos:
                    self._pos = self.start = pos
                    raise self.rules.bad(kind)
                pos = stop
                self._passed = True
                continue
            length = _LENGTH(data, pos + 1)[0]
            if length > self.rules.limits[kind] or length < 4:
                self._pos = self.start = pos
                raise self.rules.bad(kind)
            end = pos + 1 + length
            stop = end if length - 4 <= want else pos + HEADER + want
            self._passed = False
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
        data: bytes = self.data
        pos: cython.Py_ssize_t = self._pos
        mark: cython.Py_ssize_t = self._mark
        # `data` may be shorter than what was fed (while a frame is awaited), never shorter than the run.
        upto: cython.Py_ssize_t = min(pos, len(data))
        run = data[mark:upto] if mark < upto else b""
        self.data = data[upto:]
        self._size -= upto
        self._pos = pos - upto
        self._mark = max(mark - upto, 0)
        self._first = max(self._first - upto, 0)
        if not self.data and len(self._more) == 1:
            self.data = self._more.pop()
        return run

    def flows(self) -> cython.bint:
        """Tell whether what comes next may be carried: it goes on what passed last, and no more than `data` is held."""
        return self._passed and self._size < HEADER and self._mark == 0 and not self._more

    def carry(self, data: bytearray, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Take bytes while they flow, `size` of them with those held ahead; return how many of them go on at once.

        The others are held if it `flows` still, else they must be fed.
        """
        stop: cython.Py_ssize_t = _walk(data, self._pos, size, self.rules) if self._pos < size else self._pos
        rest: cython.Py_ssize_t = size - stop
        self.data = b""
        self._size = self._first = self._pos = 0
        if rest <= 0:
            self._pos = -rest
            self._first = HEADER - rest
            return size
        if rest < HEADER:
            self.data = bytes(data[stop:size])
            self._size = rest
            self._first = HEADER
        else:
            self._passed = False
        return stop

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
