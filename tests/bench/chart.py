"""The chart: CPU per query as bars beside PgBouncer and Pgpool-II, and the curves, as one SVG. Pure.

Written by hand: shapes and text, black on white or the reverse as the reader's browser prefers.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tests.bench.figures import Ledger, medians
from tests.bench.names import MODES, OURS, PGBOUNCER, PGPOOL, PLAIN, PROTECTED
from tests.bench.report import number

WIDTH = 900
BAR_ROW = 16
GROUP_GAP = 14
LABEL = 190
PANEL = (270, 170)
PANELS_A_ROW = 3
COLOURS = {PGBOUNCER: "#8a8f98", PGPOOL: "#c9a227", OURS: "#2a6fdb"}
TITLES = {PROTECTED: "table protected", PLAIN: "table not protected"}
BARS = "CPU of the middle, microseconds per query (pgbench -S)"
CURVES = "CPU of the middle, microseconds per query, as things grow (both axes logarithmic)"
ABOUT = "Bars for PgBouncer, Pgpool-II and pgsoftproxy in each mode of pgbench, and below them a panel for each curve."
STYLE = """\
<style>
text { font: 12px sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.axis { stroke: #8a8f98; stroke-width: 1; fill: none; }
.back { fill: #ffffff; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .back { fill: #0d1117; } }
</style>"""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of the picture."""

    left: float
    top: float
    width: float
    height: float


def chart(ledger: Ledger) -> str:
    """Return the whole picture."""
    bars, bottom = _bars(ledger, 50)
    panels, end = _panels(ledger, bottom + 30)
    shapes = "\n".join((*bars, *panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {end:.0f}" role="img">\n'
        f"<title>{BARS}</title>\n<desc>{ABOUT}</desc>\n{STYLE}\n"
        f'<rect class="back" width="{WIDTH}" height="{end:.0f}"/>\n{shapes}\n</svg>\n'
    )


def _bars(ledger: Ledger, top: float) -> tuple[list[str], float]:
    rows = {
        f"{mode}, {TITLES[database]}": medians_of(ledger, f"cpu.{mode}.{database}")
        for database in (PROTECTED, PLAIN)
        for mode in MODES
    }
    rows = {title: by_name for title, by_name in rows.items() if by_name}
    if not rows:
        return [], top
    greatest = max(value for by_name in rows.values() for value in by_name.values())
    scale = (WIDTH - LABEL - 80) / greatest
    shapes = [
        _text(20, top - 20, "CPU of the middle, microseconds per query (pgbench -S)", "title"),
        *_legend(top - 20),
    ]
    for title, by_name in rows.items():
        shapes.append(_text(20, top + BAR_ROW * len(by_name) / 2 + 4, title))
        for name, value in by_name.items():
            shapes.append(_bar(Box(LABEL + 20, top, value * scale, BAR_ROW - 3), name, number(value)))
            top += BAR_ROW
        top += GROUP_GAP
    return shapes, top


def medians_of(ledger: Ledger, row: str) -> dict[str, float]:
    """Return the medians of a row for those who have a colour."""
    values = {name: ledger.taken(row, name) for name in COLOURS}
    return {name: medians({0: taken})[0] for name, taken in values.items() if taken}


def _legend(top: float) -> Iterator[str]:
    left = WIDTH - 330.0
    for name, colour in COLOURS.items():
        yield f'<rect x="{left:.0f}" y="{top - 10:.0f}" width="12" height="12" fill="{colour}"/>'
        yield _text(left + 16, top, name)
        left += 110


def _bar(box: Box, name: str, told: str) -> str:
    shape = (
        f'<rect x="{box.left:.1f}" y="{box.top:.1f}" width="{max(box.width, 1):.1f}" height="{box.height}" '
        f'fill="{COLOURS[name]}"/>'
    )
    return shape + _text(box.left + box.width + 5, box.top + 11, told)


def _panels(ledger: Ledger, top: float) -> tuple[list[str], float]:
    if not ledger.curves:
        return [], top
    shapes = [
        _text(
            20,
            top,
            "CPU of the middle, microseconds per query, as things grow (both axes logarithmic)",
            "title",
        )
    ]
    width, height = PANEL
    for number_, (curve, by_name) in enumerate(ledger.curves.items()):
        row, column = divmod(number_, PANELS_A_ROW)
        box = Box(50 + column * (width + 20), top + 40 + row * (height + 60), width - 40, height - 20)
        shapes += _panel(box, curve, {name: medians(points) for name, points in by_name.items()})
    rows = math.ceil(len(ledger.curves) / PANELS_A_ROW)
    return shapes, top + 40 + rows * (height + 60)


def _panel(box: Box, title: str, lines: Mapping[str, Mapping[int, float]]) -> Iterator[str]:
    places = sorted({place for points in lines.values() for place in points})
    costs = [cost for points in lines.values() for cost in points.values()]
    low, high = 10 ** math.floor(math.log10(min(costs))), 10 ** math.ceil(math.log10(max(costs) * 1.01))
    yield f'<path class="axis" d="M{box.left:.0f} {box.top:.0f}v{box.height:.0f}h{box.width:.0f}"/>'
    yield _text(box.left, box.top - 8, title)
    for value in (low, high):
        yield _text(
            box.left - 6, _along(value, low, high, box.top + box.height, box.top) + 4, f"{value:g}", "", "end"
        )
    for place in (places[0], places[-1]):
        anchor = "start" if place == places[0] else "end"
        across = _along(place, places[0], places[-1], box.left, box.left + box.width)
        yield _text(across, box.top + box.height + 16, f"{place:,}", "", anchor)
    for name, points in lines.items():
        path = [
            (
                _along(place, places[0], places[-1], box.left, box.left + box.width),
                _along(cost, low, high, box.top + box.height, box.top),
            )
            for place, cost in sorted(points.items())
        ]
        yield _line(path, COLOURS[name])


def _line(path: Sequence[tuple[float, float]], colour: str) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in path)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in path)
    return f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'


def _along(value: float, low: float, high: float, start: float, end: float) -> float:
    """Return where a value lies between two ends of a logarithmic axis."""
    if low == high:
        return start
    return start + (end - start) * (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))


def _text(left: float, top: float, told: str, kind: str = "", anchor: str = "start") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}"{mark}>{escape(told)}</text>'
