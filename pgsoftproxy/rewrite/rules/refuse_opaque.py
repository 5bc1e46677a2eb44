"""Refuse, or warn of, work that the rewriter cannot see: routines that are called, bodies, text run as SQL."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.model.context import EVERYTHING, VisibilityMode
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.model.reach import STATISTICS
from pgsoftproxy.model.routines import OPAQUE, RESTORE, Action, Finding, Routine, RoutineClass
from pgsoftproxy.rewrite.bodies import definition_of, read_body
from pgsoftproxy.rewrite.plan import Warned
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.routines import body_findings, findings_of, is_allowed, view_findings
from pgsoftproxy.rewrite.rules.follow_settings import require_disarming
from pgsoftproxy.rewrite.scope import Findings, Reference, Use
from pgsoftproxy.rewrite.tree import Node, strings, walk

KEPT = frozenset({"set_config", "standard_conforming_strings", "client_encoding", "session_replication_role"})
"""Words by which a block could change a setting that must stay as it is."""
MAKERS = frozenset(
    "DefineStmt CreateCastStmt CreateOpClassStmt AlterOpFamilyStmt CreateTransformStmt CreateRangeStmt".split()
)
"""What makes things that call routines without naming them."""
_WHY = {
    RoutineClass.EXISTING: 'it names "{}", which is protected',
    RoutineClass.BODIES: 'it names "{}", which is protected',
    RoutineClass.OPAQUE: "the proxy cannot see what it reads: {}",
    RoutineClass.RESTORING: "it may call {}",
    RoutineClass.DISARMING: "it may change {}",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be told of a statement that may pass: see the fields of the same names in StatementPlan."""

    warnings: tuple[Warned, ...] = ()
    observed: tuple[str, ...] = ()
    bypass: VisibilityMode | None = None
    restores: bool = False

    def __add__(self, other: "Judgement") -> "Judgement":
        """Return both."""
        warnings, observed = self.warnings + other.warnings, self.observed + other.observed
        return Judgement(warnings, observed, self.bypass or other.bypass, self.restores or other.restores)


NOTHING = Judgement()


def judge_calls(found: Findings, surroundings: Surroundings) -> Judgement:
    """Judge the routines that a statement calls. Raises StatementRefused.

    A role that sees every row may call them all: they show it nothing that it may not see.
    """
    policy = surroundings.policy
    known, judgement = policy.catalog.routines_by_name, NOTHING
    for call in found.calls:
        names = strings(call["funcname"])
        if names[-1] in OPAQUE or (names[-1] == "ts_rewrite" and len(call.get("args", [])) == 2):
            judgement += _judge_text(names, surroundings)
        if names[-1] in known:
            judgement += _judge_routines(names, known[names[-1]], surroundings)
    if policy.catalog.row_routines:
        for name in of_rows(found):
            if name in policy.catalog.row_routines:
                judgement += _judge_routines([name], known[name], surroundings)
    return judgement


def judge_views(tag: str, references: Iterable[Reference], surroundings: Surroundings) -> Judgement:
    """Judge the routines that the views of a statement call. Raises StatementRefused."""
    policy, judgement = surroundings.policy, NOTHING
    for reference in references:
        relation = surroundings.relation(reference.node)
        view = policy.calling.get(relation.oid) if relation is not None else None
        if reference.use is Use.NAMED and tag != "CopyStmt":
            continue  # dropped, granted, refreshed: not read by this session
        if relation is None or view is None or (relation.schema, relation.name) in policy.routines.allow:
            continue
        judgement += _judge_shown(f'view "{relation.label}"', view_findings(view, policy), surroundings)
    return judgement


def judge_body(tag: str, statement: Node, found: Findings, surroundings: Surroundings) -> Judgement:
    """Judge the body of a DO block or of a routine that is created. Raises StatementRefused."""
    policy = surroundings.policy
    if tag == "CreateFunctionStmt":
        if is_allowed_body(statement, surroundings):
            return NOTHING
        what = f'"{".".join(strings(statement["funcname"]))}"'
    else:
        what = "this block"
        _judge_settings(statement, surroundings)
    findings = [finding for item in found.references for finding in _named_in_body(item, surroundings)]
    for language, text in definition_of(statement):
        findings.extend(body_findings(text, language, policy))
    return _judge(what, findings, surroundings)


