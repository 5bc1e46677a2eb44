"""What a statement's meaning depends on besides its text: search_path, visibility, delete mode, grants.

Immutable values with the transaction rules of PostgreSQL's SET. Must not know SQL text or the wire.

Theory. The server keeps for each variable a stack of values; so does `Variables`, for all tracked
variables at once. `current` is in effect now; `session` is what a COMMIT leaves (SET changes both, SET
LOCAL only `current`); `start` is what a ROLLBACK leaves; each savepoint remembers both. Outside an explicit
transaction every Query message, and every run of messages up to a Sync, is an implicit transaction of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, assert_never

from pgsoftproxy.model.effects import (
    ChangesCatalog,
    ChangesTemporary,
    Deallocates,
    DiscardsAll,
    Effect,
    Executes,
    Prepares,
    ResetsAll,
    SetsVariable,
    Transaction,
    TransactionVerb,
    Variable,
)


class VisibilityMode(Enum):
    """Which rows of a protected table a session sees."""

    LIVE = "live"
    ALL = "all"
    DELETED = "deleted"
    AS_OF = "as_of"


class DeleteMode(Enum):
    """What a DELETE does: stamp the row, or physically remove it."""

    SOFT = "soft"
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class Visibility:
    """A visibility with its argument; empty `tables` means every protected table.

    `tables` holds (schema, name) pairs; a table not in it stays live. A schema of "" stands for a name that
    was given unqualified and matches that name in every schema.
    """

    mode: VisibilityMode = VisibilityMode.LIVE
    as_of: str | None = None
    tables: frozenset[tuple[str, str]] = frozenset()

    def of(self, schema: str, name: str) -> VisibilityMode:
        """Return the mode that applies to one table."""
        if not self.tables or (schema, name) in self.tables or ("", name) in self.tables:
            return self.mode
        return VisibilityMode.LIVE


LIVE = Visibility()
EVERYTHING = Visibility(VisibilityMode.ALL)


@dataclass(frozen=True, slots=True)
class SearchPath:
    """A search_path as set, `$user` unexpanded. Not `certain`: the proxy could not follow a change of it."""

    schemas: tuple[str, ...] = ("$user", "public")
    certain: bool = True


UNCERTAIN_PATH = SearchPath((), certain=False)

UNKNOWN_USER = "\0"
"""Stands for a current_user that the proxy could not follow; no role can have this name."""

NO_ROLE = ""
"""The value of SET ROLE NONE: current_user is then the session_user."""


@dataclass(frozen=True, slots=True)
class Values:
    """The tracked variables at one moment. `user` is the current_user that `$user` stands for, `session_user` whom
    SET ROLE NONE makes it again, `encoding` the Python codec of client_encoding.

    `changed` names those that SET gave a value, be it the one they started with: RESET ALL passes over the
    others, even if a SET in the same transaction stands behind a SET LOCAL TO DEFAULT (guc.c: GUC source).
    `stale`: relations have changed since the catalog was read; `uncovered`, so that any name may lead to protected
    rows now. `private` is the version of the policy that was
    compiled from a catalog read inside the open transaction, 0 if the one of all sessions is in force.
    `temporary` holds names of temporary relations that are there, of those that could shadow another that matters.
    `touched`: while `stale`, names that may mean protected tables though the policy does not say so.
    """

    user: str = ""
    search_path: SearchPath = SearchPath()
    visibility: Visibility = LIVE
    delete: DeleteMode = DeleteMode.SOFT
    changed: frozenset[Variable] = frozenset()
    stale: bool = False
    uncovered: bool = False
    private: int = 0
    temporary: frozenset[str] = frozenset()
    session_user: str = ""
    touched: frozenset[str] = frozenset()
    encoding: str = "utf-8"

    @property
    def path_is_certain(self) -> bool:
        """Tell whether it is known in which schemas an unqualified name is looked up."""
        path = self.search_path
        return path.certain and not (self.user == UNKNOWN_USER and "$user" in path.schemas)

    def with_value(self, variable: Variable, value: object) -> "Values":
        """Return a copy with one variable set; the value has that variable's type."""
        return replace(self._replaced(variable, value), changed=self.changed | {variable})

    def with_default(self, variable: Variable, defaults: "Values") -> "Values":
        """Return a copy with one variable as it stands in `defaults`."""
        changed = self.changed - {variable}
        value = defaults.value(variable)
        if variable is Variable.USER and value == defaults.session_user:
            value = NO_ROLE
        return replace(self._replaced(variable, value), changed=changed)

    def _replaced(self, variable: Variable, value: object) -> "Values":
        if variable is Variable.USER and value == NO_ROLE:
            value = self.session_user
        elif variable is Variable.SESSION_USER:
            return self._replaced(Variable.USER, value)._with(variable, value)
        return self._with(variable, value)

    def _with(self, variable: Variable, value: object) -> "Values":
        assert type(value) is type(self.value(variable))
        changed: dict[str, Any] = {_FIELDS[variable]: value}
        return replace(self, **changed)

    def value(self, variable: Variable) -> object:
        """Return one variable's value."""
        found: object = getattr(self, _FIELDS[variable])
        return found


