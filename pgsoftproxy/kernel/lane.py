# cython: boundscheck=False, wraparound=False
"""The lane: a session's steady state without its core. Knows frames by their bytes, and what is owed for them.

Must not know SQL, plans or settings: whatever it has not been told to be plain is *strange*, and the session's. It is
opened when nothing is owed or in doubt. The client's bytes pass if they are known frames, whole ones, the server's as
far as they fit. docs/decisions/0012-a-lane-beside-the-session.md has the theory, and what a known frame depends on.
"""

from importlib import import_module
from typing import Any

from pgsoftproxy.kernel import uncompiled as cython

if cython.compiled:
    import cython  # type: ignore[import-untyped,no-redef]

CAPACITY = cython.declare(cython.Py_ssize_t, 256)
"""How many messages may be owed an answer, or have had one since nothing was owed."""
MOST_KINDS = cython.declare(cython.Py_ssize_t, 1024)
MOST_LOGGED = cython.declare(cython.Py_ssize_t, 65_536)
LONGEST_HELD = cython.declare(cython.Py_ssize_t, 512)
SHEETS = "pgsoftproxy.kernel._sheet" if cython.compiled else "pgsoftproxy.kernel.sheet"
Blank: Any = import_module(SHEETS).Sheet
OUT: Any = Blank()
"""What lanes write, each in its turn."""

# What is owed, beside the type of the message that it is owed for.
PARSE = cython.declare(cython.int, 1)
BIND = cython.declare(cython.int, 2)
DESCRIBE = cython.declare(cython.int, 3)
DESCRIBE_STATEMENT = cython.declare(cython.int, 4)
EXECUTE = cython.declare(cython.int, 5)
QUERY = cython.declare(cython.int, 6)
SYNC = cython.declare(cython.int, 7)
SUSPENDED = cython.declare(cython.int, 8)

# What the lane did to the unnamed statement or portal since it was opened.
UNTOUCHED = cython.declare(cython.int, 0)
GONE = cython.declare(cython.int, 1)
THERE = cython.declare(cython.int, 2)


