"""The rewriter: (sql, policy, context) -> plan. Pure, and never raises on a client's text.

Splits a text into statements, hands each to the rules its kind needs, has `verify` prove the result, and puts
the plans together. Each statement of a batch is planned in the context that those before it leave behind.
"""

import gc
from dataclasses import replace
from typing import NamedTuple

from pgsoftproxy.errors import Refusal, StatementRefused
from pgsoftproxy.model.context import Context
from pgsoftproxy.model.effects import (
    ChangesCatalog,
    Effect,
    Executes,
    Prepares,
    SetsVariable,
    Transaction,
    TransactionVerb,
)
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.rewrite.edits import EditList, apply_edits
from pgsoftproxy.rewrite.foresight import Foresight
from pgsoftproxy.rewrite.kinds import KINDS, MAKING, WRAPPERS
from pgsoftproxy.rewrite.plan import (
    REFUSAL_SQL,
    Forward,
    Kind,
    Outcome,
    Plan,
    Refused,
    Rewritten,
    StatementPlan,
)
from pgsoftproxy.rewrite.query import Query, rewrite_query
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rules.end_with_transaction import end_with_transaction
from pgsoftproxy.rewrite.rules.find_uncovering import find_uncovering, refuse_uncovered
from pgsoftproxy.rewrite.rules.follow_routines import follow_routines
from pgsoftproxy.rewrite.rules.follow_session import executed_name, follow_session
from pgsoftproxy.rewrite.rules.follow_settings import follow_set, follow_set_config, judge_held_settings
from pgsoftproxy.rewrite.rules.follow_temporary import follow_temporary, makes_temporary, name_temporary
from pgsoftproxy.rewrite.rules.judge_utility import CHANGING, INDEPENDENT, KEEPING, PASSING, judge_utility
from pgsoftproxy.rewrite.rules.note_hard import hard_tables, is_hard
from pgsoftproxy.rewrite.rules.note_restore import named_deletion
from pgsoftproxy.rewrite.rules.read_directives import read_directives
from pgsoftproxy.rewrite.rules.refuse_opaque import (
    NOTHING,
    Judgement,
    is_allowed_body,
    judge_body,
    judge_calls,
    judge_made,
    judge_views,
)
from pgsoftproxy.rewrite.rules.refuse_unlike import refuse_unlike
from pgsoftproxy.rewrite.rules.stand_in import StandIn, stand_in
from pgsoftproxy.rewrite.rules.withhold_values import withhold_values
from pgsoftproxy.rewrite.scope import Findings, find
from pgsoftproxy.rewrite.text import Text
from pgsoftproxy.rewrite.tokens import Uncertain
from pgsoftproxy.rewrite.touched import is_clear, touched
from pgsoftproxy.rewrite.tree import QUERIES, Node, parse, tagged, unwrapped
from pgsoftproxy.rewrite.verify import verify, verify_tree

OF_SCHEMA = "OBJECT_SCHEMA"
TAKING_BACK = frozenset({TransactionVerb.ROLLBACK, TransactionVerb.ROLLBACK_TO})


class _Outcome(NamedTuple):
    plan: StatementPlan
    edits: EditList


def rewrite(sql: str, policy: Policy, context: Context) -> Plan:
    """Plan one text: what to send upstream in its place, and what the session must know of each statement."""
    if not gc.isenabled():
        return _rewrite(sql, policy, context)
    # A tree is nothing but live objects, none in a cycle: to look through them while it grows takes a third of the time
    # for texts of some thousand bytes, and longer than all the rest for large ones.
    gc.disable()
    try:
        return _rewrite(sql, policy, context)
    finally:
        gc.enable()


