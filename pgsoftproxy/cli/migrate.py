"""`migrate`: read what a database has, plan what it lacks, show it, ask, run it. The work is done in schema and db."""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from pgsoftproxy.cli.exits import DONE, FAILED
from pgsoftproxy.cli.show_plan import Reporter, print_plan
from pgsoftproxy.db.connection import connect
from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.db.migration import Patience, Runner, prepare
from pgsoftproxy.db.schema_state import load_state
from pgsoftproxy.errors import ConfigError, StepFailed
from pgsoftproxy.model.steps import OPTIONAL, Kind, Plan
from pgsoftproxy.schema.export import FORMATS, export
from pgsoftproxy.schema.plan import Wanted, plan, set_scene
from pgsoftproxy.schema.undo import plan_down
from pgsoftproxy.settings import Settings, load


@dataclass(frozen=True, slots=True)
class Order:
    """What to migrate: which database, over which connection, which way, which kinds of step, how patiently."""

    database: str | None
    dsn: str | None
    down: bool
    only: tuple[str, ...]
    skip: tuple[str, ...]
    optional: tuple[str, ...]
    lock_timeout: float
    attempts: int

    @property
    def kinds(self) -> frozenset[Kind]:
        """Return the kinds of step that are asked for. Raises ConfigError for one that does not exist."""
        only, skip = _kinds("--only", self.only), _kinds("--skip", self.skip)
        asked = frozenset(Kind(name) for name in self.optional)
        every = frozenset(Kind) if self.down else frozenset(Kind) - frozenset(OPTIONAL)
        return ((only or every) | asked) - skip


@dataclass(frozen=True, slots=True)
class Output:
    """What becomes of the plan: shown, run, or written to a file."""

    as_json: bool
    dry_run: bool
    yes: bool
    write: str | None
    file: Path | None


def migrate(config: Path, overrides: Sequence[str], order: Order, output: Output) -> int:
    """Plan, show, and run if that is wanted; return the exit code. Raises ConfigError and UpstreamUnavailable."""
    settings = load(config, os.environ, overrides)
    kinds = order.kinds
    if output.write is not None and output.write not in FORMATS:
        raise ConfigError((f"--write takes one of {', '.join(FORMATS)}, got {output.write!r}",))
    found = asyncio.run(_plan(settings, order, kinds))
    if output.write is not None:
        return _write(found, output.write, output.file)
    print_plan(found, as_json=output.as_json)
    if not found.steps or output.dry_run or not _is_wanted(output):
        return DONE
    return asyncio.run(_run(settings, order, found, Reporter(found, as_json=output.as_json)))


async def _plan(settings: Settings, order: Order, kinds: frozenset[Kind]) -> Plan:
    dsn = order.dsn or settings.control.dsn
    catalog = await load_catalog(dsn, order.database)
    state = await load_state(dsn, order.database, with_history=True)
    wanted = Wanted(settings.rules(), settings.grants(), settings.key_rules(), settings.routine_rules())
    if order.down:
        scene, _, _ = set_scene(wanted, catalog, state)
        return plan_down(scene, kinds)
    found, problems = plan(wanted, catalog, state, kinds)
    if problems:
        raise ConfigError(tuple(str(problem) for problem in problems))
    return found


async def _run(settings: Settings, order: Order, found: Plan, reporter: Reporter) -> int:
    patience = Patience(order.lock_timeout, order.attempts)
    dsn = order.dsn or settings.control.dsn
    async with connect(dsn, order.database) as connection, connect(dsn, order.database) as watch:
        if not await prepare(connection):
            typer.echo("another migrate is running in this database", err=True)
            return FAILED
        with reporter:
            try:
                runner = Runner(connection, patience, reporter.observe, watch)
                await runner.run(found.steps, undo=order.down)
            except StepFailed as error:
                reporter.fail(error)
                return FAILED
    return DONE


def _is_wanted(output: Output) -> bool:
    if output.yes:
        return True
    if output.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return typer.confirm("Run these steps?", default=False)


def _write(found: Plan, form: str, file: Path | None) -> int:
    text = export(found, form)
    if file is None:
        typer.echo(text, nl=False)
        return DONE
    try:
        file.write_text(text)
    except OSError as error:
        typer.echo(f"{file}: {error.strerror}", err=True)
        return FAILED
    typer.echo(f"wrote {len(found.steps)} steps to {file}")
    return DONE


def _kinds(option: str, names: tuple[str, ...]) -> frozenset[Kind]:
    known = {kind.value for kind in Kind}
    unknown = [name for name in names if name not in known]
    if unknown:
        listed = ", ".join(kind.value for kind in Kind)
        raise ConfigError((f"{option} {unknown[0]}: kinds of step are {listed}",))
    return frozenset(Kind(name) for name in names)
