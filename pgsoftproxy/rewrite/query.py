"""Rewrite the queries of one statement: dispatch each reference of interest to its rule, or refuse it.

First in the cheap form (predicates in WHERE), then, where a clause's end is not sure or the checker is not
convinced, with a zero-column join for every read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import VIEWS, Relation
from pgsoftproxy.model.context import SearchPath, Visibility, VisibilityMode
from pgsoftproxy.model.effects import SetsVariable, Variable
from pgsoftproxy.model.policy import SETTINGS, STATISTICS, Mode, Protection
from pgsoftproxy.rewrite.edits import EditList, apply_edits
from pgsoftproxy.rewrite.plan import Kind, Outcome, Retag, StatementPlan
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rules.copy_out import copy_out, refuse_copy_to_server
from pgsoftproxy.rewrite.rules.expand_view import expand_view
from pgsoftproxy.rewrite.rules.guard_update import guard_update
from pgsoftproxy.rewrite.rules.guard_upsert import guard_upsert
from pgsoftproxy.rewrite.rules.hide_deleted_rows import hide_deleted_rows
from pgsoftproxy.rewrite.rules.soften_delete import soften_delete
from pgsoftproxy.rewrite.rules.soften_merge import soften_merge
from pgsoftproxy.rewrite.scope import Findings, Reference, Use, find
from pgsoftproxy.rewrite.tokens import Tokens, Uncertain
from pgsoftproxy.rewrite.tree import Node, parse, tagged, unwrapped
from pgsoftproxy.rewrite.work import Work

DEEPEST_VIEW = 32
"""Views in views beyond this are refused; PostgreSQL itself has no limit but its stack."""


@dataclass(frozen=True, slots=True)
class Query:
    """One statement to rewrite: the whole text, the statement's tree, what `scope` found in it."""

    sql: str
    statement: Node
    findings: Findings
    surroundings: Surroundings


@dataclass(frozen=True, slots=True)
class Result:
    """The edits of a statement and the plan so far (kind and effects are the caller's)."""

    plan: StatementPlan
    edits: EditList = field(default_factory=EditList)


def rewrite_query(query: Query, tokens: Callable[[], Tokens] | None, depth: int = 0) -> Result:
    """Rewrite a statement's reads and writes of protected tables.

    `tokens` None: a kind of statement in which nothing can be rewritten, so any read or write of a protected
    table is refused. `depth` counts the views around this query. Raises StatementRefused, or Uncertain where
    no form of rewriting is sure.
    """
    if tokens is None:
        for reference in query.findings.references:
            _refuse_inside_utility(query, reference)
        return Result(StatementPlan(Kind.UTILITY))
    if not query.findings.references:
        return Result(StatementPlan(Kind.UTILITY))
    for joins_only in (False, True):
        work = Work(tokens(), query.surroundings, query.findings, EditList(), joins_only, depth)
        try:
            _apply(query, work)
            work.finish()
        except Uncertain:
            continue
        return Result(_plan(query, work), work.edits)
    raise Uncertain


def _plan(query: Query, work: Work) -> StatementPlan:
    tag, _ = tagged(query.statement)
    softened = work.deletes is not None
    return StatementPlan(
        Kind.UTILITY,
        Outcome.OBSERVED if work.observed else Outcome.FORWARDED,
        translations=tuple(work.translations),
        retag=Retag("UPDATE", "DELETE") if softened and tag == "DeleteStmt" else None,
        guarded=tuple(work.guarded),
        observed=tuple(work.observed),
        deletes=work.deletes,
        bypass=work.bypass,
        names_column=query.findings.names_any(work.columns),
    )


def _apply(query: Query, work: Work) -> None:
    for reference in sorted(query.findings.references, key=lambda found: found.location):
        relation = query.surroundings.relation(reference.node)
        if relation is None:
            _judge_system(query, reference)
            continue
        if relation.oid in query.surroundings.policy.broken and reference.use is Use.NAMED:
            continue
        protection = query.surroundings.protection(relation)
        if protection is None:
            if _is_read_of_view(query, reference, relation):
                _judge_copy(query, relation.label)
                if _is_materialized(query):
                    raise _not_covered("CREATE MATERIALIZED VIEW over", relation.label)
                expand_view(work, reference, relation, lambda definition: _rewritten(query, work, definition))
            else:
                _judge_unprotected(query, reference, relation)
            continue
        work.columns.add(protection.column)
        if protection.mode is Mode.OBSERVE:
            work.observed.append(protection.label)
        else:
            _apply_rule(query, work, reference, protection)


def _judge_system(query: Query, reference: Reference) -> None:
    node = reference.node
    if node.get("schemaname", "pg_catalog") != "pg_catalog":
        return
    if node["relname"] == SETTINGS and reference.use not in {Use.READ, Use.NAMED}:
        raise StatementRefused("settings cannot be changed through pg_settings", hint="Use SET.")
    if node["relname"] not in STATISTICS:
        return
    if query.surroundings.values.visibility != Visibility(VisibilityMode.ALL):
        raise StatementRefused(
            f'"{node["relname"]}" shows values of deleted rows of protected tables',
            hint="A role that may see all rows may read it after SET pgsoftproxy.visibility = 'all'.",
        )


