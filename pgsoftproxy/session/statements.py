"""Prepared statements and portals by name: as the server has them, and as they will be once it has answered.

Knows what was planned and sent under a name; must not know messages, nor when a statement is stale.

Theory. A name changes when the server confirms it. Until then the change is pending, and holds for what
follows in the same segment only: there an error would skip both. A use in a later segment must wait (WAIT),
because the server may by then have another statement under that name than the one foreseen.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, TypeVar

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.context import Context
from pgsoftproxy.rewrite.plan import Edit, Forward, Kind, Outcome, Plan, Refused, Rewritten, StatementPlan

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Injected:
    """A statement in a Query that the client did not send; its reply is not shown.

    It starts at the character `start` of what was sent; `edits` map a position in it back into what it stems from.
    """

    start: int
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """What was sent for one text, as far as its replies need it.

    `statements` in the order of their replies; `edits` map error positions back. `effects`: one of them
    changes variables or names. `copies`: one is a COPY. `hints`: those that name a deletion column.
    `injected` tells, for each of the statements, whether it is one; empty if none is.
    `plain`: nothing but their names need be known of its replies, so that a lane may carry them.
    """

    statements: tuple[StatementPlan, ...]
    edits: tuple[Edit, ...] = ()
    effects: bool = False
    copies: bool = False
    hints: tuple[StatementPlan, ...] = ()
    injected: tuple[Injected | None, ...] = ()
    plain: bool = False

    @classmethod
    def of(cls, plan: Plan, statements: tuple[StatementPlan, ...] | None = None) -> "Script":
        """Return the script of a plan; `statements` replace the plan's own where they were resolved further."""
        if isinstance(plan, Refused):
            return cls.refusing(plan.refusal, plan.statements)
        statements = plan.statements if statements is None else statements
        edits = plan.edits if isinstance(plan, Rewritten) else ()
        return cls(
            statements,
            edits,
            any(statement.effects for statement in statements),
            any(statement.kind is Kind.COPY for statement in statements),
            tuple(statement for statement in statements if statement.names_column or statement.warnings),
            plain=plan.cacheable and bool(statements) and all(map(_is_plain, statements)),
        )

    def with_edits(self, edits: tuple[Edit, ...]) -> "Script":
        """Return the script of the same statements in a text of other literals."""
        return Script(
            self.statements, edits, self.effects, self.copies, self.hints, self.injected, self.plain
        )

    @classmethod
    def refusing(cls, refusal: Refusal, statements: tuple[StatementPlan, ...]) -> "Script":
        """Return the script of a text that goes out as REFUSAL_SQL: one statement, which can only fail."""
        first = statements[0] if statements else StatementPlan(Kind.INVALID)
        hints = tuple(statement for statement in statements if statement.names_column or statement.warnings)
        return cls((_refused(first, refusal),), hints=hints)


def _is_plain(statement: StatementPlan) -> bool:
    # All that a lane need not know is named here, so that what a statement will come to have is not plain by itself.
    plain = StatementPlan(
        statement.kind,
        statement.outcome,
        translations=statement.translations,
        guarded=statement.guarded,
        observed=statement.observed,
        by_hand=statement.by_hand,
        depends=statement.depends,
        clear=statement.clear,
    )
    return statement == plain and statement.kind is not Kind.COPY and statement.outcome is not Outcome.REFUSED


def _refused(statement: StatementPlan, refusal: Refusal) -> StatementPlan:
    if statement.refusal is refusal and not statement.effects:
        return statement
    return replace(
        statement,
        outcome=Outcome.REFUSED,
        refusal=refusal,
        effects=(),
        retag=None,
        deletes=None,
        bypass=None,
        hard=False,
        removed=(),
        restores=None,
    )


@dataclass(slots=True)
class Prepared:
    """One prepared statement: the client's `text`, and the plan that the server's version of it was made by.

    `types` is the list of parameter types of its Parse as on the wire; None: it was made by SQL's PREPARE.
    `sent` is the text that the server has, None if it has none under this name any more; both in `codec`.
    """

    text: bytes
    types: bytes | None
    plan: Plan
    script: Script
    context: Context
    version: int
    sent: bytes | None
    codec: str

    def transcribe(self, codec: str) -> None:
        """Hold the texts in another client encoding; raises UnicodeError."""
        if codec != self.codec:
            text = self.text.decode(self.codec).encode(codec)
            self.sent = None if self.sent is None else self.sent.decode(self.codec).encode(codec)
            self.text, self.codec = text, codec

    @property
    def there(self) -> bool:
        """Tell whether the server has it under its name, or never will: its Parse is being refused."""
        return self.sent is not None or isinstance(self.plan, Refused)


class Waits:
    """The answer for a name whose pending change must be confirmed first."""


WAIT: Final = Waits()


class Confirmable(Protocol):
    """Something that was asked for and becomes true when the server confirms it."""

    def confirm(self) -> None:
        """Make it true."""

    def forget(self) -> None:
        """Give it up, or what was pending of it."""


class Gone:
    """The server has no statement under a name any more, until the client's own is prepared again."""

    __slots__ = ("_prepared",)

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared

    def confirm(self) -> None:
        """The server has closed it."""
        self._prepared.sent = None

    def forget(self) -> None:
        """Nothing is pending under the name because of it."""


class Change(Generic[T]):
    """A pending change of one name: to `value`, or away if that is None."""

    __slots__ = ("name", "names", "segment", "value")

    def __init__(self, names: "Names[T]", name: bytes, value: T | None, segment: int) -> None:
        self.names = names
        self.name = name
        self.value = value
        self.segment = segment

    def confirm(self) -> None:
        """The server has done it."""
        if self.value is None:
            self.names.known.pop(self.name, None)
        else:
            self.names.known[self.name] = self.value
        self.forget()

    def forget(self) -> None:
        """It is not pending any more."""
        pending = self.names.pending
        if pending.get(self.name) is self:
            del pending[self.name]


class Names(Generic[T]):
    """What is known by name, with the changes that are pending."""

    __slots__ = ("known", "pending")

    def __init__(self) -> None:
        self.known: dict[bytes, T] = {}
        self.pending: dict[bytes, Change[T]] = {}

    def find(self, name: bytes, segment: int) -> T | Waits | None:
        """Return what a use of the name in this segment means."""
        change = self.pending.get(name)
        if change is None:
            return self.known.get(name)
        return change.value if change.segment == segment else WAIT

    def expect(self, name: bytes, value: T | None, segment: int) -> Change[T]:
        """Note a change that was asked for."""
        change = self.pending[name] = Change(self, name, value, segment)
        return change

    def expect_none(self, segment: int, only: bytes | None = None) -> Iterable[Change[T]]:
        """Note that one name, or every name but the empty one, was asked to go; only names that mean something."""
        names = {*self.known, *self.pending} - {b""} if only is None else {only}
        return [
            self.expect(name, None, segment) for name in names if name in self.known or name in self.pending
        ]


def sent_text(plan: Plan, text: bytes, encoding: str) -> bytes | None:
    """Return the text that a plan sends, None if it sends a refusal; raises UnicodeEncodeError."""
    if isinstance(plan, Forward):
        return text
    return plan.sql.encode(encoding) if isinstance(plan, Rewritten) else None
