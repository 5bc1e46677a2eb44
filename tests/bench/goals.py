"""The goals as data, and whether figures meet them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median

from tests.bench.figures import Ledger, Summary, paired_differences, paired_ratios, summary
from tests.bench.names import (
    BY_HAND,
    CASCADE,
    DIRECT,
    MODES,
    OURS,
    PGBOUNCER,
    PGPOOL,
    PLAIN,
    PROTECTED,
    REWRITTEN,
    TRIGGERS,
)


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
    UNFIT = "this machine cannot show it"
    ABSENT = "not measured"


@dataclass(frozen=True, slots=True)
class Needs:
    """What must have been so for a goal to say anything: a row's figure for a contender was at least this."""

    row: str
    contender: str
    least: float


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
    needs: Needs | None = None

    def met(self, figure: float, bound: float) -> bool:
        """Tell whether a figure keeps a bound."""
        return figure >= bound if self.at_least else figure <= bound


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal, the figure that was measured (None: it was not), and what that means."""

    goal: Goal
    figure: Summary | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Group:
    """The rows whose names begin with one word: their unit, and what they are about."""

    unit: str
    about: str


GROUPS = {
    "cpu": Group("CPU µs/query", "CPU per query of the process in the middle, 8 clients"),
    "rate": Group("queries/s", "Queries a second"),
    "capacity": Group("queries/s", "What the middle's own CPU would allow: workers divided by CPU per query"),
    "busy": Group("% of a core", "How busy the middle was"),
    "p50": Group("µs", "Latency of one client, half of the queries"),
    "p99": Group("µs", "Latency of one client, all but one query in a hundred"),
    "extra": Group("CPU µs/query", "CPU per query of a text with new literals, beyond that of a known text"),
    "sight": Group("CPU µs", "First sight of a text: rewriting and proof"),
    "wall": Group("s", "Large results and COPY: time"),
    "work": Group("CPU s", "Large results and COPY: CPU of the middle"),
    "connect": Group("µs", "Connect, one query, disconnect"),
    "memory": Group("KiB", "Memory that each adds to the process"),
    "bound": Group("of the configured bytes", "Memory of 10,000 plans beside `limits.plan_cache_bytes`"),
    "same plan": Group("", "The server plans the rewritten text as it plans the one written by hand"),
    "planning": Group("µs", "Planning time as EXPLAIN tells it, both texts sent directly"),
    "server": Group("CPU µs/query", "CPU of the server, both texts sent directly"),
    "cascade": Group(
        "ms", "A deletion that goes down three levels, by hand, by the triggers alone, with the proxy"
    ),
}
"""In the order of reports."""

MODES_AND_DATABASES = tuple(f"{mode}.{database}" for database in (PROTECTED, PLAIN) for mode in MODES)
RESULTS = ("result of narrow rows", "result of 300 MB", "copy of 8 KiB messages", "copy of a message a row")
DIRECT_ITEMS = ("single table", "comma list", "whole table")
OTHER_ITEMS = ("inner joins", "left joins", "left join with USING")
"""Shapes of statements: protected tables are items of the FROM list, or lie inside join trees."""

FULL = Needs("busy.two workers", PGBOUNCER, 90.0)


def _planned(row: str, shapes: Sequence[str], wanted: float, compare: Compare = Compare.RATIO) -> list[Goal]:
    return [Goal(f"{row} {shape}", wanted, compare, BY_HAND, REWRITTEN) for shape in shapes]


GOALS: tuple[Goal, ...] = (
    *(Goal(f"cpu.{each}", 1.0, limit=1.1) for each in MODES_AND_DATABASES),
    *(Goal(f"rate.{each}", 2.0, base=PGPOOL, at_least=True) for each in MODES_AND_DATABASES),
    Goal("rate.two workers", 1.3, at_least=True, needs=FULL),
    Goal("capacity.two workers", 1.3, at_least=True),
    *(Goal(f"p50.{mode}", 1.0) for mode in MODES),
    *(Goal(f"p99.{mode}", 1.1) for mode in MODES),
    Goal("extra.unique select", 25.0, Compare.VALUE),
    Goal("extra.unique join", 60.0, Compare.VALUE),
    Goal("sight.select", 120.0, Compare.VALUE),
    Goal("sight.join", 600.0, Compare.VALUE),
    *(Goal(f"{figure}.{result}", 1.0) for result in RESULTS for figure in ("wall", "work")),
    Goal("connect.and leave", 1.3, base=DIRECT),
    Goal("memory.idle session", 20.0, Compare.VALUE),
    Goal("bound.cached plan", 1.0, Compare.VALUE),
    Goal("bound.plan in a full cache", 1.0, Compare.VALUE),
    *(
        Goal(f"same plan.{shape}", 1.0, Compare.VALUE, subject=REWRITTEN, at_least=True)
        for shape in (*DIRECT_ITEMS, *OTHER_ITEMS)
    ),
    *_planned("planning.explained", DIRECT_ITEMS, 1.03),
    *_planned("planning.explained", OTHER_ITEMS, 6.0, Compare.DIFFERENCE),
    *_planned("server.prepared", (*DIRECT_ITEMS, *OTHER_ITEMS), 1.02),
    *(goal for mode in MODES[1:] for goal in _planned(f"server.{mode}", DIRECT_ITEMS, 1.03)),
    *(
        goal
        for mode in MODES[1:]
        for goal in _planned(f"server.{mode}", OTHER_ITEMS, 6.0, Compare.DIFFERENCE)
    ),
    *(Goal(CASCADE, 1.3, base=BY_HAND, subject=subject) for subject in (TRIGGERS, OURS)),
)


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
    if goal.needs is not None and not _given(goal.needs, ledger):
        return Judged(goal, figure, Verdict.UNFIT)
    kept = goal.limit is not None and goal.met(figure.middle, goal.limit)
    return Judged(goal, figure, Verdict.LIMIT if kept else Verdict.MISSED)


def beside(goal: Goal, values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return how the values stand beside the base's, round by round; nothing if either is missing."""
    if not values or not base:
        return []
    pair = paired_ratios if goal.compare is Compare.RATIO else paired_differences
    return pair(values, base)


def group_of(row: str) -> str:
    """Return the word that a row's name begins with."""
    return row.partition(".")[0]


def unit(row: str) -> str:
    """Return the unit of a row."""
    return GROUPS[group_of(row)].unit


def _given(needs: Needs, ledger: Ledger) -> bool:
    values = ledger.taken(needs.row, needs.contender)
    return bool(values) and median(values) >= needs.least
