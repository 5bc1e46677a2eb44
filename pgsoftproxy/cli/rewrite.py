"""`rewrite`: plan one SQL text as a session of some role would have it planned, and print the result."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, assert_never

import typer

from pgsoftproxy.cli.exits import DONE, FAILED
from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.db.readiness import with_links
from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.context import Context, SearchPath, Values, Variables, Visibility
from pgsoftproxy.model.parsing import parse_visibility
from pgsoftproxy.model.policy import Policy, compile_policy
from pgsoftproxy.rewrite.plan import Forward, Outcome, Plan, Refused, Rewritten, StatementPlan
from pgsoftproxy.rewrite.rewriter import rewrite as plan_text
from pgsoftproxy.settings import Settings, load


@dataclass(frozen=True, slots=True)
class Request:
    """A text, and the session it stands for."""

    sql: str
    database: str | None
    user: str
    visibility: str


def rewrite(config: Path, overrides: Sequence[str], request: Request, *, as_json: bool) -> int:
    """Print the plan of a text and return the exit code: 1 if any of its statements is refused.

    Raises ConfigError and UpstreamUnavailable.
    """
    policy = asyncio.run(_policy(load(config, os.environ, overrides), request.database))
    plan = _plan(policy, request)
    if as_json:
        typer.echo(json.dumps(_as_json(plan, request.sql), indent=2, ensure_ascii=False))
    else:
        _print(plan, request.sql)
    return FAILED if _refusals(plan) else DONE


async def _policy(settings: Settings, database: str | None) -> Policy:
    catalog = await load_catalog(settings.control.dsn, database)
    policy, problems = compile_policy(settings.rules(), settings.grants(), catalog)
    policy, more = with_links(policy, settings.key_rules())
    for problem in (*problems, *more):
        typer.echo(f"warning: {problem}", err=True)
    return replace(policy, routines=settings.routine_rules(), statements=settings.statement_rules())


def _plan(policy: Policy, request: Request) -> Plan:
    grant = policy.grant(request.user)
    try:
        visibility = parse_visibility(request.visibility)
    except ValueError as error:
        return _refused(Refusal("22023", str(error)))
    if visibility.mode not in grant.visibility:
        return _refused(_not_granted(visibility, request.user))
    values = Values(request.user, SearchPath(policy.catalog.path_of(request.user)), visibility)
    return plan_text(request.sql, policy, Context(Variables.at_start(values), request.user, grant))


def _refused(refusal: Refusal) -> Refused:
    return Refused((), refusal)


def _not_granted(visibility: Visibility, user: str) -> Refusal:
    mode = visibility.mode.value
    return Refusal(
        "42501",
        f'role "{user}" may not set visibility "{mode}"' if user else f'visibility "{mode}" needs a role',
        hint=f'Grant it: [roles."{user}"] visibility = ["{mode}"].' if user else "Name one with --user.",
    )


def _refusals(plan: Plan) -> tuple[Refusal, ...]:
    if isinstance(plan, Refused):
        return (plan.refusal,)
    return tuple(statement.refusal for statement in plan.statements if statement.refusal is not None)


def _sent(plan: Plan, sql: str) -> str | None:
    match plan:
        case Forward():
            return sql
        case Rewritten():
            return plan.sql
        case Refused():
            return None
        case _:
            assert_never(plan)


def _outcome(plan: Plan) -> Outcome:
    match plan:
        case Forward():
            seen = any(statement.outcome is Outcome.OBSERVED for statement in plan.statements)
            return Outcome.OBSERVED if seen else Outcome.FORWARDED
        case Rewritten():
            return Outcome.REWRITTEN
        case Refused():
            return Outcome.REFUSED
        case _:
            assert_never(plan)


def _as_json(plan: Plan, sql: str) -> dict[str, Any]:
    refusals = _refusals(plan)
    return {
        "outcome": _outcome(plan).value,
        "sql": _sent(plan, sql),
        "refusal": _refusal_json(refusals[0]) if refusals else None,
        "statements": [_statement_json(statement) for statement in plan.statements],
    }


def _statement_json(statement: StatementPlan) -> dict[str, Any]:
    retag = statement.retag
    return {
        "kind": statement.kind.value,
        "outcome": statement.outcome.value,
        "guarded": list(statement.guarded),
        "observed": list(statement.observed),
        "deletes": statement.deletes,
        "visibility": statement.bypass.value if statement.bypass is not None else None,
        "tag": {"sent": retag.sent, "shown": retag.shown} if retag is not None else None,
        "refusal": _refusal_json(statement.refusal) if statement.refusal is not None else None,
    }


def _refusal_json(refusal: Refusal) -> dict[str, Any]:
    return {
        "sqlstate": refusal.sqlstate,
        "message": refusal.message,
        "detail": refusal.detail,
        "hint": refusal.hint,
        "position": refusal.position,
    }


def _print(plan: Plan, sql: str) -> None:
    sent = _sent(plan, sql)
    if sent is not None and sys.stdout.isatty():
        from rich.console import Console
        from rich.syntax import Syntax

        Console().print(Syntax(sent, "postgresql", background_color="default", word_wrap=True))
    elif sent is not None:
        typer.echo(sent)
    for refusal in _refusals(plan):
        typer.echo(f"ERROR:  {refusal.sqlstate}: {refusal.message}", err=True)
        for label, text in (("DETAIL", refusal.detail), ("HINT", refusal.hint)):
            if text is not None:
                typer.echo(f"{label}:  {text}", err=True)
