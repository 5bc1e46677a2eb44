"""The files in docs: figures as JSON, the chart, and the report with the machine and the commands that made it."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pgsoftproxy import __version__
from tests.bench.chart import chart
from tests.bench.daemons import program
from tests.bench.figures import Ledger, medians
from tests.bench.goals import Judged, Verdict
from tests.bench.growth import growth
from tests.bench.report import count, curves, markdown, sections, unlike
from tests.servers import embedded_programs, find_programs

INTRODUCTION = """\
# Benchmarks

<!-- Printed by `make bench`; do not edit. -->

What the proxy costs beside a direct connection, PgBouncer in session mode and Pgpool-II as its package sets it up.
{count}

![CPU per query, and how it grows](benchmarks.svg)

Rounds interleave the contenders, so that a busy moment of the machine meets all of them. Ratios are taken within a
round; the median of the rounds counts, and stands with the least and the greatest in brackets. `±` is half the way
from the least to the greatest figure. CPU is that of the processes in the middle, from `/proc/PID/task/*/schedstat`;
what connecting takes is measured apart and taken away. After each run a count of all rows, a live row and a deleted
row are asked for: figures of wrong answers are not printed. The figures themselves are in
[benchmarks.json](benchmarks.json).
"""


WHY = {
    "cpu": (
        "By perf, 82 % of it is the system's: the same two reads, two writes and share of a wait as PgBouncer's. "
        "Of the rest, some 2 µs beside PgBouncer's 0.8, libpython has 6 % (a bytes and a look-up for each frame "
        "and shape), libc 4 %, the lane 3.7, the wires 1.7, what they write 1.1, the selector 0.9, the mask of "
        "literals 0.7. What was tried beside and did not show is in decision 12."
    ),
    "rate.two": (
        "The middle is busy for a quarter of a core: the server and pgbench take the rest. What its own CPU would "
        "allow is told below."
    ),
    "rate": (
        "The cores are the server's and pgbench's, the middle has a quarter of them: what is there to win is "
        "PgBouncer's own figure in the same rounds, which is not twice Pgpool-II's either."
    ),
    "sight": "Most of it is Python that walks the tree twice, to rewrite and to prove; libpg_query takes a tenth.",
    "wall.result": "The server makes the rows for as long, asked directly; the middle's own CPU is told below.",
    "wall.copy": "The server takes the rows for as long, asked directly; the middle's own CPU is told below.",
    "work.result": "The header of each row's frame is looked at, one by one.",
    "work.copy": "The header of each message is looked at; the fewer a stream has, the less it takes.",
    "connect": (
        "Of some 0.8 ms beyond a direct connection's, a profile has no function above 2.5 %: sockets and their "
        "registration 20 %, the 14 parameters of the login 8 %, a session's objects 8 %, the collector 6 %, timers."
    ),
    "server": (
        "What is executed is the same plan, as the rows of plans show; the figures of this row differ by what the "
        "machine does beside."
    ),
}
"""Where the time goes, by profile, in rows whose names begin so; told of goals that do not hold."""

WHY_CURVES = {
    "clients": (
        "Of one client every query wakes the middle; with eight or more, one waking serves several; from some "
        "hundred on the sockets no longer fit the processor's caches. PgBouncer's curve is the same."
    ),
    "row bytes": (
        "By perf, 98 % is the system's copying. What the middle can read at once, 256 KiB, goes in one read and "
        "one write; a row of a MB takes seven of each, and waits where the client's socket is full. PgBouncer's "
        "figure is above from 10 kB on."
    ),
}
"""The same of curves that do not grow as they should."""


MISSES = {
    Verdict.MISSED: "Goals that do not hold",
    Verdict.LIMIT: "Goals that do not hold, but keep their limit",
    Verdict.UNFIT: "Goals that this machine cannot show",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a run gave: figures, judgements, how long each part took, what other programs printed."""

    ledger: Ledger
    judged: Sequence[Judged]
    about: Mapping[str, str]
    outputs: Mapping[str, str]


