# cython: boundscheck=False, wraparound=False
"""The shape of the plainer texts in ASCII: words, quoted names, operators, numbers, comments, strings without escapes.

Gives what `rewrite/shapes` gives, or nothing: a property test holds it. Must not know what a shape is for.
"""

from typing import Any

from pgsoftproxy.kernel import uncompiled as cython

if cython.compiled:
    import cython  # type: ignore[import-untyped,no-redef]

LONGEST = cython.declare(cython.Py_ssize_t, 8192)
MOST_LITERALS = cython.declare(cython.Py_ssize_t, 256)

# What stands for a literal, as in `rewrite/shapes`; NONE: it is none that is read here.
NONE = cython.declare(cython.int, 0)
INTEGER = cython.declare(cython.int, 1)
BIGINT = cython.declare(cython.int, 2)
NUMERIC = cython.declare(cython.int, 3)
STRING = cython.declare(cython.int, 4)
COMMENT = cython.declare(cython.int, 6)

# What a byte is: part of a word, a digit, or, from BETWEEN on, what may stand between; 0 for quotes, dollars,
# backslashes, control characters and all outside ASCII.
WORD = cython.declare(cython.int, 1)
DIGIT = cython.declare(cython.int, 2)
BETWEEN = cython.declare(cython.int, 3)
SPACE = cython.declare(cython.int, 4)
KINDS = cython.declare(
    bytearray,
    bytearray(
        1
        if chr(byte).isalpha() or byte == ord("_")
        else 2
        if chr(byte).isdigit()
        else 3
        if byte in b"+-*/<>=~!@#%^&|`?:,()[];."
        else 4
        if byte in b" \t\n\r\f"
        else 0
        for byte in range(128)
    )
    + bytearray(128),
)


