"""Make a planned text ready to go out as a Query: resolve the names that its statements prepare and execute.

Puts into the text what must be prepared again, each ahead of the statement that executes it, and a failing
statement in the place of one that must not run. Must not know messages or the queue.
"""

from dataclasses import dataclass, replace

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.context import Context
from pgsoftproxy.rewrite.edits import apply_edits
from pgsoftproxy.rewrite.plan import REFUSAL_SQL, Edit, Kind, Rewritten, StatementPlan
from pgsoftproxy.session import sqlnames
from pgsoftproxy.session.again import Step, steps
from pgsoftproxy.session.sqlnames import Resolved, executed, stale
from pgsoftproxy.session.state import State
from pgsoftproxy.session.statements import WAIT, Confirmable, Injected, Script, Waits
from pgsoftproxy.session.texts import Planned, refuse

HIDDEN = StatementPlan(Kind.PREPARE)
_END = "\n; "
"""Ends a statement, whatever comment it ends with."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a Query sends (None: REFUSAL_SQL), its script, and the names that its statements change, by their index."""

    sent: bytes | None
    script: Script
    named: dict[int, tuple[Confirmable, ...]]


def plan_batch(state: State, planned: Planned, text: bytes | None) -> Batch | Waits:
    """Prepare a planned text to go out as a Query; `text` is the client's, None if it could not be read."""
    if text is None or planned.sent is None or not planned.script.effects:
        return Batch(planned.sent, planned.script, {})
    draft = _Draft(state, planned)
    for statement in planned.plan.statements:
        if not draft.add(statement):
            draft.forget()
            return WAIT
    return draft.batch(text)


class _Draft:
    """The statements of a Query as they are added, with what is put into its text."""

    def __init__(self, state: State, planned: Planned) -> None:
        self._state = state
        self._planned = planned
        self._context: Context = state.tracker.whole_context()
        self._statements: list[StatementPlan] = []
        self._named: dict[int, tuple[Confirmable, ...]] = {}
        self._edits: list[Edit] = []
        self._injections: list[tuple[Edit, int, tuple[Step, ...]]] = []  # with the index of the first step

    def add(self, statement: StatementPlan) -> bool:
        """Add the text's next statement; return False if a name in it must be confirmed first."""
        found = sqlnames.resolve(self._state, statement, self._context)
        if isinstance(found, Waits):
            return False
        if isinstance(found, Resolved) and found.again is not None:
            wanted = steps(self._state, found.again)
            found = stale(found.again.name) if wanted is None else self._inject(statement, wanted, found)
        if isinstance(found, Refusal):
            self._refuse(statement, found)
            return True
        changes = sqlnames.changes(self._state, found.plan, self._context)
        if changes:
            self._named[len(self._statements)] = changes
        self._statements.append(found.plan)
        for effect in found.plan.effects:
            self._context = self._context.after(effect)
        return True

    def forget(self) -> None:
        """Give up what was expected for the statements so far."""
        for changes in self._named.values():
            for change in changes:
                change.forget()

    def batch(self, text: bytes) -> Batch:
        """Return what was made of the text."""
        plan = self._planned.plan
        script = Script.of(plan, tuple(self._statements))
        if not self._edits:
            return Batch(self._planned.sent, script, self._named)
        sql, codec = text.decode(self._state.codec), self._state.codec
        # Those of the plan lie inside statements, these ahead of one or around it.
        own = plan.edits if isinstance(plan, Rewritten) else ()
        edits = tuple(sorted((*self._edits, *own), key=lambda edit: edit.start))
        try:
            sent = apply_edits(sql, edits).encode(codec)
        except UnicodeEncodeError:
            self.forget()
            refused = refuse(sqlnames.UNENCODABLE)
            return Batch(None, refused.script, {})
        return Batch(sent, replace(script, edits=edits, injected=self._injected(edits)), self._named)

    def _inject(self, statement: StatementPlan, wanted: tuple[Step, ...], found: Resolved) -> Resolved:
        effect = executed(statement)
        assert effect is not None
        edit = Edit(effect.start, effect.start, "".join(step.sql + _END for step in wanted))
        self._edits.append(edit)
        self._injections.append((edit, len(self._statements), wanted))
        for step in wanted:
            self._named[len(self._statements)] = step.changes
            self._statements.append(HIDDEN)
        return found

    def _refuse(self, statement: StatementPlan, refusal: Refusal) -> None:
        effect = executed(statement)
        assert effect is not None
        self._edits.append(Edit(effect.start, effect.end, REFUSAL_SQL))
        self._statements.extend(Script.refusing(refusal, (statement,)).statements)

    def _injected(self, edits: tuple[Edit, ...]) -> tuple[Injected | None, ...]:
        """Return which statements were injected, and where each stands in what is sent."""
        if not self._injections:
            return ()
        found: list[Injected | None] = [None] * len(self._statements)
        starts: dict[int, int] = {}
        shift = 0
        for edit in edits:
            starts[id(edit)] = edit.start + shift
            shift += len(edit.text) - (edit.end - edit.start)
        for edit, index, wanted in self._injections:
            start = starts[id(edit)]
            for number, step in enumerate(wanted):
                found[index + number] = Injected(start, step.edits)
                start += len(step.sql) + len(_END)
        return tuple(found)