def judge_made(tag: str, statement: Node, surroundings: Surroundings) -> Judgement:
    """Judge the routines that an operator, cast, aggregate or the like would call unnamed. Raises StatementRefused."""
    if tag not in MAKERS:
        return NOTHING
    named = [strings(node["objname"]) for node in walk(statement) if "objname" in node]
    parts = (*statement.get("definition", ()), *statement.get("params", ()))
    named += [strings(node["names"]) for part in parts for node in walk(part) if "names" in node]
    known, judgement = surroundings.policy.catalog.routines_by_name, NOTHING
    for names in named:
        if names[-1] in known:
            judgement += _judge_routines(names, known[names[-1]], surroundings)
    return judgement


def is_allowed_body(statement: Node, surroundings: Surroundings) -> bool:
    """Tell whether a CREATE FUNCTION is of a routine that the configuration allows by name, as it stands."""
    return _allowed_by_name(strings(statement["funcname"]), surroundings)


def _judge_settings(statement: Node, surroundings: Surroundings) -> None:
    """Refuse a DO block that may change what the meaning of later statements depends on."""
    for language, text in definition_of(statement):
        if text is None:
            continue
        body = read_body(text, language)
        named = sorted(variable.value for variable in body.changes)
        named += sorted({word.name.lower() for word in body.words} & KEPT)
        if named and surroundings.policy.hides:
            raise StatementRefused(
                f'this block may change "{named[0]}" where the proxy cannot follow it',
                hint="Send the SET as a statement of its own.",
            )


def _judge_text(names: list[str], surroundings: Surroundings) -> Judgement:
    if _allowed_by_name(names, surroundings) or not surroundings.policy.hides:
        return NOTHING
    if surroundings.values.visibility == EVERYTHING:
        return Judgement(bypass=VisibilityMode.ALL)
    finding = Finding(RoutineClass.OPAQUE, "it runs SQL from text, or reads a table by name or file")
    return _judge(f'"{names[-1]}"', (finding,), surroundings)


def _judge_routines(names: list[str], routines: Iterable[Routine], surroundings: Surroundings) -> Judgement:
    judgement = NOTHING
    for routine in routines:
        if not may_mean(names, routine, surroundings) or is_allowed(routine, surroundings.policy):
            continue
        judgement += _judge_shown(
            f'"{routine.label}"', findings_of(routine, surroundings.policy), surroundings
        )
    return judgement


def _judge_shown(what: str, findings: tuple[Finding, ...], surroundings: Surroundings) -> Judgement:
    """Judge what is called; to a role that sees every row it can show nothing new."""
    granted = tuple(finding for finding in findings if finding.kind.is_granted)
    if surroundings.values.visibility != EVERYTHING or findings == granted:
        return _judge(what, findings, surroundings)
    return _judge(what, granted, surroundings) + Judgement(bypass=VisibilityMode.ALL)


def _require_grants(what: str, kinds: set[RoutineClass], surroundings: Surroundings) -> None:
    """Refuse what takes a grant that the role does not have."""
    if RoutineClass.RESTORING in kinds:
        _require_restore(what, surroundings)
    if RoutineClass.DISARMING in kinds and surroundings.policy.hides:
        require_disarming(surroundings.context, f"{what} runs inside the server; there ")


def _require_restore(what: str, surroundings: Surroundings) -> None:
    """Refuse a call of the function that restores to a role that may not, and while it does not know all tables."""
    role, policy = surroundings.context.role, surroundings.policy
    if not policy.hides:
        return
    if not surroundings.may_restore:
        calls = "" if what == f'"{RESTORE}"' else f'; {what} may call "{RESTORE}"'
        raise StatementRefused(
            f'permission denied: role "{role}" may not restore{calls}',
            hint=f"Grant it in the proxy's configuration: [roles.{role}] restore = true",
            sqlstate="42501",
        )
    if not policy.restores:
        raise StatementRefused(
            f'"{RESTORE}" is not the one that the present tables and configuration need',
            hint="Run pgsoftproxy migrate.",
        )