def _rewrite(sql: str, policy: Policy, context: Context) -> Plan:
    try:
        statements = parse(sql)
    except StatementRefused as error:
        return _refused(Kind.INVALID, error.refusal)
    text = Text(sql, alone=len(statements) == 1)
    plans: list[StatementPlan] = []
    edits = EditList()
    cacheable = True
    private = context.values.private
    foresight = Foresight(policy, context.values.touched)
    for number, raw in enumerate(statements):
        surroundings = _surroundings(raw, foresight, context) if number else Surroundings(policy, context)
        outcome = _plan_statement(text, raw, surroundings)
        if context.values.private != private and outcome.plan.depends:
            outcome = _beyond_private(outcome)
        plans.append(outcome.plan)
        if outcome.plan.refusal is not None:
            if text.alone:
                return Refused(tuple(plans), outcome.plan.refusal)
            _replace_statement(text, raw, edits)
            continue
        if text.alone:
            edits = outcome.edits
        else:
            edits.update(outcome.edits)
        for effect in outcome.plan.effects:
            context = context.after(effect)
            _foresee(raw, effect, foresight, surroundings)
            if isinstance(effect, SetsVariable | Transaction) and number < len(statements) - 1:
                cacheable = (
                    False  # the rest depends on the whole stack of variables, not on their present values
                )
    try:
        return _assemble(text, plans, edits, cacheable)
    except StatementRefused as error:
        return _refused(plans[0].kind, error.refusal)


def _surroundings(raw: Node, foresight: Foresight, context: Context) -> Surroundings:
    tag, _ = tagged(raw["stmt"])
    policy = foresight.latest if tag in INDEPENDENT else foresight.policy
    return Surroundings(policy, context, foresight.names)


def _foresee(raw: Node, effect: Effect, foresight: Foresight, surroundings: Surroundings) -> None:
    if isinstance(effect, ChangesCatalog):
        foresight.follow(raw["stmt"], effect.touched, surroundings)
    elif isinstance(effect, Transaction) and effect.verb in TAKING_BACK:
        foresight.forget()


def _beyond_private(outcome: _Outcome) -> _Outcome:
    # The policy at hand knows what the transaction did that this very text has ended or taken back.
    refusal = Refusal(
        "0A000",
        "what relations there are is not known here: this text ends what the open transaction has changed",
        hint="Send what follows the end of the transaction, or ROLLBACK TO, as a text of its own.",
    )
    plan = StatementPlan(outcome.plan.kind, Outcome.REFUSED, refusal=outcome.plan.refusal or refusal)
    return _Outcome(plan, EditList())


def _refused(kind: Kind, refusal: Refusal) -> Refused:
    return Refused((StatementPlan(kind, Outcome.REFUSED, refusal=refusal),), refusal)


def _assemble(text: Text, plans: list[StatementPlan], edits: EditList, cacheable: bool) -> Plan:
    if not edits:
        return Forward(tuple(plans), cacheable)
    ordered = edits.edits(text.sql)
    return Rewritten(tuple(plans), text.proven or apply_edits(text.sql, ordered), ordered, cacheable)


def _replace_statement(text: Text, raw: Node, edits: EditList) -> None:
    first, last = text.span(raw)
    edits.replace(text.tokens.starts[first], text.tokens.ends[last], REFUSAL_SQL)


def _plan_statement(text: Text, raw: Node, surroundings: Surroundings) -> _Outcome:
    context = surroundings.context
    tag, statement = tagged(raw["stmt"])
    kind = KINDS.get(tag, Kind.DDL if tag in CHANGING else Kind.UTILITY)
    try:
        directives: tuple[SetsVariable, ...] = ()
        if text.has_directives:
            directives = read_directives(text.tokens, text.span(raw)[0], context)
            for effect in directives:
                context = context.after(effect)
            surroundings = replace(surroundings, context=context)
        outcome = _decide(text, raw, kind, surroundings)
        executed = executed_name(tag, statement)
        return outcome if executed is None else _executing(text, raw, outcome, (executed, directives))
    except StatementRefused as error:
        plan = StatementPlan(kind, Outcome.REFUSED, refusal=error.refusal)
    except Uncertain:
        hint = "Write it in a simpler form; the proxy sends nothing that it cannot prove safe."
        refusal = Refusal(
            "0A000", "statement names a protected table in a form that cannot be rewritten", hint
        )
        plan = StatementPlan(kind, Outcome.REFUSED, refusal=refusal)
    return _Outcome(plan, EditList())


