"""Turn a client's text into what is sent for it: a plan, the bytes to send, and the script of its replies.

Knows the limits of a text and the encodings; must not know messages or the queue.
"""

from dataclasses import dataclass

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.context import Context
from pgsoftproxy.model.routines import Action
from pgsoftproxy.model.statements import StatementClass
from pgsoftproxy.rewrite.cache import LARGE_TEXT
from pgsoftproxy.rewrite.foreign_names import has_foreign_names
from pgsoftproxy.rewrite.plan import REFUSAL_SQL, Kind, Outcome, Plan, Refused, StatementPlan, Warned
from pgsoftproxy.session import sqlnames
from pgsoftproxy.session.state import State
from pgsoftproxy.session.statements import Script, sent_text

REFUSAL_TEXT = REFUSAL_SQL.encode()
FASTPATH = Refusal(
    "0A000",
    "only functions of large objects may be called by the FunctionCall message",
    hint="Call the function in a SELECT.",
)

NAMED = Refusal(
    "0A000",
    "a prepared statement that has a name would outlive its transaction, after which the session may be "
    "another client's",
    hint='Prepare without a name. The configuration may say otherwise: [statements] named_statements = "warn".',
)
FOREIGN_NAME = Refusal(
    "0A000",
    "names outside ASCII are not supported in a database whose encoding is not UTF8",
    hint="The server may read such a name in another way than the proxy.",
)


@dataclass(frozen=True, slots=True)
class Planned:
    """A text's plan, what goes out for it (`sent` None means REFUSAL_SQL), and the script of its replies."""

    plan: Plan
    sent: bytes | None
    script: Script


class PlansApart(Exception):
    """A text is so long that its plan is made apart from the sessions: `State.jobs` holds the job to run."""


def plan_text(state: State, text: bytes) -> Planned:
    """Plan a text under what is in force; raises PlansApart, to be called again once the job has run."""
    if len(text) > state.limits.statement_bytes:
        return too_long(state)
    if state.foreign and _has_foreign_names(state, text):
        return refuse(FOREIGN_NAME)
    tracker = state.tracker
    plan = _plan(state, text, tracker.context)
    script = state.script_of(plan)
    if script.effects and len(plan.statements) > 1:
        # Only such a text depends on what ROLLBACK and ROLLBACK TO would bring back.
        whole = tracker.whole_context()
        if whole != tracker.context:
            plan = _plan(state, text, whole)
            script = state.script_of(plan)
    state.jobs.clear()
    for statement in script.hints:
        state.observer.hinted(statement, text)
    try:
        return Planned(plan, sent_text(plan, text, state.codec), script)
    except UnicodeEncodeError:
        return refuse(sqlnames.UNENCODABLE)


def plan_named(state: State, text: bytes) -> Planned:
    """Plan the text of a prepared statement that has a name, if the configuration lets it have one."""
    action = state.policy.statements.named_statements
    if action is Action.REFUSE:
        return refuse(NAMED, Kind.PREPARE)
    planned = plan_text(state, text)
    if action is Action.WARN:
        kind = StatementClass.NAMED_STATEMENTS.value
        warned = StatementPlan(Kind.PREPARE, warnings=(Warned(kind, NAMED.message),))
        state.observer.statement(warned, state.startup.user, None)
        state.observer.hinted(warned, text)
    return planned


def _has_foreign_names(state: State, text: bytes) -> bool:
    if text.isascii() and b'&"' not in text:
        return False
    return has_foreign_names(text.decode(state.codec, "replace"))


def _plan(state: State, text: bytes, context: Context) -> Plan:
    planner = state.planner
    if len(text) < LARGE_TEXT:
        return planner.plan(text, state.codec, state.policy, context)
    key = (text, state.policy.version, state.codec, context)
    job = state.jobs.get(key)
    if job is not None and job.plan is not None:
        return job.plan
    plan = planner.known(key)
    if plan is None:
        state.jobs[key] = planner.job(key, state.policy)
        raise PlansApart
    return plan


def too_long(state: State) -> Planned:
    """Return the refusal of a text beyond the limit."""
    return refuse(
        Refusal(
            "54000",
            f"statement is longer than {state.limits.statement_bytes} bytes",
            hint="The proxy's limits.statement_bytes sets the longest text that it reads.",
        )
    )


def malformed(complaint: str) -> Planned:
    """Return the refusal of a message that is not in the protocol's format."""
    return refuse(Refusal("08P01", complaint))


def refuse(refusal: Refusal, kind: Kind = Kind.INVALID) -> Planned:
    """Return a plan that refuses a text for a reason that the rewriter does not know of."""
    statement = StatementPlan(kind, Outcome.REFUSED, refusal=refusal)
    return Planned(
        Refused((statement,), refusal, cacheable=False), None, Script.refusing(refusal, (statement,))
    )
