# cython: boundscheck=False, wraparound=False
"""The shape of the plainest texts: words, operators, and integers that fit the server's own; anything else has none.

Gives what `rewrite/shapes` gives, or nothing: a property test holds it. Must not know what a shape is for.
"""

from typing import Any

from pgsoftproxy.kernel import uncompiled as cython

if cython.compiled:
    import cython  # type: ignore[import-untyped,no-redef]

LONGEST = cython.declare(cython.Py_ssize_t, 8192)
MOST_DIGITS = cython.declare(cython.Py_ssize_t, 9)
SHAPE = cython.declare(bytearray, bytearray(8192))

# What a byte is: part of a word, a digit, or what may stand between; 0 for quotes, dollars, backslashes, control
# characters and all outside ASCII.
WORD = cython.declare(cython.int, 1)
DIGIT = cython.declare(cython.int, 2)
BETWEEN = cython.declare(cython.int, 3)
KINDS = cython.declare(
    bytearray,
    bytearray(
        1
        if chr(byte).isalpha() or byte == ord("_")
        else 2
        if chr(byte).isdigit()
        else 3
        if byte in b" \t\n\r\f+-*/<>=~!@#%^&|`?:,()[];."
        else 0
        for byte in range(128)
    )
    + bytearray(128),
)


class Masks:
    """What reads shapes; it keeps nothing."""

    def mask(
        self, data: bytearray, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, literals: Any
    ) -> bytes:
        """Return the shape of a text and append its integers; empty if it is longer, or less plain, than this reads."""
        at: cython.Py_ssize_t = start
        begin: cython.Py_ssize_t
        to: cython.Py_ssize_t = 0
        kind: cython.int
        byte: cython.int
        after: cython.int
        if stop - start > LONGEST:
            return b""
        while at < stop:
            byte = data[at]
            kind = KINDS[byte]
            begin = at
            at += 1
            if kind == DIGIT:
                while at < stop and KINDS[data[at]] == DIGIT:
                    at += 1
                after = data[at] if at < stop else ord(" ")
                if KINDS[after] != BETWEEN or after == ord("."):
                    return b""
                # Of ten digits those that begin so are the server's integers, too.
                if at - begin > MOST_DIGITS and not (
                    at - begin == MOST_DIGITS + 1
                    and (data[begin] == ord("1") or (data[begin] == ord("2") and data[begin + 1] == ord("0")))
                ):
                    return b""
                SHAPE[to] = 1
                to += 1
                literals.append(bytes(data[begin:at]))
                continue
            if kind == WORD:
                while at < stop and (KINDS[data[at]] == WORD or KINDS[data[at]] == DIGIT):
                    at += 1
            elif kind != BETWEEN:
                return b""
            elif at < stop:
                after = data[at]
                if (
                    (byte == ord("-") and after == ord("-"))
                    or (byte == ord("/") and after == ord("*"))
                    or (byte == ord(".") and KINDS[after] == DIGIT)
                ):
                    return b""
            while begin < at:
                SHAPE[to] = data[begin]
                to += 1
                begin += 1
        return bytes(SHAPE[:to])