class _Statement(NamedTuple):
    """One raw statement of a text with what was found in it; `temporary` names temporary relations as such."""

    text: Text
    raw: Node
    kind: Kind
    surroundings: Surroundings
    findings: Findings
    judged: Judgement
    effects: tuple[Effect, ...]
    temporary: EditList

    @property
    def query(self) -> Query:
        return Query(
            self.text.sql, self.raw["stmt"], self.findings, self.surroundings, self.kind, self.effects,
            edited=bool(self.temporary),
        )  # fmt: skip


def _decide(text: Text, raw: Node, kind: Kind, surroundings: Surroundings) -> _Outcome:
    tag, statement = tagged(raw["stmt"])
    context, policy = surroundings.context, surroundings.policy
    if tag not in INDEPENDENT:
        refuse_uncovered(surroundings)
    judge_held_settings(tag, statement, context)
    standing = stand_in(tag, statement, surroundings)
    if standing is not None:
        outcome = _plan_stand_in(text, raw, kind, standing)
        verify(text.sent(raw, outcome.edits), surroundings.about_to_be_sent())
        return outcome
    if tag == "VariableShowStmt":
        return _Outcome(StatementPlan(kind, depends=False), EditList())
    values = context.values
    names = policy.names.keys() | values.touched if values.stale and values.touched else policy.names
    findings = find(raw["stmt"], names)
    judged = NOTHING
    if (findings.calls or policy.catalog.row_routines) and policy.names:
        judged = judge_calls(findings, surroundings)
    if policy.calling and findings.references:
        judged += judge_views(tag, findings.references, surroundings)
    effects: list[Effect] = [*follow_session(tag, statement)]
    effects.extend(follow_set_config(raw["stmt"], findings.calls, context))
    effects.extend(follow_routines(tag, statement, findings, surroundings))
    if tag == "VariableSetStmt":
        effects.extend(follow_set(statement, context))
    effects.extend(follow_temporary(raw["stmt"], surroundings))
    judged += Judgement(end_with_transaction(raw["stmt"], effects, surroundings))
    temporary = EditList()
    if values.temporary:
        first = text.span(raw)[0]
        temporary = name_temporary(raw["stmt"], findings.references, surroundings, text.tokens, first)
    found = _Statement(text, raw, kind, surroundings, findings, judged, tuple(effects), temporary)
    has_body = "sql_body" in statement and not is_allowed_body(statement, surroundings)
    if tag in QUERIES or tag in WRAPPERS or has_body:
        return _decide_query(found)
    if tag not in PASSING and tag not in CHANGING:
        raise StatementRefused(f"statements of kind {tag} are not known to the proxy")
    return _decide_utility(found)


def _decide_query(found: _Statement) -> _Outcome:
    text, raw, surroundings = found.text, found.raw, found.surroundings
    rewritten = rewrite_query(found.query, lambda: text.tokens)
    plan, edits = rewritten.plan, rewritten.edits
    refuse_unlike(raw["stmt"], plan, surroundings)
    edits.update(found.temporary)
    effects = _query_effects(text, raw, plan, surroundings)
    if effects:
        plan = replace(plan, effects=(*plan.effects, *effects))
    if surroundings.values.stale and executed_name(*tagged(raw["stmt"])) is None:
        plan = replace(plan, clear=is_clear(found.findings, surroundings))
    plan = _told(plan, found.judged, found.findings)
    sent = surroundings.about_to_be_sent()
    if edits:
        verify(text.sent(raw, edits), sent)
    else:
        verify_tree(raw["stmt"], sent)
    return _Outcome(plan, edits)


