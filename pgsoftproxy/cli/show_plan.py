"""How a migration's plan and its progress are shown: a table and a bar for people, JSON for programs."""

import json
import os
from types import TracebackType
from typing import Any, Self

import typer

from pgsoftproxy.db.migration import Progress
from pgsoftproxy.db.schema_state import statement_to_json
from pgsoftproxy.errors import StepFailed
from pgsoftproxy.model.steps import Lock, Plan, Step

SHOWN_LINES = 4
"""Of one statement in the plan; --json and --write sql have them whole."""


def print_plan(plan: Plan, *, as_json: bool) -> None:
    """Print a plan."""
    if as_json:
        typer.echo(json.dumps(_as_json(plan)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if os.isatty(1) else 160, highlight=False)
    if not plan.steps:
        console.print(Text("nothing to do"))
    else:
        table = Table("", "table", "step", "lock", "rows", "time", show_lines=True)
        for number, step in enumerate(plan.steps, 1):
            cells = (str(number), step.table, _described(step), _lock(step), f"{step.rows:,}", _time(step))
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)
    for remark in plan.remarks:
        console.print(Text(f"left as it is: {remark.table}: {remark.message}"))


class Reporter:
    """Shows how the steps of a plan go: a bar on a terminal, one JSON object a line otherwise."""

    def __init__(self, plan: Plan, *, as_json: bool) -> None:
        self._plan = plan
        self._bar = None if as_json or not os.isatty(1) else _bar(len(plan.steps))

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def observe(self, progress: Progress) -> None:
        """Show one thing that happened."""
        step = progress.step
        if self._bar is None:
            line = {"event": progress.what, "step": step.id, "table": step.table, "detail": progress.detail}
            typer.echo(json.dumps({key: value for key, value in line.items() if value}))
            return
        task = self._bar.task_ids[0]
        match progress.what:
            case "started":
                self._bar.update(task, description=f"{step.table}: {step.title}")
            case "progress":
                self._bar.update(task, description=f"{step.table}: {step.title}: {progress.detail}")
            case "done":
                self._bar.console.print(f"done: {step.table}: {step.title}", markup=False, highlight=False)
                self._bar.advance(task)
            case _:
                self._bar.console.print(f"waiting: {step.table}: {progress.detail}", markup=False)

    def fail(self, error: StepFailed) -> None:
        """Tell why a step failed."""
        told = (("detail", error.detail), ("hint", error.hint))
        if self._bar is None:
            line = {"event": "failed", "sqlstate": error.sqlstate, "message": error.message}
            typer.echo(json.dumps(line | {key: value for key, value in told if value}))
        typer.echo(error.message, err=True)
        for label, text in told:
            if text:
                typer.echo(f"{label}: {text}", err=True)


def _bar(total: int) -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    bar = Progress(*columns)
    bar.add_task("", total=total)
    return bar


def _described(step: Step) -> str:
    lines = [step.title, f"({step.why})"]
    for statement in step.statements[:SHOWN_LINES]:
        text = statement.sql.splitlines()
        lines += text[:SHOWN_LINES]
        if len(text) > SHOWN_LINES:
            lines.append(f"... {len(text) - SHOWN_LINES} more lines")
    if len(step.statements) > SHOWN_LINES:
        lines.append(f"... {len(step.statements) - SHOWN_LINES} more statements")
    return "\n".join(lines)


def _lock(step: Step) -> str:
    if step.lock is Lock.NONE:
        return "none"
    return f"{step.lock.value}, {'all the time' if step.holds else 'a moment'}" + (
        "; rewrites the table" if step.rewrites else ""
    )


def _time(step: Step) -> str:
    if step.seconds < 1:
        return "< 1 s"
    minutes, seconds = divmod(round(step.seconds), 60)
    return f"~{minutes} min" if minutes >= 10 else f"~{minutes * 60 + seconds} s"


def _as_json(plan: Plan) -> dict[str, Any]:
    return {
        "steps": [
            {
                "id": step.id,
                "kind": step.kind.value,
                "table": step.table,
                "title": step.title,
                "why": step.why,
                "lock": step.lock.value,
                "holds": step.holds,
                "rewrites": step.rewrites,
                "rows": step.rows,
                "seconds": round(step.seconds, 1),
                "statements": [statement_to_json(statement) for statement in step.statements],
                "down": [statement_to_json(statement) for statement in step.down],
            }
            for step in plan.steps
        ],
        "remarks": [{"table": remark.table, "message": remark.message} for remark in plan.remarks],
    }
