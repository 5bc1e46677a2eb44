"""`audit`: read what databases have, judge it, show it; the exit code says whether something was found.

The work is done in db and schema. Reads only.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from pgsoftproxy.cli.exits import DONE, FAILED
from pgsoftproxy.cli.show_audit import Form, show
from pgsoftproxy.db.evidence import load_evidence
from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.db.schema_state import load_state
from pgsoftproxy.errors import ConfigError
from pgsoftproxy.model.links import KeyRule
from pgsoftproxy.model.policy import Protection, TableRule, compile_policy
from pgsoftproxy.schema.audit.checks import BY_ID, audit
from pgsoftproxy.schema.audit.finding import Accepted, Ignored, Report, Severity
from pgsoftproxy.schema.audit.ground import Read, set_ground
from pgsoftproxy.schema.plan import Wanted
from pgsoftproxy.settings import Settings, load

NEVER = "never"


@dataclass(frozen=True, slots=True)
class Request:
    """What to look at, what to pass over, from which severity on it is a failure."""

    database: str | None
    ignore: tuple[str, ...]
    fail_on: str
    exact: bool
    form: Form


@dataclass(frozen=True, slots=True)
class Known:
    """Findings that are not to be told, and those that are accepted."""

    ignored: tuple[Ignored, ...]
    accepted: tuple[Accepted, ...]


def run(config: Path, overrides: Sequence[str], request: Request) -> int:
    """Audit and print; return the exit code. Raises ConfigError and UpstreamUnavailable."""
    settings = load(config, os.environ, overrides)
    known = Known(_ignored((*settings.audit.ignore, *request.ignore)), _accepted(settings.audit.accept))
    limit = _limit(request.fail_on)
    reports = asyncio.run(_reports(settings, request, known))
    typer.echo(show(reports, request.form), nl=False)
    found = (finding.severity.rank for report in reports for finding in report.findings)
    return FAILED if any(rank <= limit for rank in found) else DONE


async def _reports(settings: Settings, request: Request, known: Known) -> list[Report]:
    if request.database is not None:
        return [await _report(settings, request.database, request, known)]
    reports = [await _report(settings, None, request, known)]
    others = [name for name in settings.databases if name != reports[0].database]
    return [*reports, *[await _report(settings, name, request, known) for name in others]]


async def _report(settings: Settings, database: str | None, request: Request, known: Known) -> Report:
    dsn = settings.control.dsn
    wanted = Wanted(settings.rules(), settings.grants(), settings.key_rules(), settings.routine_rules())
    catalog = await load_catalog(dsn, database)
    state = await load_state(dsn, database, with_history=False)
    counted: list[Protection] = []
    if request.exact:
        policy, _ = compile_policy(wanted.rules, wanted.grants, catalog)
        counted = list(policy.protections.values())
    evidence = await load_evidence(dsn, database, counted)
    every: list[TableRule | KeyRule] = [*wanted.rules, *wanted.keys]
    # A rule for every database may name a table that only the control connection's own has.
    own = None if database is None else frozenset(rule.origin for rule in every if rule.database == database)
    ground = set_ground(wanted, Read(catalog, state, evidence, own))
    return audit(ground, known.ignored, known.accepted)


def _ignored(texts: tuple[str, ...], key: str = "ignore") -> tuple[Ignored, ...]:
    ignored = tuple(Ignored.parse(text) for text in texts)
    unknown = [one.check for one in ignored if one.check not in BY_ID]
    if unknown:
        raise ConfigError(
            tuple(f'{key}: there is no check "{check}"; checks are {_listed()}' for check in unknown)
        )
    return ignored


def _accepted(reasons: Mapping[str, str]) -> tuple[Accepted, ...]:
    which = _ignored(tuple(reasons), "accept")
    return tuple(Accepted(one, reason) for one, reason in zip(which, reasons.values(), strict=True))


def _listed() -> str:
    return ", ".join(BY_ID)


def _limit(fail_on: str) -> int:
    names = {severity.value: severity.rank for severity in Severity}
    if fail_on != NEVER and fail_on not in names:
        raise ConfigError((f"--fail-on takes {', '.join((*names, NEVER))}, got {fail_on!r}",))
    return names.get(fail_on, -1)
