# cython: boundscheck=False, wraparound=False
"""Bytes that are written one behind another, and again from the beginning. Must not know what they say."""

from pgsoftproxy.kernel import uncompiled as cython

if cython.compiled:
    import cython  # type: ignore[import-untyped,no-redef]
    from cython.cimports.libc.string import memcpy  # type: ignore[import-untyped]

MOST_KEPT = cython.declare(cython.Py_ssize_t, 1024)
"""Room that a sheet keeps when it is cleared."""


class Sheet:
    """Bytes that are written one behind another: the first `size` of `data`."""

    def __init__(self) -> None:
        self.data = bytearray(0)
        self.size = 0

    def clear(self) -> None:
        """Begin again."""
        self.size = 0
        if len(self.data) > MOST_KEPT:
            self.data = bytearray(0)

    def reserve(self, size: cython.Py_ssize_t) -> None:
        """See that there is room for so many bytes more."""
        lacking: cython.Py_ssize_t = self.size + size - len(self.data)
        if lacking > 0:
            self.data.extend(bytes(lacking))

    def copy(self, source: cython.p_uchar, start: cython.Py_ssize_t, size: cython.Py_ssize_t) -> None:
        """Write so many bytes, for which there is room, from `start` on."""
        if cython.compiled:
            target: cython.p_uchar = self.data
            memcpy(target + self.size, source + start, size)
        else:
            self.data[self.size : self.size + size] = source[start : start + size]
        self.size += size

    def number(self, number: cython.Py_ssize_t) -> None:
        """Write a number as the protocol has it; there is room."""
        target: cython.p_uchar = self.data
        at: cython.Py_ssize_t = self.size
        target[at] = number >> 24 & 255
        target[at + 1] = number >> 16 & 255
        target[at + 2] = number >> 8 & 255
        target[at + 3] = number & 255
        self.size = at + 4