_FIELDS = {
    Variable.SEARCH_PATH: "search_path",
    Variable.VISIBILITY: "visibility",
    Variable.DELETE: "delete",
    Variable.USER: "user",
    Variable.SESSION_USER: "session_user",
    Variable.ENCODING: "encoding",
}


def _with_temporary(values: Values, effect: ChangesTemporary) -> Values:
    left = frozenset() if effect.dropped is None else values.temporary - effect.dropped
    return replace(values, temporary=left | effect.made)


@dataclass(frozen=True, slots=True)
class Savepoint:
    """A savepoint's name and the values to go back to."""

    name: str
    session: Values
    current: Values


@dataclass(frozen=True, slots=True)
class Variables:
    """The tracked variables of one session with what COMMIT, ROLLBACK and RESET bring back."""

    defaults: Values
    start: Values
    session: Values
    current: Values
    savepoints: tuple[Savepoint, ...] = ()
    explicit: bool = False

    @classmethod
    def at_start(cls, values: Values) -> "Variables":
        """Return the variables of a new session, whose start values are what RESET restores."""
        if not values.session_user:
            values = replace(values, session_user=values.user)
        return cls(values, values, values, values)

    def after(self, effect: Effect) -> "Variables":
        """Return the variables once the server has confirmed a statement with this effect."""
        match effect:
            case SetsVariable():
                return self._set(effect)
            case Transaction():
                return self._transaction(effect)
            case DiscardsAll():
                return Variables.at_start(self.defaults)
            case ResetsAll():
                return self._reset_all()
            case ChangesCatalog():
                # Undone by a ROLLBACK, as a SET LOCAL is; a COMMIT leaves it to who reads the catalog then.
                if not effect.shapes:
                    return self
                uncovered = self.current.uncovered or effect.uncovers
                touched = self.current.touched | effect.touched
                current = replace(self.current, stale=True, uncovered=uncovered, touched=touched)
                return replace(self, current=current)
            case ChangesTemporary():
                made = self.session if effect.local else _with_temporary(self.session, effect)
                kept = _with_temporary(made, replace(effect, made=frozenset()))
                return replace(self, session=kept, current=_with_temporary(self.current, effect))
            case Prepares() | Deallocates() | Executes():
                return self
            case _:
                assert_never(effect)

    def end_implicit(self, *, failed: bool) -> "Variables":
        """Return the variables after an implicit transaction: a ReadyForQuery that says `I`."""
        return self._rolled_back() if failed else self._committed()

    def _set(self, effect: SetsVariable) -> "Variables":
        variables = self._doubting_roles() if effect.variable is Variable.SESSION_USER else self
        current = variables._changed(variables.current, effect)
        if effect.local:
            return replace(variables, current=current)
        return replace(variables, session=variables._changed(variables.session, effect), current=current)

    def _doubting_roles(self) -> "Variables":
        """Return the variables ahead of a change of the session user, which ends the role that is set.

        Whether what COMMIT and ROLLBACK bring back has that role too differs between versions of the server.
        """
        points = (value for point in self.savepoints for value in (point.session, point.current))
        if all(
            values.user == values.session_user for values in (self.start, self.session, self.current, *points)
        ):
            return self
        return self.everywhere(lambda values: replace(values, user=UNKNOWN_USER))

    def everywhere(self, change: Callable[[Values], Values]) -> "Variables":
        """Return a copy with each of its values changed, but for the defaults."""
        points = tuple(
            replace(point, session=change(point.session), current=change(point.current))
            for point in self.savepoints
        )
        start, session, current = (change(values) for values in (self.start, self.session, self.current))
        return replace(self, start=start, session=session, current=current, savepoints=points)

    def _changed(self, values: Values, effect: SetsVariable) -> Values:
        if effect.value is None:
            return values.with_default(effect.variable, self.defaults)
        return values.with_value(effect.variable, effect.value)

    def _reset_all(self) -> "Variables":
        variables = self
        # RESET ALL leaves the role alone (GUC_NO_RESET_ALL).
        for variable in self.current.changed - {Variable.USER, Variable.SESSION_USER}:
            variables = variables._set(SetsVariable(variable, None))
        return variables

    def _transaction(self, effect: Transaction) -> "Variables":
        match effect.verb:
            case TransactionVerb.BEGIN:
                return replace(self, explicit=True)
            case TransactionVerb.COMMIT:
                return replace(self._committed(), explicit=effect.chain)
            case TransactionVerb.ROLLBACK:
                return replace(self._rolled_back(), explicit=effect.chain)
            case TransactionVerb.SAVEPOINT:
                point = Savepoint(effect.name, self.session, self.current)
                return replace(self, savepoints=(*self.savepoints, point))
            case TransactionVerb.RELEASE:
                return replace(self, savepoints=self.savepoints[: self._savepoint(effect.name)])
            case TransactionVerb.ROLLBACK_TO:
                index = self._savepoint(effect.name)
                if index == len(self.savepoints):
                    return self
                point = self.savepoints[index]
                kept = self.savepoints[: index + 1]
                return replace(self, savepoints=kept, session=point.session, current=point.current)
            case _:
                assert_never(effect.verb)

    def _savepoint(self, name: str) -> int:
        # The innermost of that name; past the end if there is none (the server will have refused it).
        for index in range(len(self.savepoints) - 1, -1, -1):
            if self.savepoints[index].name == name:
                return index
        return len(self.savepoints)

    def _committed(self) -> "Variables":
        session = self.session
        if self.current.stale or self.current.private:
            # What was private is true for all now, but the policy of all does not know it yet.
            uncovered, touched = self.current.uncovered, self.current.touched
            session = replace(session, stale=True, uncovered=uncovered, private=0, touched=touched)
        return Variables(self.defaults, session, session, session)

    def _rolled_back(self) -> "Variables":
        return Variables(self.defaults, self.start, self.start, self.start)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a role may do beyond seeing live rows."""

    visibility: frozenset[VisibilityMode] = frozenset({VisibilityMode.LIVE})
    restore: bool = False
    hard_delete: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What the rewriter is told besides text and policy. Hashable: it is part of the plan cache's key."""

    variables: Variables
    role: str = ""
    grant: Grant = field(default_factory=Grant)
    values: Values = field(init=False, repr=False, compare=False)
    """The values in effect."""
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", self.variables.current)
        object.__setattr__(self, "_hash", hash((self.variables, self.role, self.grant)))

    def __hash__(self) -> int:
        # Looked up with every statement, made only when a variable changes.
        return self._hash

    def after(self, effect: Effect) -> "Context":
        """Return the context that the next statement of a batch sees."""
        return replace(self, variables=self.variables.after(effect))
