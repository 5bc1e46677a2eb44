"""`check-config`: the settings alone, then against the catalog of every database they name."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from pgsoftproxy.cli.exits import DONE, UNREACHABLE, WRONG
from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.db.readiness import with_links
from pgsoftproxy.errors import ConfigError, UpstreamUnavailable
from pgsoftproxy.model.links import KeyRule
from pgsoftproxy.model.policy import Policy, Protection, TableRule, compile_policy
from pgsoftproxy.settings import Settings, load
from pgsoftproxy.ways import way_in, way_out

INHERITED = "(inherited)"


@dataclass(slots=True)
class Findings:
    """What was found: the policy of each database that could be compared, and what is wrong."""

    rules: tuple[TableRule, ...] = ()
    policies: list[Policy] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Return what the command exits with; a wrong configuration outranks an unreachable server."""
        return WRONG if self.problems else UNREACHABLE if self.unreachable else DONE


def check(config: Path, overrides: Sequence[str], *, offline: bool, as_json: bool) -> int:
    """Check and print; return the exit code."""
    try:
        settings = load(config, os.environ, overrides)
        way_in(settings)
        way_out(settings)
        findings = Findings(settings.rules())
        if not offline:
            asyncio.run(_compare(settings, findings))
    except ConfigError as error:
        findings = Findings(problems=list(error.problems))
    if as_json:
        typer.echo(json.dumps(_as_json(findings), indent=2))
    else:
        _print(findings, offline)
    return findings.exit_code


async def _compare(settings: Settings, findings: Findings) -> None:
    dsn = settings.control.dsn
    default: str | None = None
    for database in (None, *settings.databases):
        if database is not None and database == default:
            continue
        try:
            catalog = await load_catalog(dsn, database)
        except UpstreamUnavailable as error:
            path = ("databases", database) if database is not None else ("control", "dsn")
            findings.unreachable.append(f"{settings.origin(*path)}: {error.message}")
            if database is None:
                return  # each of the others would say the same
            continue
        default = catalog.database if database is None else default
        policy, problems = compile_policy(findings.rules, settings.grants(), catalog)
        policy, more = with_links(policy, settings.key_rules())
        findings.policies.append(policy)
        # A rule for every database may name a table that only the control connection's own has.
        every: list[TableRule | KeyRule] = [*findings.rules, *settings.key_rules()]
        own = {rule.origin for rule in every if rule.database == database or database is None}
        findings.problems.extend(str(problem) for problem in (*problems, *more) if problem.origin in own)


def _rule_of(protection: Protection, policy: Policy, rules: Iterable[TableRule]) -> str:
    """Return the pattern of the rule that protects a table: the last that matches, as in `compile_policy`."""
    matching = [
        rule
        for rule in sorted(rules, key=lambda rule: rule.precedence)
        if rule.database in (None, policy.catalog.database)
        and rule.matches(protection.relation)
        and rule.column == protection.column
    ]
    return matching[-1].pattern if matching else INHERITED


def _rows(policy: Policy, rules: Iterable[TableRule]) -> list[dict[str, Any]]:
    rows = [
        {
            "table": protection.label,
            "column": protection.column,
            "type": protection.kind.value,
            "mode": protection.mode.value,
            "deleted_by": protection.deleted_by,
            "deletion_id": protection.deletion_id,
            "created_at": protection.created_at,
            "rule": _rule_of(protection, policy, rules),
        }
        for protection in policy.protections.values()
    ]
    return sorted(rows, key=lambda row: str(row["table"]))


def _globs(policy: Policy, rules: Iterable[TableRule], rows: list[dict[str, Any]]) -> dict[str, int]:
    counts = Counter(row["rule"] for row in rows)
    here = (None, policy.catalog.database)
    return {rule.pattern: counts[rule.pattern] for rule in rules if rule.is_glob and rule.database in here}


def _unready(policy: Policy) -> dict[str, str]:
    """Map each table on which deletions are refused to what the database lacks for them."""
    labels = {policy.catalog.relations[oid].label: lacks for oid, lacks in policy.unready.items()}
    return dict(sorted(labels.items()))


def _as_json(findings: Findings) -> dict[str, Any]:
    databases = []
    for policy in findings.policies:
        rows = _rows(policy, findings.rules)
        databases.append(
            {
                "database": policy.catalog.database,
                "server_version": policy.catalog.server_version,
                "tables": rows,
                "globs": _globs(policy, findings.rules, rows),
                "unready": _unready(policy),
            }
        )
    return {
        "ok": findings.exit_code == DONE,
        "problems": findings.problems,
        "unreachable": findings.unreachable,
        "databases": databases,
    }


def _print(findings: Findings, offline: bool) -> None:
    for line in (*findings.problems, *findings.unreachable):
        typer.echo(line, err=True)
    if findings.exit_code != DONE:
        return
    if offline:
        typer.echo(f"the file is in order: {len(findings.rules)} table sections, compared with no database")
    for policy in findings.policies:
        _print_policy(policy, findings.rules)


def _print_policy(policy: Policy, rules: tuple[TableRule, ...]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = _rows(policy, rules)
    version = policy.catalog.server_version
    noun = "table" if len(rows) == 1 else "tables"
    console = Console(width=None if os.isatty(1) else 200, highlight=False)
    console.print(
        Text(
            f"database {policy.catalog.database} (PostgreSQL {version // 10000}.{version % 10000}): "
            f"{len(rows)} protected {noun}"
        )
    )
    if rows:
        table = Table("table", "column", "type", "mode", "by")
        for row in rows:
            table.add_row(*(Text(str(row[key])) for key in ("table", "column", "type", "mode", "rule")))
        console.print(table)
    for label, lacks in _unready(policy).items():
        console.print(
            Text(f'deleting from "{label}" is refused until "pgsoftproxy migrate" has made {lacks}')
        )
    for pattern, count in _globs(policy, rules, rows).items():
        console.print(Text(f'"{pattern}" protects {count} of them'))
