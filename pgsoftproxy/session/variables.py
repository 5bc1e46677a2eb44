"""The variables that a session's statements depend on: as confirmed by the server, and as foreseen in a pipeline.

Applies effects by the rules of `model.context`; must not know messages.

Theory. What the server confirmed is the truth. A pipelined statement is planned before that: within its segment
(up to a Sync, or one Query) it may be planned as if all before it succeed, because if one fails, the server
skips the rest of the segment. Across the end of a segment nothing is certain until its ReadyForQuery, unless
all that is pending is transaction control while every value that it could bring back is the present one.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from pgsoftproxy.model.context import (
    LIVE,
    UNCERTAIN_PATH,
    Context,
    DeleteMode,
    Grant,
    SearchPath,
    Values,
    Variables,
)
from pgsoftproxy.model.effects import Effect, Transaction, TransactionVerb
from pgsoftproxy.model.encodings import UNKNOWN_CODEC
from pgsoftproxy.model.parsing import parse_search_path

_ENDS = (TransactionVerb.BEGIN, TransactionVerb.COMMIT, TransactionVerb.ROLLBACK)


class Tracker:
    """Follow the variables of one session.

    `context` is what the next message is planned under. It holds the values in effect without the stack that
    ROLLBACK needs, so that a plan is the same inside and outside a transaction; `whole_context` has it all.
    """

    __slots__ = (
        "_grant",
        "_reported",
        "_reported_encoding",
        "_role",
        "_twins",
        "confirmed",
        "context",
        "foreseen",
        "settled",
    )

    def __init__(self, values: Values, role: str, grant: Grant) -> None:
        self.confirmed = Variables.at_start(values)
        self.foreseen = self.confirmed
        self._twins = [self.confirmed, replace(self.confirmed, explicit=True)]
        self.settled = True  # nothing pending in this segment can change a value
        self._role = role
        self._grant = grant
        self._reported: SearchPath | None = None
        self._reported_encoding: str | None = None
        self.context = self._context()

    def whole_context(self) -> Context:
        """Return the context with savepoints and what ROLLBACK brings back, for a text with several effects."""
        return Context(self.foreseen, self._role, self._grant)

    def expect(self, effects: Iterable[Effect]) -> None:
        """Foresee the effects of a statement that was sent."""
        for effect in effects:
            if not (isinstance(effect, Transaction) and _flat(self.foreseen)):
                self.settled = False
            self.foreseen = self._after(self.foreseen, effect)
        self._refresh()

    def confirm(self, effects: Iterable[Effect], tag: bytes) -> None:
        """Apply the effects of a statement that the server has completed with this command tag."""
        for effect in effects:
            if (
                tag == b"ROLLBACK"
                and isinstance(effect, Transaction)
                and effect.verb is TransactionVerb.COMMIT
            ):
                effect = replace(effect, verb=TransactionVerb.ROLLBACK)
            self.confirmed = self._after(self.confirmed, effect)

    def end_segment(self) -> bool:
        """Note that a Sync or Query was sent; return whether its ReadyForQuery must be awaited."""
        settled = self.settled
        self.settled = True
        return not settled

    def ready(self, *, idle: bool, failed: bool) -> None:
        """Apply a ReadyForQuery: `idle` if no transaction is open, `failed` if an error came since the last."""
        if idle and not (_flat(self.confirmed) and not self.confirmed.explicit):
            self.confirmed = self.confirmed.end_implicit(failed=failed)
        if idle or not failed or self._reported != self._gone_back():
            self._believe_report(idle=idle)
        self._believe_encoding(idle=idle)

    def settle(self) -> None:
        """Foresee from the truth again; call it when no effect is pending any more."""
        self.foreseen = self.confirmed
        self._refresh()

    def steady(self, *, idle: bool) -> bool:
        """Tell whether a ReadyForQuery of this kind would change nothing behind statements without effects."""
        variables = self.confirmed
        current = variables.current
        return (
            self.settled
            and self.foreseen is variables
            and not current.stale
            and not (idle and (variables.explicit or not _flat(variables)))
            and (self._reported is None or self._reported == current.search_path)
            and (self._reported_encoding is None or self._reported_encoding == current.encoding)
        )

    def report_search_path(self, text: str | None) -> None:
        """Note a ParameterStatus of search_path (PostgreSQL 18 sends it ahead of ReadyForQuery)."""
        try:
            self._reported = UNCERTAIN_PATH if text is None else SearchPath(parse_search_path(text))
        except ValueError:
            self._reported = UNCERTAIN_PATH

    def report_encoding(self, codec: str) -> None:
        """Note a ParameterStatus of client_encoding, by its codec."""
        self._reported_encoding = codec

    @property
    def reported_encoding(self) -> str:
        """Return the codec of what the server says next."""
        return self._reported_encoding or self.confirmed.current.encoding

    def begin(self) -> None:
        """Take the values in effect as those that the session starts with: the first ReadyForQuery has come."""
        self.ready(idle=True, failed=False)
        self.confirmed = Variables.at_start(self.confirmed.current)
        self.settle()

    def catalog_read(self, private: int = 0) -> None:
        """Note that the catalog was read: for all sessions, or inside the open transaction for this one alone.

        `private` is then the version of the policy that knows it. No effect may be pending.
        """
        if private:
            current = replace(self.confirmed.current, stale=False, uncovered=False, private=private)
            self.confirmed = replace(self.confirmed, current=current)
            self.settle()
        else:
            self.confirmed = _everywhere(self.confirmed, _fresh)
            self.foreseen = _everywhere(self.foreseen, _fresh)
            self._refresh()

    def doubt_private(self) -> None:
        """Note that what was compiled for this session alone does not hold any more."""
        self.confirmed = _everywhere(self.confirmed, _doubted)
        self.foreseen = _everywhere(self.foreseen, _doubted)
        self._refresh()

    def privates(self) -> frozenset[int]:
        """Return the versions of the private policies that are in force or that a ROLLBACK TO could bring back."""
        found = set()
        for variables in (self.confirmed, self.foreseen):
            found.add(variables.current.private)
            found.update(point.current.private for point in variables.savepoints)
        return frozenset(found - {0})

    def regrant(self, grant: Grant) -> None:
        """Put a new grant in force; a value that it does not allow any more falls back to the safe one."""
        self._grant = grant
        self.confirmed = _everywhere(self.confirmed, lambda values: _allowed(values, grant))
        self.foreseen = _everywhere(self.foreseen, lambda values: _allowed(values, grant))
        self.context = self._context()

    def _after(self, variables: Variables, effect: Effect) -> Variables:
        """Return the variables after an effect; BEGIN and COMMIT around nothing are the most frequent, and cheap."""
        current = variables.current
        if (
            isinstance(effect, Transaction)
            and effect.verb in _ENDS
            and variables.session is current
            and variables.start is current
            and not variables.savepoints
        ):
            explicit = effect.verb is TransactionVerb.BEGIN or effect.chain
            if variables.explicit is explicit:
                return variables
            twin = self._twins[explicit]
            if twin.current is not current or twin.defaults is not variables.defaults:
                twin = self._twins[explicit] = Variables(
                    variables.defaults, current, current, current, explicit=explicit
                )
            return twin
        return variables.after(effect)

    def _gone_back(self) -> SearchPath:
        """Return the path in a failed transaction: an error takes back at once what ROLLBACK [TO] would."""
        points = self.confirmed.savepoints
        return (points[-1].current if points else self.confirmed.start).search_path

    def _believe_report(self, *, idle: bool) -> None:
        reported = self._reported
        if reported is None or self.confirmed.current.search_path == reported:
            return
        variables = self.confirmed
        if idle:
            wrong = variables.current.search_path
            self.confirmed = _with_path(variables, wrong, reported)
            self.foreseen = _with_path(self.foreseen, wrong, reported)
            return
        # Inside a transaction it is not known whether COMMIT keeps it; the report that follows will tell.
        session = replace(variables.session, search_path=UNCERTAIN_PATH)
        current = replace(variables.current, search_path=reported)
        self.confirmed = replace(variables, session=session, current=current)

    def _believe_encoding(self, *, idle: bool) -> None:
        # Where SET was not seen it is not known what COMMIT and ROLLBACK bring back; the server tells then.
        reported, known = self._reported_encoding, self.confirmed.current.encoding
        if reported is None or reported == known:
            return
        other = reported if idle else UNKNOWN_CODEC
        changed = self.confirmed.everywhere(lambda values: replace(values, encoding=other))
        self.confirmed = replace(changed, current=replace(changed.current, encoding=reported))

    def _refresh(self) -> None:
        known = self.context.variables
        if self.foreseen.current is not known.current or self.foreseen.defaults is not known.defaults:
            context = self._context()
            if (
                context != self.context
            ):  # keep its identity where it can be kept: it is compared by that first
                self.context = context

    def _context(self) -> Context:
        current = self.foreseen.current
        return Context(Variables(self.foreseen.defaults, current, current, current), self._role, self._grant)


def plain(context: Context) -> Context:
    """Return the context with only the values in effect, as single statements are planned under."""
    variables = context.variables
    current = variables.current
    return replace(context, variables=Variables(variables.defaults, current, current, current))


def _flat(variables: Variables) -> bool:
    """Tell whether COMMIT, ROLLBACK and ROLLBACK TO all leave the values in effect as they are."""
    current = variables.current
    for values in (variables.session, variables.start):
        if values is not current and values != current:
            return False
    return all(point.session == current and point.current == current for point in variables.savepoints)


def _fresh(values: Values) -> Values:
    known = not values.stale and not values.private
    if known:
        return values
    return replace(values, stale=False, uncovered=False, private=0, touched=frozenset())


def _doubted(values: Values) -> Values:
    return replace(values, stale=True, uncovered=True, private=0) if values.private else values


def _with_path(variables: Variables, wrong: SearchPath, right: SearchPath) -> Variables:
    def change(values: Values) -> Values:
        return replace(values, search_path=right) if values.search_path == wrong else values

    return replace(_everywhere(variables, change), defaults=variables.defaults)


def _everywhere(variables: Variables, change: Callable[[Values], Values]) -> Variables:
    current = change(variables.current)

    def changed(values: Values) -> Values:
        return current if values is variables.current else change(values)  # what is one value stays one

    points = tuple(
        replace(point, session=changed(point.session), current=changed(point.current))
        for point in variables.savepoints
    )
    return replace(
        variables,
        defaults=changed(variables.defaults),
        start=changed(variables.start),
        session=changed(variables.session),
        current=current,
        savepoints=points,
    )


def _allowed(values: Values, grant: Grant) -> Values:
    visibility = values.visibility if values.visibility.mode in grant.visibility else LIVE
    delete = values.delete if grant.hard_delete else DeleteMode.SOFT
    return replace(values, visibility=visibility, delete=delete)