def _decide_utility(found: _Statement) -> _Outcome:
    surroundings, judged, effects = found.surroundings, found.judged, found.effects
    tag, statement = tagged(found.raw["stmt"])
    if tag in {"DoStmt", "CreateFunctionStmt"}:
        judged += judge_body(tag, statement, found.findings, surroundings)
    else:
        inside = rewrite_query(found.query, None)
        judged += Judgement(inside.plan.warnings) + judge_made(tag, statement, surroundings)
    judged += judge_utility(tag, statement, surroundings)
    if tag in CHANGING and not makes_temporary(found.raw["stmt"], surroundings):
        uncovers = find_uncovering(tag, statement, surroundings)
        of_schema = OF_SCHEMA in (statement.get("objtype"), statement.get("objectType"))
        shapes = tag not in KEEPING or of_schema or bool(statement.get("unique"))
        effects = (*effects, ChangesCatalog(shapes, uncovers, touched(found.raw["stmt"], surroundings)))
    translations = withhold_values(tag, statement, surroundings)
    hard = is_hard(found.raw["stmt"], (), surroundings)
    plan = StatementPlan(
        found.kind,
        found.query.outcome(edited=False),
        effects=effects,
        translations=translations,
        hard=hard,
        removed=hard_tables(found.raw["stmt"], (), surroundings) if hard else (),
        depends=tag not in INDEPENDENT,
    )
    return _Outcome(_told(plan, judged, found.findings), found.temporary)


def _executing(
    text: Text, raw: Node, outcome: _Outcome, executed: tuple[str, tuple[SetsVariable, ...]]
) -> _Outcome:
    name, directives = executed
    first, last = text.span(raw)
    effect = Executes(name, text.tokens.starts[first], text.tokens.ends[last], directives)
    return outcome._replace(plan=replace(outcome.plan, effects=(effect, *outcome.plan.effects)))


def _told(plan: StatementPlan, judged: Judgement, findings: Findings) -> StatementPlan:
    if judged == NOTHING:
        return plan
    observes = judged.observed and plan.outcome is Outcome.FORWARDED
    return replace(
        plan,
        outcome=Outcome.OBSERVED if observes else plan.outcome,
        warnings=tuple(dict.fromkeys((*plan.warnings, *judged.warnings))),
        observed=tuple(dict.fromkeys((*plan.observed, *judged.observed))),
        bypass=plan.bypass or judged.bypass,
        restores=named_deletion(findings.calls) if judged.restores else None,
    )


def _query_effects(text: Text, raw: Node, plan: StatementPlan, surroundings: Surroundings) -> list[Effect]:
    tag, statement = tagged(raw["stmt"])
    if tag == "PrepareStmt":
        tokens = text.tokens
        first, last = text.span(raw)
        start = tokens.ends[first - 1] if first else 0  # directives in comments are a part of it
        tail = tokens.ends[tokens.identifier_end(first + 1)] - start
        return [Prepares(statement["name"], text.sql[start : tokens.ends[last]], tail, plan.deletes)]
    tag, statement = unwrapped(raw["stmt"])
    if tag in MAKING or (tag == "SelectStmt" and "intoClause" in statement):
        if makes_temporary(raw["stmt"], surroundings):
            return []
        return [ChangesCatalog(touched=touched({tag: statement}, surroundings))]
    return []


def _plan_stand_in(text: Text, raw: Node, kind: Kind, standing: StandIn) -> _Outcome:
    first, last = text.span(raw)
    edits = EditList()
    edits.replace(text.tokens.starts[first], text.tokens.ends[last], standing.sql)
    plan = StatementPlan(
        kind, Outcome.REWRITTEN, retag=standing.retag, guarded=standing.tables, deletes=standing.deletes,
        depends=bool(standing.tables),
    )  # fmt: skip
    return _Outcome(plan, edits)