def write_documents(folder: Path, outcome: Outcome) -> None:
    """Write benchmarks.json, benchmarks.svg and benchmarks.md into a folder."""
    (folder / "benchmarks.json").write_text(json.dumps(as_json(outcome), indent=1, ensure_ascii=False) + "\n")
    (folder / "benchmarks.svg").write_text(chart(outcome.ledger))
    (folder / "benchmarks.md").write_text(as_markdown(outcome))


def as_json(outcome: Outcome) -> dict[str, object]:
    """Return everything as JSON has it."""
    ledger = outcome.ledger
    return {
        "about": dict(outcome.about),
        "goals": [
            {
                "row": one.goal.row,
                "wanted": one.goal.wanted,
                "limit": one.goal.limit,
                "figure": None if one.figure is None else one.figure.middle,
                "verdict": one.verdict.value,
            }
            for one in outcome.judged
        ],
        "rows": ledger.values,
        "curves": ledger.curves,
        "growth": {
            curve: {name: growth(medians(points))[0].value for name, points in by_name.items()}
            for curve, by_name in ledger.curves.items()
        },
    }


def as_markdown(outcome: Outcome) -> str:
    """Return the document."""
    lines = [INTRODUCTION.format(count=count(outcome.judged)), "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in outcome.about.items()]
    for verdict, heading in MISSES.items():
        missed = [one.goal.row for one in outcome.judged if one.verdict is verdict]
        if missed:
            lines += ["", f"## {heading}", "", *reasons(missed)]
    lines += ["", "## Rows", *markdown(list(sections(outcome.ledger, outcome.judged)))]
    if outcome.ledger.curves:
        lines += ["", "## How the cost grows", *markdown(list(curves(outcome.ledger)))]
        grown = [
            f"- {curve}: {told}" for curve, told in WHY_CURVES.items() if curve in unlike(outcome.ledger)
        ]
        lines += ["", "Where it does not grow as it should:", "", *grown] if grown else []
    for name, output in outcome.outputs.items():
        lines += ["", f"## `tests.bench.{name}`", "", "```text", output.rstrip(), "```"]
    return "\n".join(lines) + "\n"


def reasons(rows: Sequence[str]) -> list[str]:
    """Return rows of goals as items of a list, those that have the same reason together."""
    told: dict[str, list[str]] = {}
    for row in rows:
        reason = next((told for start, told in WHY.items() if row.startswith(start)), "")
        told.setdefault(reason, []).append(f"`{row}`")
    return [f"- {', '.join(names)}{reason and f': {reason}'}" for reason, names in told.items()]


def about(version: int, load: float, seconds: float) -> dict[str, str]:
    """Return the machine with its load before the run, the versions, and the command."""
    given = sys.argv[1:]
    if given[:3] == ["--docs", "docs", "--extras"]:
        # What `make bench` gives by itself.
        given = given[3:]
    curves = " CURVES=1" if given[:1] == ["--curves"] else ""
    given = given[1:] if curves else given
    command = f"make bench{curves}" + (f' ARGS="{" ".join(given)}"' if given else "")
    versions = {
        f"PostgreSQL {version}": _printed(find_programs(version), "postgres"),
        "pgbench": _printed(embedded_programs() or find_programs(version), "pgbench"),
        "PgBouncer": _printed(None, "pgbouncer"),
        "Pgpool-II": _printed(None, "pgpool"),
    }
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": f"`{command}`",
        "took": f"{seconds / 60:.0f} minutes",
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory()} GiB, Linux {platform.release()}",
        "load of the minute before": f"{load:.2f}",
        "pgsoftproxy": ", ".join(
            filter(None, (__version__, _commit(), f"Python {platform.python_version()}"))
        ),
        **{name: told for name, told in versions.items() if told},
    }


def _printed(folder: Path | None, name: str) -> str:
    path = str(folder / name) if folder is not None else program(name)
    if path is None:
        return ""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).partition("\n")[0]


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else ""


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