class Masks:
    """What reads shapes; it keeps the last one, in `shape`, and where its `count` literals begin and end."""

    def __init__(self) -> None:
        self.shape = bytearray(LONGEST)
        self.count = 0
        self._end = 0
        if not cython.compiled:
            self.begins = [0] * MOST_LITERALS
            self.ends = [0] * MOST_LITERALS

    def mask(self, data: bytearray, start: int, stop: int, literals: Any) -> bytes:
        """Return the shape of a text and append its literals; empty if it has none that is read here."""
        number: cython.Py_ssize_t
        size: cython.Py_ssize_t = self.scan(data, start, stop)
        if size:
            for number in range(self.count):
                literals.append(bytes(data[self.begins[number] : self.ends[number]]))
        return bytes(self.shape[:size])

    def scan(
        self, text: cython.p_uchar, start: cython.Py_ssize_t, stop: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Read a text; return how long its shape is, 0 if the text is longer, or less plain, than this reads."""
        at: cython.Py_ssize_t = start
        to: cython.Py_ssize_t = 0
        kind: cython.int
        byte: cython.int
        after: cython.int
        kinds: cython.p_uchar = KINDS
        shape: cython.p_uchar = self.shape
        self.count = 0
        if stop - start > LONGEST:
            return 0
        while at < stop:
            byte = text[at]
            kind = kinds[byte]
            if kind == WORD:
                while at < stop and (kinds[text[at]] == WORD or kinds[text[at]] == DIGIT):
                    shape[to] = text[at]
                    to += 1
                    at += 1
                # A quote behind a word, or behind that and an ampersand, is not read as it is alone.
                after = at + 1 if at < stop and text[at] == ord("&") else at
                if after < stop and (text[after] == ord("'") or text[after] == ord('"')):
                    return 0
            elif byte == ord("/") and at + 1 < stop and text[at + 1] == ord("*"):
                self._end = _comment(text, at + 2, stop)
                if self._end == 0 or self.count == MOST_LITERALS:
                    return 0
                at = self._cut(to, COMMENT, at)
                to += 1
            elif kind >= BETWEEN:
                shape[to] = byte
                to += 1
                at += 1
                if at < stop:
                    after = text[at]
                    if (byte == ord("-") and after == ord("-")) or (
                        byte == ord(".") and kinds[after] == DIGIT
                    ):
                        return 0
            elif byte == ord('"'):
                self._end = _quoted(text, at, stop)
                if self._end == 0:
                    return 0
                while at < self._end:
                    # As the planner's: these stand for literals.
                    if text[at] <= 8:
                        return 0
                    shape[to] = text[at]
                    to += 1
                    at += 1
            else:
                kind = self._number(text, at, stop) if kind == DIGIT else self._string(text, at, stop)
                if kind == NONE or self.count == MOST_LITERALS:
                    return 0
                at = self._cut(to, kind, at)
                to += 1
        return to

    def _cut(self, to: cython.Py_ssize_t, kind: cython.int, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Cut out what begins there, put into the shape what stands for it, and return where it ends."""
        shape: cython.p_uchar = self.shape
        shape[to] = kind
        self.begins[self.count] = at
        self.ends[self.count] = self._end
        self.count += 1
        return self._end

    def _number(self, text: cython.p_uchar, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.int:
        """Return what stands for the number that begins there, and set its end."""
        at: cython.Py_ssize_t = _digits(text, start, stop)
        found: cython.int = INTEGER
        if at < stop and text[at] == ord("."):
            found = NUMERIC
            start = at + 1
            at = _digits(text, start, stop)
            if at == start:
                return NONE
        elif at - start > 9:
            found = _wide(text, start, at)
        if at < stop and (KINDS[text[at]] < BETWEEN or text[at] == ord(".")):
            return NONE
        self._end = at
        return found

    def _string(self, text: cython.p_uchar, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.int:
        """Return what stands for the string that begins there, and set its end."""
        at: cython.Py_ssize_t = _quoted(text, start, stop) if text[start] == ord("'") else 0
        if at == 0:
            return NONE
        self._end = at
        while at < stop and KINDS[text[at]] == SPACE:
            at += 1
        # It may go on behind a line break, or behind a comment and one.
        if at < stop and text[at] == ord("'"):
            return NONE
        if at + 1 < stop and text[at] == ord("-") and text[at + 1] == ord("-"):
            return NONE
        return STRING


@cython.cfunc
@cython.inline
def _digits(text: cython.p_uchar, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Return where the digits end."""
    while at < stop and ord("0") <= text[at] <= ord("9"):
        at += 1
    return at


@cython.cfunc
def _wide(text: cython.p_uchar, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.int:
    """Return what stands for an integer of ten digits or more."""
    first: cython.int = text[start]
    second: cython.int = text[start + 1]
    if stop - start == 10:
        if first == ord("1") or (first == ord("2") and second == ord("0")):
            return INTEGER
        return BIGINT if first > ord("2") or (first == ord("2") and second >= ord("2")) else NONE
    return BIGINT if stop - start <= 18 and first != ord("0") else NONE


@cython.cfunc
def _comment(text: cython.p_uchar, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Return where the comment ends; 0 if it does not, has one within it, or holds what is not read here."""
    byte: cython.int
    while at + 1 < stop:
        byte = text[at]
        if byte == ord("*") and text[at + 1] == ord("/"):
            return at + 2
        if byte <= 8 or byte >= 128 or (byte == ord("/") and text[at + 1] == ord("*")):
            return 0
        # What may be the name by which the proxy itself is spoken to.
        if (
            (byte == ord("p") or byte == ord("P"))
            and (text[at + 1] == ord("g") or text[at + 1] == ord("G"))
            and at + 2 < stop
            and (text[at + 2] == ord("s") or text[at + 2] == ord("S"))
        ):
            return 0
        at += 1
    return 0


@cython.cfunc
@cython.inline
def _quoted(text: cython.p_uchar, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Return where what begins with this quote ends; 0 if it does not, or holds what is not read here."""
    at: cython.Py_ssize_t = start + 1
    quote: cython.int = text[start]
    while at < stop:
        if text[at] == quote:
            at += 1
            if at == stop or text[at] != quote:
                return at
        elif text[at] == 0 or text[at] >= 128 or text[at] == ord("\\"):
            return 0
        at += 1
    return 0
