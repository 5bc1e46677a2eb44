"""The goals as data, and whether figures meet them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from tests.bench.figures import Ledger, Summary, paired_differences, paired_ratios, summary
from tests.bench.pgbench import MODES
from tests.bench.stage import OURS, PGBOUNCER, PGPOOL, PLAIN, PROTECTED


class Compare(Enum):
    """How a figure stands beside its base: as quotient, as difference, or alone."""

    RATIO = "ratio"
    DIFFERENCE = "difference"
    VALUE = "value"


class Verdict(Enum):
    """Whether a goal holds; `LIMIT` misses the goal but keeps the limit beside it."""

    HOLDS = "holds"
    LIMIT = "within the limit"
    MISSED = "DOES NOT HOLD"
    ABSENT = "not measured"


@dataclass(frozen=True, slots=True)
class Goal:
    """A row's figure for one contender, beside another's or alone; `limit` is what must hold at any rate."""

    row: str
    wanted: float
    compare: Compare = Compare.RATIO
    base: str = PGBOUNCER
    subject: str = OURS
    limit: float | None = None
    at_least: bool = False

    def met(self, figure: float, bound: float) -> bool:
        """Tell whether a figure keeps a bound."""
        return figure >= bound if self.at_least else figure <= bound


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal, the figure that was measured (None: it was not), and what that means."""

    goal: Goal
    figure: Summary | None
    verdict: Verdict


UNITS = {
    "cpu": "CPU µs/query",
    "rate": "queries/s",
}
"""The unit of each row, by the first word of its name."""

CPU = tuple(
    Goal(f"cpu.{mode}.{database}", 1.0, limit=1.1 if database == PROTECTED else None)
    for database in (PROTECTED, PLAIN)
    for mode in MODES
)
RATE = tuple(
    Goal(f"rate.{mode}.{database}", 2.0, base=PGPOOL, at_least=True)
    for database in (PROTECTED, PLAIN)
    for mode in MODES
)
GOALS: tuple[Goal, ...] = (*CPU, *RATE)


def judge(goal: Goal, ledger: Ledger) -> Judged:
    """Say whether a goal holds, by the median of the rounds."""
    values = ledger.taken(goal.row, goal.subject)
    if goal.compare is not Compare.VALUE:
        values = beside(goal, values, ledger.taken(goal.row, goal.base))
    if not values:
        return Judged(goal, None, Verdict.ABSENT)
    figure = summary(values)
    if goal.met(figure.middle, goal.wanted):
        return Judged(goal, figure, Verdict.HOLDS)
    kept = goal.limit is not None and goal.met(figure.middle, goal.limit)
    return Judged(goal, figure, Verdict.LIMIT if kept else Verdict.MISSED)


def beside(goal: Goal, values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return how the values stand beside the base's, round by round; nothing if either is missing."""
    if not values or not base:
        return []
    pair = paired_ratios if goal.compare is Compare.RATIO else paired_differences
    return pair(values, base)


def unit(row: str) -> str:
    """Return the unit of a row."""
    return UNITS[row.partition(".")[0]]