def _judge(what: str, findings: Iterable[Finding], surroundings: Surroundings) -> Judgement:
    every = tuple(findings)
    kinds = {finding.kind for finding in every}
    _require_grants(what, kinds, surroundings)
    judgement = Judgement(restores=RoutineClass.RESTORING in kinds and surroundings.policy.hides)
    for finding in every:
        if finding.observed:
            judgement += Judgement(observed=(finding.what,))
            continue
        action = surroundings.policy.routines.action(finding.kind)
        if not surroundings.policy.hides or action is Action.ALLOW:
            continue
        if action is Action.REFUSE:
            raise _refusal(what, finding)
        judgement += Judgement(warnings=(Warned(finding.kind.value, _message(what, finding)),))
    return judgement


def _message(what: str, finding: Finding) -> str:
    steps = [f'"{label}"' for label in finding.chain if f'"{label}"' != what]
    calls = "".join(
        f", which calls {step}" if number else f" and calls {step}" for number, step in enumerate(steps)
    )
    return f"{what} runs inside the server, past the proxy{calls}; {_WHY[finding.kind].format(finding.what)}"


def _refusal(what: str, finding: Finding) -> StatementRefused:
    if finding.kind is RoutineClass.BODIES or what == "this block":
        hint = "Send its statements one by one."
    else:
        hint = "Send the query itself instead."
    named = finding.chain[0] if finding.chain else what.strip('"')
    if "." in named:
        hint += f' If "{named}" deals with deleted rows as it should, name it in the configuration: '
        hint += f'[routines] allow = ["{named}"].'
    else:
        hint += f' The configuration may say otherwise: [routines] {finding.kind.value} = "warn".'
    return StatementRefused(_message(what, finding), hint=hint)


def is_only_calling(relation: Relation, policy: Policy) -> bool:
    """Tell whether a relation is known to the policy for the routines that it calls and for nothing else."""
    known = (policy.protections, policy.exposing, policy.broken, policy.destroying)
    return not any(relation.oid in oids for oids in known)


def may_mean(names: list[str], routine: Routine, surroundings: Surroundings) -> bool:
    """Tell whether a call by this name may be one of a routine."""
    if len(names) > 1:
        return names[-2] == routine.schema
    return not surroundings.values.path_is_certain or routine.schema in surroundings.schemas()


def _allowed_by_name(names: list[str], surroundings: Surroundings) -> bool:
    allow = surroundings.policy.routines.allow
    if not allow:
        return False
    if len(names) > 1:
        return (names[-2], names[-1]) in allow
    return any((schema, names[-1]) in allow for schema in ("pg_catalog", *surroundings.schemas()))


def of_rows(found: Findings) -> Iterator[str]:
    """Yield the names that may call a function of a row: `row.name` and `(row).name`."""
    for column in found.columns:
        yield from strings(column["fields"])[1:]
    for node in found.indirections:
        yield from (part["String"].get("sval", "") for part in node["indirection"] if "String" in part)


def _named_in_body(reference: Reference, surroundings: Surroundings) -> Iterator[Finding]:
    if reference.use is Use.NAMED:
        return
    name, schema = reference.node["relname"], reference.node.get("schemaname")
    relation = surroundings.relation(reference.node)
    if relation is not None and relation.oid in surroundings.policy.calling:
        yield from view_findings(surroundings.policy.calling[relation.oid], surroundings.policy)
    if relation is not None and not is_only_calling(relation, surroundings.policy):
        observed = surroundings.policy.is_observed(relation)
        yield Finding(RoutineClass.BODIES, relation.label, observed=observed)
    elif relation is None and name in STATISTICS and schema in {None, "pg_catalog"}:
        yield Finding(RoutineClass.BODIES, f"pg_catalog.{name}")
