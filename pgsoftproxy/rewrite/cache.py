"""The plan cache: text and all that its plan depends on, to plan; bounded by bytes, least recently used first.

Texts that differ only in literals share a template: see `shapes`. Must not know how a plan is made beyond calling the
rewriter, nor who asks.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from sys import getsizeof
from typing import NamedTuple

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.context import Context
from pgsoftproxy.model.effects import Prepares
from pgsoftproxy.model.encodings import UNKNOWN_CODEC
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.rewrite.plan import Edit, Kind, Outcome, Plan, Refused, Rewritten, StatementPlan
from pgsoftproxy.rewrite.shapes import read_shape
from pgsoftproxy.rewrite.templates import Template, make_template

ENTRY_OVERHEAD = 1200
"""Bytes that an entry costs besides its texts: key tuple, plan, statement plans, list links (measured)."""

EDIT_OVERHEAD = 120
"""Bytes that an edit costs besides its text."""

LARGE_TEXT = 65_536
"""Bytes from which on a text is planned apart from the sessions: some ten milliseconds of work, and more."""

UNKNOWN_ENCODING = Refusal(
    "0A000",
    "backslashes and characters outside ASCII cannot be read: "
    "client_encoding or standard_conforming_strings may have changed",
    hint="Wait for the answer to what may have changed them.",
)

REMEMBERED_TEXTS = 1024
REMEMBERED_SHAPES = 4096
"""How many of the last are remembered by their hashes: what comes again before so many others is kept."""

Key = tuple[bytes, int, str, Context]
ShapeKey = tuple[str, int, Context]
PinnedKey = tuple[ShapeKey, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Pins:
    """Which literals the plan of a shape may depend on; None: the plan depends on the whole text."""

    places: tuple[int, ...] | None


Kept = Plan | Template | Pins


@dataclass(slots=True)
class CacheFigures:
    """Running totals and the present size, read by the metrics; `shape_hits` are among the `hits`."""

    hits: int = 0
    shape_hits: int = 0
    misses: int = 0
    evictions: int = 0
    bytes: int = 0


class Planner:
    """Plan SQL texts as the wire carries them, each once for every context it is seen in.

    `rewrite(sql, policy, context)` makes a plan; `clock` returns seconds; `observe_seconds` is told what each
    miss took. `shapes`: texts that differ only in literals share a plan. One planner serves every session of a process.
    """

    def __init__(
        self,
        rewrite: Callable[[str, Policy, Context], Plan],
        max_bytes: int,
        clock: Callable[[], float],
        observe_seconds: Callable[[float], None],
        *,
        shapes: bool = True,
    ) -> None:
        self._rewrite = rewrite
        self._max_bytes = max_bytes
        self._clock = clock
        self._observe_seconds = observe_seconds
        self._kept: OrderedDict[Key | ShapeKey | PinnedKey, Kept] = OrderedDict()
        self._shapes = shapes and max_bytes > 0
        self._texts = _Remembered(REMEMBERED_TEXTS)
        self._seen_shapes = _Remembered(REMEMBERED_SHAPES)
        self.figures = CacheFigures()

    def plan(self, text: bytes, encoding: str, policy: Policy, context: Context) -> Plan:
        """Return the plan of a text in the client's encoding (a Python codec name)."""
        key = (text, policy.version, encoding, context)
        plan = self.known(key)
        if plan is not None:
            return plan
        shape = self._shape_of(key)
        if shape is not None:
            plan = self._filled(key, shape)
            if plan is not None:
                return plan
        job = PlanJob(key, self._rewrite, policy, self._clock)
        job.run()
        return self._finish(job, shape)

    def known(self, key: Key) -> Plan | None:
        """Return the plan that is kept for a text, policy version, encoding and context; None if there is none."""
        plan = self._found(key)
        if plan is None:
            return None
        self.figures.hits += 1
        assert not isinstance(plan, (Template, Pins))
        return plan

    def template(self, shape: str, version: int, context: Context) -> Template | None:
        """Return what all texts of a shape share, whatever their literals; None if there is no such thing yet."""
        found = self._kept.get((shape, version, context))
        return found if isinstance(found, Template) and not found.pins else None

    def job(self, key: Key, policy: Policy) -> "PlanJob":
        """Return the making of a plan as a job that may run in any thread; `finish` it in the planner's own."""
        return PlanJob(key, self._rewrite, policy, self._clock)

    def finish(self, job: "PlanJob") -> Plan:
        """Take the plan of a job that has run."""
        return self._finish(job, None)

    def _finish(self, job: "PlanJob", shape: "_Shape | None") -> Plan:
        assert job.plan is not None
        self.figures.misses += 1
        self._observe_seconds(job.seconds)
        if job.plan.cacheable and (shape is None or not self._share(job.plan, shape)):
            self._store(job.key, job.plan)
        return job.plan

    def _shape_of(self, key: Key) -> "_Shape | None":
        text, version, encoding, context = key
        if not self._shapes or len(text) >= LARGE_TEXT or encoding == UNKNOWN_CODEC:
            return None
        try:
            sql = text.decode(encoding)
        except UnicodeDecodeError:
            return None
        read = read_shape(sql)
        return None if read is None else _Shape(sql, (read[0], version, context), read[1])

    def _filled(self, key: Key, shape: "_Shape") -> Plan | None:
        found = self._found(shape.key)
        if type(found) is Pins and found.places is not None:
            found = self._found(shape.pinned(found.places))
        if type(found) is not Template:
            return None
        self.figures.hits += 1
        self.figures.shape_hits += 1
        plan = found.fill(shape.literals)
        if self._texts.again(key[0]):
            self._store(key, plan)
        return plan

    def _found(self, key: Key | ShapeKey | PinnedKey) -> Kept | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def _share(self, plan: Plan, shape: "_Shape") -> bool:
        """Keep a plan for its shape, if that has come before; tell whether the text need not be kept as well."""
        known = self._kept.get(shape.key)
        if known is None:
            if not self._seen_shapes.again(shape.key):
                return False
            template = make_template(shape.sql, plan)
            if template is None or template.pins:
                self._store(shape.key, Pins(None if template is None else template.pins))
            else:
                self._store(shape.key, template)
        elif not isinstance(known, Pins) or known.places is None:
            return False
        elif not self._seen_shapes.again(shape.pinned(known.places)):
            return True
        else:
            template = make_template(shape.sql, plan)
            if template is not None and template.pins != known.places:
                return False
        if template is not None and template.pins:
            self._store(shape.pinned(template.pins), template)
        return template is not None

    def _store(self, key: Key | ShapeKey | PinnedKey, kept: Kept) -> None:
        weight = _weight(key, kept)
        if weight > self._max_bytes:
            return
        self._kept[key] = kept
        self.figures.bytes += weight
        while self.figures.bytes > self._max_bytes:
            old = self._kept.popitem(last=False)
            self.figures.bytes -= _weight(*old)
            self.figures.evictions += 1


