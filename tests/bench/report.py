"""What was measured, as text: a table for each group of rows with the goals beside it, and curves. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.figures import Ledger, medians, summary
from tests.bench.goals import GROUPS, Compare, Judged, Verdict, group_of, unit
from tests.bench.growth import Growth, growth
from tests.bench.names import OURS, REWRITTEN

Table = list[list[str]]
"""Rows of cells; the first is the heading."""

EXPECTED = {
    "clients": (Growth.FLAT,),
    "row bytes": (Growth.FLAT, Growth.SLOWER, Growth.LINEAR),
    "text bytes, known": (Growth.FLAT, Growth.SLOWER, Growth.LINEAR),
    "text bytes, first sight": (Growth.SLOWER, Growth.LINEAR),
    "protected tables, known": (Growth.FLAT,),
    "protected tables, first sight": (Growth.FLAT,),
    "cached plans": (Growth.FLAT,),
}
"""How each curve of the proxy may grow."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report: what it is about, and its table."""

    about: str
    table: Table


def sections(ledger: Ledger, judged: Sequence[Judged]) -> Iterator[Section]:
    """Yield a section for each group of rows that was measured."""
    goals: dict[str, list[Judged]] = {}
    for one in judged:
        goals.setdefault(one.goal.row, []).append(one)
    for name, group in GROUPS.items():
        rows = {row: by_name for row, by_name in ledger.values.items() if group_of(row) == name}
        if rows:
            about = f"{group.about} ({group.unit})" if group.unit else group.about
            yield Section(about, _table(rows, goals))


def curves(ledger: Ledger) -> Iterator[Section]:
    """Yield a section for each curve: the medians, and how they grow."""
    for curve, by_name in ledger.curves.items():
        places = sorted({place for points in by_name.values() for place in points})
        table: Table = [["", *(f"{place:,}" for place in places), "grows", "as it should"]]
        for name, points in by_name.items():
            middles = medians(points)
            grown, _ = growth(middles)
            cells = [number(middles[place]) if place in middles else "-" for place in places]
            table.append([name, *cells, grown.value, _as_expected(curve, name, grown)])
        yield Section(f"{curve[0].upper()}{curve[1:]}: CPU µs of the middle", table)


def unlike(ledger: Ledger) -> list[str]:
    """Return the curves that do not grow as they should."""
    return [
        curve
        for curve, by_name in ledger.curves.items()
        if OURS in by_name and growth(medians(by_name[OURS]))[0] not in EXPECTED[curve]
    ]


def plain(parts: Sequence[Section]) -> Iterator[str]:
    """Yield lines for a terminal."""
    for part in parts:
        widths = [max(len(row[column]) for row in part.table) for column in range(len(part.table[0]))]
        yield f"\n{part.about}"
        for row in part.table:
            first, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            yield "  ".join((row[0].ljust(len(first)), *rest)).rstrip()


def markdown(parts: Sequence[Section], level: str = "###") -> Iterator[str]:
    """Yield lines of a document."""
    for part in parts:
        heading, *rows = part.table
        yield from ("", f"{level} {part.about}", "")
        yield f"| {' | '.join(heading)} |"
        yield f"|{'---|' * len(heading)}"
        yield from (f"| {' | '.join(row)} |" for row in rows)


def count(judged: Sequence[Judged]) -> str:
    """Return in a sentence how many goals hold."""
    totals = {verdict: sum(one.verdict is verdict for one in judged) for verdict in Verdict}
    told = [f"{total} {verdict.value}" for verdict, total in totals.items() if total]
    return f"{len(judged)} goals: {', '.join(told)}."


def wanted(one: Judged) -> str:
    """Return what a goal asks for, in words."""
    goal = one.goal
    subject = "" if goal.subject in (OURS, REWRITTEN) else f"{goal.subject}: "
    bound = f"{subject}{'≥' if goal.at_least else '≤'} {goal.wanted:g}"
    limit = "" if goal.limit is None else f" (limit {goal.limit:g})"
    match goal.compare:
        case Compare.RATIO:
            return f"{bound} of {goal.base}{limit}"
        case Compare.DIFFERENCE:
            return f"{bound} {unit(goal.row)} over {goal.base}{limit}"
        case Compare.VALUE:
            return f"{bound}{limit}"


def number(value: float) -> str:
    """Return a figure with three digits that matter, and thousands in full."""
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 or not size else 4
    return f"{value:,.{decimals}f}"


def _table(rows: dict[str, dict[str, list[float]]], goals: dict[str, list[Judged]]) -> Table:
    names = list(dict.fromkeys(name for by_name in rows.values() for name in by_name))
    table: Table = [["", *names, "beside the goal's base", "goal", ""]]
    for row, by_name in rows.items():
        cells = [row.partition(".")[2], *(_cell(by_name.get(name, [])) for name in names)]
        judged = goals.get(row, [])
        if not judged:
            table.append([*cells, "", "", ""])
        for one in judged:
            table.append([*cells, *_judgement(one)])
            cells = [""] * len(cells)
    return table


def _judgement(one: Judged) -> tuple[str, str, str]:
    figure = one.figure
    told = (
        "-" if figure is None else f"{number(figure.middle)} [{number(figure.low)} … {number(figure.high)}]"
    )
    return told, wanted(one), one.verdict.value


def _cell(values: Sequence[float]) -> str:
    """Return a median, and half the way from the least to the greatest as a share of it."""
    if not values:
        return "-"
    figure = summary(values)
    if len(values) == 1 or not figure.middle:
        return number(figure.middle)
    spread = abs((figure.high - figure.low) / figure.middle) * 50
    return f"{number(figure.middle)} ±{spread:.0f}%"


def _as_expected(curve: str, name: str, grown: Growth) -> str:
    if name != OURS:
        return ""
    return "yes" if grown in EXPECTED[curve] else "NO"