def _is_read_of_view(query: Query, reference: Reference, relation: Relation) -> bool:
    return (
        reference.use is Use.READ
        and relation.kind in VIEWS
        and relation.oid in query.surroundings.policy.exposing
    )


def _rewritten(query: Query, work: Work, definition: str) -> str:
    """Return a view's definition with the reads in it guarded; its names are all qualified."""
    if work.depth >= DEEPEST_VIEW:
        raise StatementRefused("views over protected tables are nested too deep", sqlstate="54001")
    context = query.surroundings.context.after(SetsVariable(Variable.SEARCH_PATH, SearchPath(()), local=True))
    surroundings = Surroundings(query.surroundings.policy, context)
    (statement,) = _parsed(definition)
    inner = Query(
        definition, statement["stmt"], find(statement["stmt"], surroundings.policy.names), surroundings
    )
    result = rewrite_query(inner, lambda: Tokens(definition), work.depth + 1)
    work.guarded.extend(label for label in result.plan.guarded if label not in work.guarded)
    work.bypass = result.plan.bypass or work.bypass
    return apply_edits(definition, result.edits.edits(definition))


def _parsed(definition: str) -> list[Node]:
    try:
        return parse(definition)
    except StatementRefused as error:
        raise StatementRefused(f"the definition of a view cannot be read: {error.message}") from None


def _apply_rule(query: Query, work: Work, reference: Reference, protection: Protection) -> None:
    match reference.use:
        case Use.READ:
            _judge_copy(query, protection.label)
            if _is_materialized(query):
                raise _not_covered("CREATE MATERIALIZED VIEW over", protection.label)
            hide_deleted_rows(work, reference, protection)
        case Use.INSERT:
            guard_upsert(work, reference, protection)
        case Use.UPDATE:
            guard_update(work, reference, protection)
        case Use.DELETE:
            soften_delete(work, reference, protection)
            if not query.surroundings.hard and _counts_rows_of(query, reference):
                work.deletes = protection.label
        case Use.MERGE:
            soften_merge(work, reference, protection)
        case Use.NAMED:
            tag, statement = tagged(query.statement)
            if tag == "CopyStmt" and reference.node is statement.get("relation"):
                _judge_copy(query, protection.label)
                if not statement.get("is_from"):
                    copy_out(work, reference, protection, statement)
        case _:
            assert_never(reference.use)


def _counts_rows_of(query: Query, reference: Reference) -> bool:
    # The DELETE whose count the command tag shows: the statement itself, or the one that it prepares.
    return unwrapped(query.statement)[1] is reference.owner


def _is_materialized(query: Query) -> bool:
    tag, statement = unwrapped(query.statement)
    return tag == "CreateTableAsStmt" and statement.get("objtype") == "OBJECT_MATVIEW"


def _judge_copy(query: Query, label: str) -> None:
    tag, statement = tagged(query.statement)
    if tag == "CopyStmt":
        refuse_copy_to_server(statement, label)


def _judge_unprotected(query: Query, reference: Reference, relation: Relation) -> None:
    """Refuse what would uncover or physically remove rows of a protected table through another relation."""
    policy = query.surroundings.policy
    label = policy.exposing.get(relation.oid)
    if label is not None and not _is_harmless(query, reference, relation):
        kind = "view" if relation.definition is not None else "table"
        raise StatementRefused(
            f'{kind} "{relation.label}" shows rows of protected table "{label}"',
            hint=f'Query "{label}" itself, or protect "{relation.label}" too.'
            if kind == "table"
            else f'Query "{label}" itself.',
        )
    label = policy.destroying.get(relation.oid)
    removes = reference.use in {Use.DELETE, Use.MERGE}
    if label is not None and removes and not query.surroundings.hard:
        raise StatementRefused(
            f'DELETE on "{relation.label}" would physically remove rows of protected table "{label}" '
            "by ON DELETE CASCADE",
            hint=f'Protect "{relation.label}" too, or let a role with hard_delete = true delete after '
            "SET pgsoftproxy.delete = 'hard'.",
        )


def _is_harmless(query: Query, reference: Reference, relation: Relation) -> bool:
    if relation.definition is not None:
        return reference.use is Use.NAMED and tagged(query.statement)[0] != "CopyStmt"
    if reference.use is Use.INSERT:
        return "onConflictClause" not in reference.owner
    if reference.use is Use.NAMED:
        # COPY of a parent sends or takes its own rows only; a partitioned one cannot be copied out.
        return True
    return reference.only


def _refuse_inside_utility(query: Query, reference: Reference) -> None:
    if reference.use is Use.NAMED:
        return
    surroundings = query.surroundings
    relation = surroundings.relation(reference.node)
    if relation is None:
        _judge_system(query, reference)
        return
    protection = surroundings.protection(relation)
    if protection is not None and protection.mode is Mode.OBSERVE:
        return
    if protection is None and relation.oid not in surroundings.policy.exposing:
        return
    tag, _ = tagged(query.statement)
    label = protection.label if protection is not None else relation.label
    raise _not_covered(f"{tag.removesuffix('Stmt')} over", label)


def _not_covered(what: str, label: str) -> StatementRefused:
    return StatementRefused(
        f'{what} protected table "{label}" is not supported by the proxy',
        hint="Run it on a direct connection, where deleted rows are visible.",
    )