class _Shape(NamedTuple):
    """A text, and what its plan can be found under if other literals stood in it."""

    sql: str
    key: ShapeKey
    literals: list[str]

    def pinned(self, places: tuple[int, ...]) -> PinnedKey:
        """Return what is common to the texts in which the literals at these places are the same."""
        return self.key, tuple(self.literals[place] for place in places)


class _Remembered:
    """A memory of hashes, of which a newer one may push out an older: it forgets, and errs once in a great while."""

    __slots__ = ("_hashes",)

    def __init__(self, size: int) -> None:
        self._hashes = [0] * size

    def again(self, key: object) -> bool:
        """Tell whether a key has come before, and remember it."""
        hashed = hash(key)
        place = hashed % len(self._hashes)
        if self._hashes[place] == hashed:
            return True
        self._hashes[place] = hashed
        return False


class PlanJob:
    """The making of one plan. Of what is shared `run` touches memos only, whose entries come out the same anyway."""

    __slots__ = ("_clock", "_policy", "_rewrite", "key", "plan", "seconds")

    def __init__(
        self,
        key: Key,
        rewrite: Callable[[str, Policy, Context], Plan],
        policy: Policy,
        clock: Callable[[], float],
    ) -> None:
        self.key = key
        self.plan: Plan | None = None
        self.seconds = 0.0
        self._rewrite = rewrite
        self._policy = policy
        self._clock = clock

    def run(self) -> None:
        """Make the plan."""
        started = self._clock()
        text, _, encoding, context = self.key
        try:
            if encoding == UNKNOWN_CODEC and b"\\" in text:
                raise UnicodeDecodeError(encoding, text, 0, 1, "what a backslash means is not known either")
            sql = text.decode(encoding)
        except UnicodeDecodeError as error:
            self.plan = _refusing(
                UNKNOWN_ENCODING if encoding == UNKNOWN_CODEC else _invalid_bytes(text[error.start :])
            )
        else:
            self.plan = self._rewrite(sql, self._policy, context)
        self.seconds = self._clock() - started


def _weight(key: Key | ShapeKey | PinnedKey, kept: Kept) -> int:
    weight = sum(map(_size, key[0])) + sum(map(_size, key[1])) if len(key) == 2 else _size(key[0])
    if isinstance(kept, Pins):
        return weight + ENTRY_OVERHEAD
    weight += ENTRY_OVERHEAD * max(1, len(kept.statements))
    if isinstance(kept, Template):
        weight += sum(map(getsizeof, kept.parts)) + sum(_edit_size(edit) for _, edit in kept.edits)
    elif isinstance(kept, Rewritten):
        weight += getsizeof(kept.sql) + sum(map(_edit_size, kept.edits))
    for statement in kept.statements:
        weight += sum(getsizeof(effect.body) for effect in statement.effects if isinstance(effect, Prepares))
    return weight


def _size(part: object) -> int:
    """Return the bytes of a text, shape or literal in a key; the other parts of keys are counted with the entry."""
    # Not len() of a str: one character outside Latin-1 makes every character of it two or four bytes wide.
    return len(part) if isinstance(part, bytes) else getsizeof(part) if isinstance(part, str) else 0


def _edit_size(edit: Edit) -> int:
    return getsizeof(edit.text) + EDIT_OVERHEAD


def _refusing(refusal: Refusal) -> Plan:
    statement = StatementPlan(Kind.INVALID, Outcome.REFUSED, refusal=refusal)
    return Refused((statement,), refusal, cacheable=False)


def _invalid_bytes(rest: bytes) -> Refusal:
    """Refuse a text in the server's words: it quotes as many bytes as the first of them asks for."""
    lead = rest[0]
    asked = 1 if lead < 0xC0 or lead >= 0xF8 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    quoted = " ".join(f"0x{byte:02x}" for byte in rest[:asked])
    return Refusal("22021", f'invalid byte sequence for encoding "UTF8": {quoted}')
