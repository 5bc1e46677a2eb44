"""What was measured, as text: a table of medians with each goal beside it, and a summary. Pure."""

from collections.abc import Iterator, Sequence

from tests.bench.figures import Ledger, summary
from tests.bench.goals import Compare, Judged, Verdict, unit

ROW = 34
COLUMN = 13


def table(ledger: Ledger) -> list[str]:
    """Return the medians of each row for each contender, with the least and the greatest below 10 % apart left out."""
    names = contenders(ledger)
    lines = [f"{'median (spread)':{ROW}}{'unit':>16}" + "".join(f"{name:>{COLUMN + 8}}" for name in names)]
    for row, by_name in ledger.values.items():
        cells = "".join(f"{_cell(by_name.get(name)):>{COLUMN + 8}}" for name in names)
        lines.append(f"{row:{ROW}}{unit(row):>16}{cells}")
    return lines


def contenders(ledger: Ledger) -> list[str]:
    """Return the names of all contenders, in the order in which they came."""
    return list(dict.fromkeys(name for by_name in ledger.values.values() for name in by_name))


def verdicts(judged: Sequence[Judged]) -> list[str]:
    """Return a line for each goal: figure, spread, what is wanted, whether it holds."""
    return [
        f"{one.goal.row:{ROW}}{_figure(one):>24}   {wanted(one):44}{one.verdict.value}"
        for one in judged
        if one.verdict is not Verdict.ABSENT
    ] + list(_absent(judged))


def wanted(one: Judged) -> str:
    """Return what a goal asks for, in words."""
    goal = one.goal
    side = "at least" if goal.at_least else "at most"
    limit = "" if goal.limit is None else f", limit {goal.limit:g}"
    match goal.compare:
        case Compare.RATIO:
            return f"{side} {goal.wanted:g} of {goal.base}{limit}"
        case Compare.DIFFERENCE:
            return f"{side} {goal.wanted:g} {unit(goal.row)} over {goal.base}{limit}"
        case Compare.VALUE:
            return f"{side} {goal.wanted:g} {unit(goal.row)}{limit}"


def number(value: float) -> str:
    """Return a figure with three digits that matter, thousands in full."""
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def _figure(one: Judged) -> str:
    assert one.figure is not None
    return f"{number(one.figure.middle)} ({number(one.figure.low)} to {number(one.figure.high)})"


def _cell(values: list[float] | None) -> str:
    if not values:
        return "-"
    figure = summary(values)
    if len(values) == 1:
        return number(figure.middle)
    spread = (figure.high - figure.low) / figure.middle * 50 if figure.middle else 0.0
    return f"{number(figure.middle)} ±{spread:.0f}%"


def _absent(judged: Sequence[Judged]) -> Iterator[str]:
    absent = [one.goal.row for one in judged if one.verdict is Verdict.ABSENT]
    if absent:
        yield f"not measured: {', '.join(dict.fromkeys(absent))}"
