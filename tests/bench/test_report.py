"""What the benchmarks say of their figures: judgements, tables, the chart, the documents."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench.chart import chart
from tests.bench.document import WHY_CURVES, Outcome, about, as_markdown, write_documents
from tests.bench.figures import Ledger
from tests.bench.goals import FULL, GOALS, GROUPS, Compare, Goal, Verdict, group_of, judge
from tests.bench.names import MODES, OURS, PGBOUNCER, PGPOOL, PROTECTED
from tests.bench.report import Section, count, curves, markdown, number, plain, sections

ROW = f"cpu.prepared.{PROTECTED}"
GOAL = Goal(ROW, 1.0, limit=1.1)


def ledger(ours: list[float], theirs: list[float] | None = None, row: str = ROW) -> Ledger:
    """Return a ledger of one row."""
    made = Ledger()
    for name, values in ((OURS, ours), (PGBOUNCER, theirs or [])):
        for value in values:
            made.add(row, name, value)
    return made


def full_ledger() -> Ledger:
    """Return a ledger that has every row of the goals, and a curve."""
    made = Ledger()
    for goal in GOALS:
        for name, value in ((goal.subject, 2.0), (goal.base, 1.0), (PGPOOL, 3.0)):
            if len(made.taken(goal.row, name)) < 2:
                made.add(goal.row, name, value)
                made.add(goal.row, name, value * 1.1)
    for place in (1, 10, 1000):
        made.add_point("clients", OURS, place, 20.0)
        made.add_point("clients", PGBOUNCER, place, 10.0)
    return made


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ([9.0, 10.0, 30.0], Verdict.HOLDS),
        ([10.5, 10.5, 1.0], Verdict.LIMIT),
        ([11.1, 12.0, 1.0], Verdict.MISSED),
    ],
)
def test_the_median_of_the_ratios_decides(ours: list[float], verdict: Verdict) -> None:
    assert judge(GOAL, ledger(ours, [10.0, 10.0, 10.0])).verdict is verdict


def test_a_slow_round_that_met_both_changes_nothing() -> None:
    judged = judge(GOAL, ledger([9.0, 90.0, 9.0], [10.0, 100.0, 10.0]))
    assert judged.figure is not None
    assert (judged.figure.low, judged.figure.middle, judged.figure.high) == (0.9, 0.9, 0.9)


def test_a_goal_may_ask_for_more_for_a_difference_or_for_a_figure_alone() -> None:
    made = ledger([12.0, 14.1], [10.0, 10.0])
    assert judge(replace(GOAL, wanted=1.3, at_least=True), made).verdict is Verdict.HOLDS
    assert judge(Goal(ROW, 3.1, Compare.DIFFERENCE), made).verdict is Verdict.HOLDS
    assert judge(Goal(ROW, 2.9, Compare.DIFFERENCE), made).verdict is Verdict.MISSED
    assert judge(Goal(ROW, 13.1, Compare.VALUE), made).verdict is Verdict.HOLDS


def test_what_was_not_measured_does_not_hold() -> None:
    assert judge(GOAL, Ledger()).verdict is Verdict.ABSENT
    assert judge(GOAL, ledger([1.0])).verdict is Verdict.ABSENT


@pytest.mark.parametrize(("busy", "verdict"), [(99.0, Verdict.MISSED), (20.0, Verdict.UNFIT)])
def test_a_machine_that_cannot_show_a_goal_is_said_to_be_unfit(busy: float, verdict: Verdict) -> None:
    made = ledger([1.0], [1.0])
    made.add(FULL.row, FULL.contender, busy)
    assert judge(Goal(ROW, 1.3, at_least=True, needs=FULL), made).verdict is verdict


def test_every_goal_has_a_group_and_is_there_once() -> None:
    assert {group_of(goal.row) for goal in GOALS} <= GROUPS.keys()
    assert len({(goal.row, goal.subject) for goal in GOALS}) == len(GOALS)
    rows = {goal.row for goal in GOALS}
    assert {f"cpu.{mode}.{PROTECTED}" for mode in MODES} <= rows


def test_a_missed_goal_stands_in_every_report() -> None:
    made = ledger([20.0, 22.0, 21.0], [10.0, 10.0, 10.0])
    judged = [judge(GOAL, made)]
    parts = list(sections(made, judged))
    assert parts[0].table[1] == [
        f"prepared.{PROTECTED}", "21.0 ±5%", "10.0 ±0%", "2.10 [2.00 … 2.20]", "≤ 1 of PgBouncer (limit 1.1)",
        "DOES NOT HOLD",
    ]  # fmt: skip
    assert "DOES NOT HOLD" in "\n".join(plain(parts))
    document = as_markdown(Outcome(made, judged, {}, {}))
    assert f"- `{ROW}`" in document
    assert "1 goals: 1 DOES NOT HOLD." in document
    assert count(judged) in document


def test_two_goals_of_one_row_stand_below_each_other() -> None:
    made = ledger([1.0], [1.0])
    judged = [judge(GOAL, made), judge(Goal(ROW, 0.5, subject=PGBOUNCER, compare=Compare.VALUE), made)]
    _, first, second = next(sections(made, judged)).table
    assert first[-1] == "holds"
    assert second[:3] == ["", "", ""]
    assert second[-2:] == ["PgBouncer: ≤ 0.5", "DOES NOT HOLD"]


def test_a_table_is_aligned_for_a_terminal_and_piped_for_a_document() -> None:
    part = Section("Things", [["", "a", "b"], ["first", "1", "20"], ["2nd", "300", "4"]])
    assert list(plain([part])) == ["\nThings", "         a   b", "first    1  20", "2nd    300   4"]
    assert list(markdown([part])) == [
        "", "### Things", "", "|  | a | b |", "|---|---|---|", "| first | 1 | 20 |", "| 2nd | 300 | 4 |",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (12345.6, "12,346"),
        (123.4, "123"),
        (12.34, "12.3"),
        (1.234, "1.23"),
        (0.01234, "0.0123"),
        (0.0, "0.00"),
        (-3.456, "-3.46"),
    ],
)
def test_numbers_have_three_digits_that_matter(value: float, told: str) -> None:
    assert number(value) == told


def test_a_curve_says_how_it_grows_and_whether_it_may() -> None:
    made = Ledger()
    for place in (1, 10, 100):
        made.add_point("clients", OURS, place, 10.0 * place)
        made.add_point("clients", PGBOUNCER, place, 10.0)
    (part,) = curves(made)
    assert part.table == [
        ["", "1", "10", "100", "grows", "as it should"],
        [OURS, "10.0", "100", "1,000", "linear", "NO"],
        [PGBOUNCER, "10.0", "10.0", "10.0", "flat", ""],
    ]


def test_the_chart_is_a_picture_that_shows_every_figure() -> None:
    made = full_ledger()
    picture = ElementTree.fromstring(chart(made))  # noqa: S314
    told = {element.text for element in picture.iter() if element.tag.endswith("text")}
    assert {"2.10", "1.05", "3.15", "clients", PGBOUNCER, PGPOOL, OURS, "1,000"} <= told
    width, height = (float(part) for part in picture.attrib["viewBox"].split()[2:])
    for element in picture.iter():
        if element.tag.endswith("rect"):
            assert float(element.get("x", 0)) + float(element.attrib["width"]) <= width
            assert float(element.get("y", 0)) + float(element.attrib["height"]) <= height


def test_a_chart_of_nothing_is_a_picture_too() -> None:
    assert ElementTree.fromstring(chart(Ledger())).tag.endswith("svg")  # noqa: S314


def test_goals_that_do_not_hold_say_where_the_time_goes_and_so_do_curves() -> None:
    made = full_ledger()
    made.add_point("clients", OURS, 100_000, 9_000.0)
    judged = [judge(goal, made) for goal in GOALS]
    text = as_markdown(Outcome(made, judged, {}, {}))
    missed, _, rest = text.partition("## Goals that do not hold\n")[2].partition("\n## ")
    assert f"`{ROW}`" in missed
    assert "By perf" in missed
    assert f"- clients: {WHY_CURVES['clients']}" in rest


def test_documents_hold_all_figures_and_what_made_them(tmp_path: Path) -> None:
    made = full_ledger()
    judged = [judge(goal, made) for goal in GOALS]
    write_documents(tmp_path, Outcome(made, judged, about(18, 0.5, 90.0), {"parents": "a table"}))
    figures = json.loads((tmp_path / "benchmarks.json").read_text())
    assert figures["rows"][ROW][OURS] == made.taken(ROW, OURS)
    assert figures["growth"] == {"clients": {OURS: "flat", PGBOUNCER: "flat"}}
    assert len(figures["goals"]) == len(GOALS)
    assert figures["about"]["took"] == "2 minutes"
    assert "18." in figures["about"]["PostgreSQL 18"]
    document = (tmp_path / "benchmarks.md").read_text()
    assert "(benchmarks.svg)" in document
    assert "a table" in document
    for goal in GOALS:
        assert f"| {goal.row.partition('.')[2]} |" in document
    assert (tmp_path / "benchmarks.svg").read_text() == chart(made)
