"""The plan cache: text and all that its plan depends on, to plan; bounded by bytes, least recently used first.

Must not know how a plan is made beyond calling the rewriter, nor who asks.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from sys import getsizeof

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.context import Context
from pgsoftproxy.model.effects import Prepares
from pgsoftproxy.model.encodings import UNKNOWN_CODEC
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.rewrite.plan import Kind, Outcome, Plan, Refused, Rewritten, StatementPlan

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

Key = tuple[bytes, int, str, Context]


@dataclass(slots=True)
class CacheFigures:
    """Running totals and the present size, read by the metrics."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    bytes: int = 0


class Planner:
    """Plan SQL texts as the wire carries them, each once for every context it is seen in.

    `rewrite(sql, policy, context)` makes a plan; `clock` returns seconds; `observe_seconds` is told what each
    miss took. One planner serves every session of a process.
    """

    def __init__(
        self,
        rewrite: Callable[[str, Policy, Context], Plan],
        max_bytes: int,
        clock: Callable[[], float],
        observe_seconds: Callable[[float], None],
    ) -> None:
        self._rewrite = rewrite
        self._max_bytes = max_bytes
        self._clock = clock
        self._observe_seconds = observe_seconds
        self._plans: OrderedDict[Key, Plan] = OrderedDict()
        self.figures = CacheFigures()

    def plan(self, text: bytes, encoding: str, policy: Policy, context: Context) -> Plan:
        """Return the plan of a text in the client's encoding (a Python codec name)."""
        key = (text, policy.version, encoding, context)
        plan = self.known(key)
        if plan is None:
            job = PlanJob(key, self._rewrite, policy, self._clock)
            job.run()
            plan = self.finish(job)
        return plan

    def known(self, key: Key) -> Plan | None:
        """Return the plan that is kept for a text, policy version, encoding and context; None if there is none."""
        plan = self._plans.get(key)
        if plan is not None:
            self._plans.move_to_end(key)
            self.figures.hits += 1
        return plan

    def job(self, key: Key, policy: Policy) -> "PlanJob":
        """Return the making of a plan as a job that may run in any thread; `finish` it in the planner's own."""
        return PlanJob(key, self._rewrite, policy, self._clock)

    def finish(self, job: "PlanJob") -> Plan:
        """Take the plan of a job that has run."""
        assert job.plan is not None
        self.figures.misses += 1
        self._observe_seconds(job.seconds)
        if job.plan.cacheable:
            self._store(job.key, job.plan)
        return job.plan

    def _store(self, key: Key, plan: Plan) -> None:
        weight = _weight(key, plan)
        if weight > self._max_bytes:
            return
        self._plans[key] = plan
        self.figures.bytes += weight
        while self.figures.bytes > self._max_bytes:
            old = self._plans.popitem(last=False)
            self.figures.bytes -= _weight(*old)
            self.figures.evictions += 1


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


def _weight(key: Key, plan: Plan) -> int:
    weight = ENTRY_OVERHEAD * max(1, len(plan.statements)) + len(key[0])
    if isinstance(plan, Rewritten):
        # Not len(): one character outside Latin-1 makes every character of its string two or four bytes wide.
        weight += getsizeof(plan.sql) + sum(getsizeof(edit.text) + EDIT_OVERHEAD for edit in plan.edits)
    for statement in plan.statements:
        weight += sum(getsizeof(effect.body) for effect in statement.effects if isinstance(effect, Prepares))
    return weight


def _refusing(refusal: Refusal) -> Plan:
    statement = StatementPlan(Kind.INVALID, Outcome.REFUSED, refusal=refusal)
    return Refused((statement,), refusal, cacheable=False)


def _invalid_bytes(rest: bytes) -> Refusal:
    """Refuse a text in the server's words: it quotes as many bytes as the first of them asks for."""
    lead = rest[0]
    asked = 1 if lead < 0xC0 or lead >= 0xF8 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    quoted = " ".join(f"0x{byte:02x}" for byte in rest[:asked])
    return Refusal("22021", f'invalid byte sequence for encoding "UTF8": {quoted}')
