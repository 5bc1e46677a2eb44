"""Rewrite the queries of one statement: dispatch each reference of interest to its rule, or refuse it.

First in the cheap form (predicates in WHERE), then, where a clause's end is not sure or the checker is not
convinced, with a zero-column join for every read.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, assert_never

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import VIEWS, Relation, RelationKind
from pgsoftproxy.model.context import SearchPath
from pgsoftproxy.model.effects import Effect, SetsVariable, Variable
from pgsoftproxy.model.policy import Mode, Protection
from pgsoftproxy.rewrite.edits import EditList, apply_edits
from pgsoftproxy.rewrite.plan import Kind, Outcome, Retag, StatementPlan
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rules.copy_out import copy_out, judge_copy
from pgsoftproxy.rewrite.rules.expand_view import expand_view, judge_view
from pgsoftproxy.rewrite.rules.guard_update import guard_update
from pgsoftproxy.rewrite.rules.guard_upsert import guard_upsert
from pgsoftproxy.rewrite.rules.hide_deleted_rows import hide_deleted_rows
from pgsoftproxy.rewrite.rules.judge_unprotected import judge_inside_utility, judge_system, judge_unprotected
from pgsoftproxy.rewrite.rules.note_by_hand import note_by_hand
from pgsoftproxy.rewrite.rules.note_hard import hard_tables, is_hard
from pgsoftproxy.rewrite.rules.soften_delete import soften_delete
from pgsoftproxy.rewrite.rules.soften_merge import soften_merge
from pgsoftproxy.rewrite.scope import Findings, Reference, Use, find
from pgsoftproxy.rewrite.tokens import Tokens, Uncertain
from pgsoftproxy.rewrite.tree import Node, parse, tagged, unwrapped
from pgsoftproxy.rewrite.work import Work

DEEPEST_VIEW = 32
"""Views in views beyond this are refused; PostgreSQL itself has no limit but its stack."""


class Query(NamedTuple):
    """One statement to rewrite: the whole text, the statement's tree, what `scope` found in it.

    `kind` and `effects` go into its plan. `edited`: the text is changed whatever becomes of the query.
    """

    sql: str
    statement: Node
    findings: Findings
    surroundings: Surroundings
    kind: Kind = Kind.UTILITY
    effects: tuple[Effect, ...] = ()
    edited: bool = False

    def outcome(self, *, edited: bool) -> Outcome:
        """Return what becomes of the statement if its reads or writes were edited or not."""
        return Outcome.REWRITTEN if edited or self.edited else Outcome.FORWARDED


class Result(NamedTuple):
    """The edits of a statement and its plan."""

    plan: StatementPlan
    edits: EditList


def rewrite_query(query: Query, tokens: Callable[[], Tokens] | None, depth: int = 0) -> Result:
    """Rewrite a statement's reads and writes of protected tables.

    `tokens` None: a kind of statement in which nothing can be rewritten, so any read or write of a protected
    table is refused. `depth` counts the views around this query. Raises StatementRefused, or Uncertain where
    no form of rewriting is sure.
    """
    if tokens is None:
        tag, surroundings = tagged(query.statement)[0], query.surroundings
        found = (judge_inside_utility(tag, one, surroundings) for one in query.findings.references)
        warnings = tuple(warned for some in found for warned in some)
        return Result(StatementPlan(Kind.UTILITY, warnings=warnings), EditList())
    if not query.findings.references:
        return Result(StatementPlan(query.kind, query.outcome(edited=False), query.effects), EditList())
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
    outcome = query.outcome(edited=bool(work.edits))
    references = query.findings.references
    hard = is_hard(query.statement, references, query.surroundings)
    return StatementPlan(
        query.kind,
        Outcome.OBSERVED if work.observed and outcome is Outcome.FORWARDED else outcome,
        effects=query.effects,
        translations=tuple(work.translations),
        retag=Retag("UPDATE", "DELETE") if softened and tag == "DeleteStmt" else None,
        guarded=tuple(work.guarded),
        observed=tuple(work.observed),
        deletes=work.deletes,
        bypass=work.bypass,
        names_column=bool(work.by_hand) or query.findings.names_any(work.columns),
        by_hand=tuple(work.by_hand),
        warnings=tuple(work.warnings),
        hard=hard,
        removed=hard_tables(query.statement, references, query.surroundings) if hard else (),
    )


def _apply(query: Query, work: Work) -> None:
    for reference in sorted(query.findings.references, key=lambda found: found.location):
        relation = query.surroundings.relation(reference.node)
        if not _only_adds(query, reference):
            query.surroundings.require_read(reference.node["relname"], relation)
        if relation is None:
            work.warnings.extend(judge_system(reference, query.surroundings))
            continue
        if relation.oid in query.surroundings.policy.broken and reference.use is Use.NAMED:
            continue
        protection = query.surroundings.protection(relation)
        if protection is None:
            if _is_read_of_view(query, reference, relation):
                _read_view(query, work, reference, relation)
            else:
                judge_unprotected(tagged(query.statement)[0], reference, relation, query.surroundings)
            continue
        work.columns.add(protection.column)
        note_by_hand(work, reference, protection)
        if protection.mode is Mode.OBSERVE:
            work.observed.append(protection.label)
        else:
            _apply_rule(query, work, reference, protection)


def _only_adds(query: Query, reference: Reference) -> bool:
    """Tell whether a reference neither reads, changes nor removes rows that are there."""
    if reference.use is Use.INSERT:
        return "onConflictClause" not in reference.owner
    tag, statement = tagged(query.statement)
    return reference.use is Use.NAMED and (tag != "CopyStmt" or bool(statement.get("is_from")))


def _is_read_of_view(query: Query, reference: Reference, relation: Relation) -> bool:
    if relation.kind not in VIEWS or relation.oid not in query.surroundings.policy.exposing:
        return False
    tag, statement = tagged(query.statement)
    copied = tag == "CopyStmt" and reference.use is Use.NAMED and not statement.get("is_from")
    return reference.use is Use.READ or (copied and relation.kind is RelationKind.MATVIEW)


def _read_view(query: Query, work: Work, reference: Reference, relation: Relation) -> None:
    work.warnings.extend(judge_copy(query.statement, relation.label, query.surroundings))
    judged = judge_view(relation, query.surroundings)
    work.warnings.extend(judged.warnings)
    work.bypass = judged.bypass or work.bypass
    if judged.expanded:
        expand_view(work, reference, relation, lambda definition: _rewritten(query, work, definition))


def _rewritten(query: Query, work: Work, definition: str) -> str:
    """Return a view's definition with the reads in it guarded; its names are all qualified."""
    if work.depth >= DEEPEST_VIEW:
        raise StatementRefused("views over protected tables are nested too deep", sqlstate="54001")
    context = query.surroundings.context.after(SetsVariable(Variable.SEARCH_PATH, SearchPath(()), local=True))
    surroundings = replace(query.surroundings, context=context)
    (statement,) = _parsed(definition)
    inner = Query(
        definition, statement["stmt"], find(statement["stmt"], surroundings.policy.names), surroundings
    )
    result = rewrite_query(inner, lambda: Tokens(definition), work.depth + 1)
    work.guarded.extend(label for label in result.plan.guarded if label not in work.guarded)
    work.bypass = result.plan.bypass or work.bypass
    work.warnings.extend(result.plan.warnings)
    return apply_edits(definition, result.edits.edits(definition))


def _parsed(definition: str) -> list[Node]:
    try:
        return parse(definition)
    except StatementRefused as error:
        raise StatementRefused(f"the definition of a view cannot be read: {error.message}") from None


def _apply_rule(query: Query, work: Work, reference: Reference, protection: Protection) -> None:
    match reference.use:
        case Use.READ:
            work.warnings.extend(judge_copy(query.statement, protection.label, query.surroundings))
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
                work.warnings.extend(judge_copy(query.statement, protection.label, query.surroundings))
                if not statement.get("is_from"):
                    copy_out(work, reference, protection, statement)
        case _:
            assert_never(reference.use)


def _counts_rows_of(query: Query, reference: Reference) -> bool:
    # The DELETE whose count the command tag shows: the statement itself, or the one that it prepares.
    return unwrapped(query.statement)[1] is reference.owner
