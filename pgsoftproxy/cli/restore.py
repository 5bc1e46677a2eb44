"""`restore`: read what is asked, show what would come back, ask, bring it back. The work is done in lifecycle."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import typer

from pgsoftproxy.cli.exits import DONE, FAILED, NOTHING
from pgsoftproxy.db.connection import connect
from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.errors import ConfigError, RestoreFailed
from pgsoftproxy.lifecycle.restore import restore
from pgsoftproxy.model.links import find_links
from pgsoftproxy.model.policy import compile_policy
from pgsoftproxy.model.restorable import Scope
from pgsoftproxy.model.restore import Conflict, Progress, Report, Selection, Terms
from pgsoftproxy.settings import Settings, load


@dataclass(frozen=True, slots=True)
class Target:
    """The database, and the connection string if not that of the configuration."""

    database: str | None
    dsn: str | None


@dataclass(frozen=True, slots=True)
class Output:
    """Whether to ask, and how to tell."""

    yes: bool
    as_json: bool


def run_restore(settings: Settings, target: Target, asked: tuple[Selection, Terms], output: Output) -> int:
    """Show, ask if there is a terminal, restore; return the exit code. Raises ConfigError and UpstreamUnavailable."""
    selection, terms = asked
    _check(selection)
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty() and not output.as_json
    if not (terms.dry_run or output.yes or on_terminal):
        raise ConfigError(("nobody can be asked here: give --yes, or --dry-run to see what would come back",))
    try:
        if not (terms.dry_run or output.yes):
            dry = Terms(terms.with_parents, terms.skip, True, terms.lock_timeout)
            report = asyncio.run(_restore(settings, target, (selection, dry), output))
            _print(report, output)
            if not report.rows or (report.conflicts and not terms.skip):
                return _code(report, terms)
            if not typer.confirm("Bring these rows back?", default=False):
                return DONE
        report = asyncio.run(_restore(settings, target, asked, output))
    except RestoreFailed as error:
        return told(error, as_json=output.as_json)
    _print(report, output)
    return _code(report, terms)


def told(error: RestoreFailed, *, as_json: bool) -> int:
    """Print why nothing was done; return the exit code."""
    if as_json:
        line = {
            "event": "failed",
            "sqlstate": error.sqlstate,
            "message": error.message,
            "detail": error.detail,
        }
        typer.echo(json.dumps(line))
    else:
        typer.echo(error.message + (f" ({error.detail})" if error.detail else ""), err=True)
    return FAILED


async def load_scope(settings: Settings, target: Target) -> Scope:
    """Read the catalog and compile what a restore may reach. Raises ConfigError."""
    catalog = await load_catalog(target.dsn or settings.control.dsn, target.database)
    policy, problems = compile_policy(settings.rules(), settings.grants(), catalog)
    links, more = find_links(policy, settings.key_rules())
    if problems or more:
        raise ConfigError(tuple(str(problem) for problem in (*problems, *more)))
    return Scope(policy, links)


async def _restore(
    settings: Settings, target: Target, asked: tuple[Selection, Terms], output: Output
) -> Report:
    scope = await load_scope(settings, target)
    async with connect(target.dsn or settings.control.dsn, target.database) as connection:
        with _Bar(output) as bar:
            return await restore(connection, scope, asked, bar.observe)


def load_settings(config: Path, overrides: Sequence[str]) -> Settings:
    """Load the configuration as every command does."""
    return load(config, os.environ, overrides)


def _check(selection: Selection) -> None:
    for given in selection.deletions:
        try:
            UUID(given)
        except ValueError:
            raise ConfigError((f"--deletion {given}: not a uuid",)) from None


def _code(report: Report, terms: Terms) -> int:
    if report.conflict_count and not (terms.skip and (report.done or (terms.dry_run and report.rows))):
        return FAILED
    return DONE if report.rows else NOTHING


class _Bar:
    """Shows how far it is: a bar on a terminal, one JSON object a line on standard error otherwise."""

    def __init__(self, output: Output) -> None:
        self._bar: Any = None
        self._lines = output.as_json or not os.isatty(2)

    def __enter__(self) -> "_Bar":
        if not self._lines:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("", total=None)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def observe(self, progress: Progress) -> None:
        """Show one thing that happened."""
        if self._bar is None:
            line = {"event": progress.what, "table": progress.table, "rows": progress.rows, "of": progress.of}
            typer.echo(json.dumps(line), err=True)
            return
        task = self._bar.tasks[0]
        done = task.completed + progress.rows if progress.what == "restore" else 0
        total = progress.of if progress.what == "restore" else None
        description = f"{progress.what} {progress.table}"
        self._bar.update(task.id, completed=done, total=total, description=description)


def _print(report: Report, output: Output) -> None:
    if output.as_json:
        typer.echo(json.dumps(_as_json(report), default=_plain))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if os.isatty(1) else 160, highlight=False)
    if report.tables:
        table = Table("", "table", "rows", "asked for", "went with them", "parents")
        for number, row in enumerate(report.tables, 1):
            cells = (number, row.table, row.rows, row.asked, row.below, row.parents)
            table.add_row(*(Text(str(cell)) for cell in cells))
        console.print(table)
    for link in report.links:
        console.print(Text(f"{link.link}: put back in {link.put_back} rows"))
        for key in link.left:
            console.print(Text(f"  left as it is, for it was changed meanwhile: {_told(key)}"))
    for conflict in report.conflicts:
        console.print(Text(f"conflict: {_conflict(conflict)}"))
    if report.conflict_count > len(report.conflicts):
        console.print(Text(f"... {report.conflict_count - len(report.conflicts)} more conflicts"))
    console.print(Text(_outcome(report)))


def _as_json(report: Report) -> dict[str, Any]:
    tables = [{**asdict(table), "rows": table.rows} for table in report.tables]
    return {**asdict(report), "tables": tables, "rows": report.rows}


def _outcome(report: Report) -> str:
    if report.done:
        return f"{report.rows} rows are back"
    if not report.rows and not report.conflict_count:
        return "no deleted row is like that"
    return "nothing was changed"


def _conflict(conflict: Conflict) -> str:
    row = f"{conflict.table} {_told(conflict.key)}" if conflict.key is not None else conflict.table
    if conflict.other is None:
        return f"{row}: {conflict.message}" + (f' ("{conflict.name}")' if conflict.name else "")
    other = _told(conflict.other)
    if conflict.message:
        return f'{row}: {conflict.message} ({other}) for key "{conflict.name}"'
    which = "another row to be restored" if conflict.other_restored else "row"
    return f'{row}: its key in "{conflict.name}" is taken by {which} {other}'


def _told(key: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in key.items())


def _plain(value: Any) -> Any:
    return getattr(value, "value", str(value))