@cython.cfunc
@cython.inline
def _cut(data: bytearray, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> bytes:
    if cython.compiled:
        text: cython.p_uchar = data
        found: bytes = text[start:stop]
        return found
    else:
        return bytes(data[start:stop])


class Cell:
    """A number that is counted up here and read elsewhere."""

    def __init__(self) -> None:
        self.n = 0


class Known:
    """What is plain: a Query or a Parse without a name by its frame, or what is prepared by its name.

    `sent` goes out for the frame; of a shape, `parts` with the literals between them, `fixed` bytes in all besides
    these, or what came if there are none. `cells` count what its replies complete; None: `statements` are told one
    by one. `source` is for the session, which makes the prepared statement of it.
    """

    def __init__(
        self, frames: tuple[bytes, bytes], script: Any, cells: tuple[Cell, ...] | None, source: Any
    ) -> None:
        frame, self.sent = frames
        self.same = frame == self.sent
        self.statements: tuple[Any, ...] = script.statements
        self.script = script
        self.cells = cells
        self.source = source
        self.parts: tuple[bytes, ...] | None = None
        self.fixed = 0

    def shaped(self, parts: tuple[bytes, ...] | None) -> Any:
        """Make it what is known of a shape, whose text these parts are; return itself."""
        self.same = parts is None
        if parts is not None:
            last = len(parts) - 1
            self.parts = (*parts[:last], parts[last] + b"\0")
            self.fixed = sum(map(len, parts)) + 1
        return self


class Lane:
    """Carry one session's plain messages; the observer is told of each statement that is complete."""

    def __init__(self, observer: Any, hits: tuple[Cell, Cell], masks: Any, limits: tuple[int, int]) -> None:
        self._observer = observer
        self._hits, self._shape_hits = hits
        self._pipeline, self._longest = limits
        self._masks = masks
        self._shapes: dict[bytes, Any] = {}
        self._shaped = 0
        self.turns = 0  # how often nothing was owed
        self.open = False
        self.strange = False
        self.out = OUT
        self.held = b""
        self.skip = 0
        self._kept = Blank()  # what was sent: replies before it and its length as numbers, then its bytes
        self.sent = 0
        self._codes = bytearray(0)
        self._kinds = bytearray(0)
        self._plans: list[Any] = []
        self._statements: dict[bytes, Any] = {}
        self._known: dict[bytes, Any] = {}
        self._current: dict[bytes, Any] = {}
        self._role: Any = None
        self._context: Any = None
        self._version: Any = None
        self._status = 0
        self._segment = self._done = 0
        self._head = self._tail = self._index = self._answers = self._texts = 0
        self._parsed: Any = None
        self._bound: Any = None
        self._parsed_is = self._bound_is = UNTOUCHED
        self._parsed_at = self._bound_at = -1
        self._settle()

    def enter(
        self,
        known: tuple[dict[bytes, Any], dict[bytes, Any]],
        statements: dict[bytes, Any],
        terms: tuple[Any, Any, Any],
        status: cython.int,
    ) -> None:
        """Open the lane: nothing is owed, and the last ReadyForQuery said `status`.

        `known` holds the frames and the shapes that are plain under `terms`: context, version of the policy, and the
        session's role. `statements` are the session's prepared ones.
        """
        if not self._plans:
            self._codes = bytearray(CAPACITY)
            self._kinds = bytearray(MOST_KINDS)
            self._plans = [None] * CAPACITY
        self._known, self._shapes = known
        self._statements = statements
        self._current.clear()
        self._context, self._version, self._role = terms
        self._status = status
        self._segment = self._done = 0
        self._parsed = self._bound = None
        self._parsed_is = self._bound_is = UNTOUCHED
        self._parsed_at = self._bound_at = -1
        self.skip = 0
        self.held = b""
        self._settle()
        self.open = True

    @property
    def owes(self) -> bool:
        """Tell whether an answer is still to come."""
        return self._head < self._tail

    def replies(self, start: int, stop: int) -> bytes:
        """Return the types of replies that have come since nothing was owed, from one number to another."""
        return _cut(self._kinds, start, stop)

    @property
    def answers(self) -> int:
        """Return how many of those there are."""
        return self._answers

    @property
    def log(self) -> list[tuple[int, bytes]]:
        """Return what was sent since nothing was owed, and how many replies had come before each of it."""
        found: list[tuple[int, bytes]] = []
        at, data = 0, self._kept.data
        while at < self._kept.size:
            size = int.from_bytes(data[at + 4 : at + 8], "big")
            found.append((int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 8 : at + 8 + size])))
            at += 8 + size
        return found

    def client(self, data: bytearray, size: cython.Py_ssize_t) -> cython.int:
        """Take `size` bytes of the client's.

        Return 0 if they are the session's, 1 if they go on as they are, 2 if `out` goes on instead.
        """
        text: cython.p_uchar = data
        codes: cython.p_uchar = self._codes
        pos: cython.Py_ssize_t = 0
        end: cython.Py_ssize_t
        stop: cython.Py_ssize_t
        mark: cython.Py_ssize_t = 0
        length: cython.int
        kind: cython.int
        code: cython.int
        tail: cython.Py_ssize_t = self._tail
        head: cython.Py_ssize_t = self._head
        segment: cython.Py_ssize_t = self._segment
        texts: cython.Py_ssize_t = self._texts
        shaped: cython.Py_ssize_t = self._shaped
        parsed: Known | None = self._parsed
        parsed_is: cython.int = self._parsed_is
        parsed_at: cython.Py_ssize_t = self._parsed_at
        bound: Known | None = self._bound
        bound_is: cython.int = self._bound_is
        bound_at: cython.Py_ssize_t = self._bound_at
        inside: cython.bint = tail > 0 and codes[tail - 1] != SYNC and codes[tail - 1] != QUERY
        out = OUT
        plan: Known | None
        name: bytes
        if self._kept.size + size > MOST_LOGGED:
            return 0
        out.clear()
        while pos < size:
            if size - pos < 5 or tail >= CAPACITY or tail - head >= self._pipeline:
                return 0
            kind = text[pos]
            length = text[pos + 1] << 24 | text[pos + 2] << 16 | text[pos + 3] << 8 | text[pos + 4]
            if length < 4 or length >= size - pos:
                return 0
            end = pos + 1 + length
            plan = None
            if kind == ord("B"):
                # The portal without a name, then the statement's.
                if length < 6 or text[pos + 5] != 0:
                    return 0
                stop = pos + 6
                while stop < end and text[stop] != 0:
                    stop += 1
                if stop == end:
                    return 0
                if stop == pos + 6 and parsed_is != UNTOUCHED:
                    if parsed_is == GONE or (parsed_at >= self._done and parsed_at != segment):
                        return 0
                    bound = parsed
                else:
                    name = _cut(data, pos + 6, stop)
                    bound = self._current.get(name)
                    if bound is None:
                        bound = self._prepared(name)
                        if bound is None:
                            return 0
                bound_is = THERE
                bound_at = segment
                code = BIND
            elif kind == ord("E"):
                if length != 9 or text[pos + 5] != 0 or bound_is != THERE or bound_at != segment:
                    return 0
                plan = bound
                code = EXECUTE
            elif kind == ord("S"):
                if length != 4:
                    return 0
                segment += 1
                code = SYNC
            elif kind == ord("D"):
                if length < 6 or text[end - 1] != 0:
                    return 0
                if text[pos + 5] == ord("P"):
                    if length != 6:
                        return 0
                    code = DESCRIBE
                else:
                    stop = pos + 6
                    while text[stop] != 0:
                        stop += 1
                    if text[pos + 5] != ord("S") or stop != end - 1 or length == 6:
                        return 0
                    if self._prepared(_cut(data, pos + 6, stop)) is None:
                        return 0
                    code = DESCRIBE_STATEMENT
            elif kind == ord("P") or kind == ord("Q"):
                plan = self._known.get(_cut(data, pos, end))
                if plan is None:
                    # A text that came once may be of a shape that came before.
                    if kind == ord("P") or text[end - 1] != 0 or length - 5 > self._longest:
                        return 0
                    stop = self._masks.scan(text, pos + 5, end - 1)
                    if stop == 0:
                        return 0
                    plan = self._shapes.get(_cut(self._masks.shape, 0, stop))
                    if plan is None:
                        return 0
                    shaped += 1
                texts += 1
                if not plan.same:
                    out.reserve(pos - mark)
                    out.copy(text, mark, pos - mark)
                    self._write(plan, text)
                    mark = end
                parsed_at = segment
                if kind == ord("P"):
                    parsed = plan
                    parsed_is = THERE
                    plan = None
                    code = PARSE
                else:
                    if inside:
                        return 0
                    # A Query destroys the unnamed statement and the unnamed portal, whatever becomes of it.
                    parsed = bound = None
                    parsed_is = bound_is = GONE
                    bound_at = segment
                    segment += 1
                    code = QUERY
            elif kind == ord("H") and length == 4:
                pos = end
                continue
            else:
                return 0
            inside = code != SYNC and code != QUERY
            codes[tail] = code
            self._plans[tail] = plan
            tail += 1
            pos = end
        self._kept.reserve(8 + size)
        self._kept.number(self._answers)
        self._kept.number(size)
        self._kept.copy(text, 0, size)
        self._tail = tail
        self._segment = segment
        self._texts = texts
        self._shaped = shaped
        self._parsed = parsed
        self._parsed_is = parsed_is
        self._parsed_at = parsed_at
        self._bound = bound
        self._bound_is = bound_is
        self._bound_at = bound_at
        if out.size == 0:
            self.sent += size
            return 1
        out.reserve(size - mark)
        out.copy(text, mark, size - mark)
        self.sent += out.size
        return 2

    def server(self, data: bytearray, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Take the server's bytes, behind those `held`; return how many of them go on to the client.

        The others are held, or, if what comes next is `strange`, the session's.
        """
        text: cython.p_uchar = data
        codes: cython.p_uchar = self._codes
        pos: cython.Py_ssize_t = self.skip
        length: cython.Py_ssize_t  # a frame may be the longest, whose end an int does not hold
        kind: cython.int
        code: cython.int
        known: Known
        self.held = b""
        if pos >= size:
            self.skip = pos - size
            return size
        self.skip = 0
        while size - pos >= 5:
            kind = text[pos]
            length = text[pos + 1] << 24 | text[pos + 2] << 16 | text[pos + 3] << 8 | text[pos + 4]
            if length < 4:
                self.strange = True
                return pos
            if kind != ord("D") and kind != ord("N") and kind != ord("A"):
                code = codes[self._head] if self._head < self._tail else 0
                if self._answers >= MOST_KINDS:
                    self.strange = True
                    return pos
                if kind == ord("T") and code in (QUERY, DESCRIBE):
                    self._head += code == DESCRIBE
                elif kind == ord("2") and code == BIND and length == 4:
                    self._head += 1
                elif kind == ord("C") and code in (EXECUTE, QUERY):
                    if length >= size - pos:
                        break
                    if code == EXECUTE:
                        self._head += 1
                    else:
                        known = self._plans[self._head]
                        if self._index >= len(known.statements):
                            self.strange = True
                            return pos
                        self._index += 1
                elif kind == ord("Z") and code in (SYNC, QUERY) and length == 5:
                    if size - pos < 6:
                        break
                    if code == QUERY:
                        known = self._plans[self._head]
                        if self._index != len(known.statements):
                            self.strange = True
                            return pos
                    if text[pos + 5] != self._status:
                        self.strange = True
                        return pos
                    self._index = 0
                    self._head += 1
                    self._done += 1
                    if self._head == self._tail:
                        self._complete()
                        pos += 6
                        continue
                elif (kind == ord("1") and code == PARSE and length == 4) or (
                    kind == ord("n") and code == DESCRIBE and length == 4
                ):
                    self._head += 1
                elif kind == ord("t") and code == DESCRIBE_STATEMENT:
                    codes[self._head] = DESCRIBE
                elif kind == ord("s") and code == EXECUTE and length == 4:
                    codes[self._head] = SUSPENDED
                    self._head += 1
                else:
                    self.strange = True
                    return pos
                self._kinds[self._answers] = kind
                self._answers += 1
            if length >= size - pos:
                self.skip = 1 + length - (size - pos)
                return size
            pos += 1 + length
        if pos < size:
            if size - pos > LONGEST_HELD:
                self.strange = True
            else:
                self.held = _cut(data, pos, size)
        return pos

    def _prepared(self, name: bytes) -> Any:
        """Return what is prepared under a name if it may be used as it is; good for as long as the lane is open."""
        found: Any = self._statements.get(name)
        if (
            found is None
            or found.version != self._version
            or found.context is not self._context
            or found.sent is None
            or not found.script.plain
        ):
            return None
        known = Known((b"", b""), found.script, self._observer.cells(found.script.statements), None)
        self._current[name] = known
        return known

    def _write(self, plan: Known, text: cython.p_uchar) -> Any:
        """Write what goes out for a frame; of a shape, with the literals that were read last."""
        number: cython.Py_ssize_t
        size: cython.Py_ssize_t = len(plan.sent)
        part: bytes
        masks = self._masks
        out = OUT
        if plan.parts is None:
            out.reserve(size)
            out.copy(plan.sent, 0, size)
            return None
        parts: tuple[bytes, ...] = plan.parts
        assert len(parts) == masks.count + 1, "a shape says how many literals there are"
        size = plan.fixed + 4
        for number in range(masks.count):
            size += masks.ends[number] - masks.begins[number]
        out.reserve(size + 1)
        out.copy(b"Q", 0, 1)
        out.number(size)
        for number in range(masks.count):
            part = parts[number]
            out.copy(part, 0, len(part))
            out.copy(text, masks.begins[number], masks.ends[number] - masks.begins[number])
        part = parts[masks.count]
        out.copy(part, 0, len(part))
        return None

    def _complete(self) -> Any:
        """Nothing is owed any more: report what was done, forget how."""
        at: cython.Py_ssize_t
        for at in range(self._tail):
            if self._codes[at] == EXECUTE or self._codes[at] == QUERY:
                self._count(self._plans[at])
        self._hits.n += self._texts
        self._shape_hits.n += self._shaped
        self._settle()
        return None

    def _count(self, known: Known) -> Any:
        cell: Cell
        if known.cells is None:
            for statement in known.statements:
                self._observer.statement(statement, self._role, None)
        else:
            for cell in known.cells:
                cell.n += 1
        return None

    def _settle(self) -> Any:
        self._head = self._tail = self._index = self._answers = self._texts = 0
        self.turns += 1
        self.sent = self._shaped = 0
        self._kept.clear()
        self.unnamed = self._parsed
        self.unnamed_is = self._parsed_is
        self.portal = self._bound
        self.portal_is = self._bound_is
        return None
