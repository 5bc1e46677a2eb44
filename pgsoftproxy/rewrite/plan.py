"""Plans: what the rewriter decided for one SQL text. Values only."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.model.effects import Effect

REFUSAL_MARKER = "pgsoftproxy_refuses"
REFUSAL_SQL = f"SELECT pg_catalog.{REFUSAL_MARKER}()"
"""Sent in place of a refused statement: raises 42883 at parse analysis, or 25P02 in a failed transaction,
so that the server's own transaction state stays true. The session puts the refusal in its place."""


class Kind(Enum):
    """Statement kinds, as the metric `statements` labels them."""

    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    MERGE = "merge"
    COPY = "copy"
    TRUNCATE = "truncate"
    DDL = "ddl"
    TRANSACTION = "transaction"
    SET = "set"
    PREPARE = "prepare"
    EXECUTE = "execute"
    EXPLAIN = "explain"
    CURSOR = "cursor"
    UTILITY = "utility"
    INVALID = "invalid"


class Outcome(Enum):
    """What became of a statement. OBSERVED: a table in observe mode would have had it rewritten."""

    FORWARDED = "forwarded"
    REWRITTEN = "rewritten"
    REFUSED = "refused"
    OBSERVED = "observed"


class Edit(NamedTuple):
    """Replace the characters `start` to `end` of the client's text by `text` (an insertion if equal)."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class ErrorTranslation:
    """Put `refusal` in place of a server error of this SQLSTATE, or class of them, whose message holds `marker`."""

    sqlstate: str
    marker: str
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Retag:
    """Repair a command tag: the verb `sent` becomes `shown`. With `drop_count`, the row count goes too."""

    sent: str
    shown: str
    drop_count: bool = False


@dataclass(frozen=True, slots=True)
class Warned:
    """Work that the proxy cannot see and that the configuration lets pass; `kind` is its RoutineClass's value."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class StatementPlan:
    """What was decided for one statement of a text.

    `guarded` and `observed` hold labels of tables whose reads or writes were (or would have been) filtered;
    `deletes` that of the table whose rows the statement's own command tag counts as softly deleted.
    `bypass` is the visibility used where it is not live. `names_column`: the text names a deletion column.
    `by_hand`: tables whose deletion column it sets itself. `hard`: it passes only because physical deletion was asked
    for: it removes rows of a protected table; `removed` are the tables that it names. `restores`: it calls what brings
    rows back; the id of the deletion if the text has it, else empty.
    `warnings`: what passes though the proxy cannot see its work. Not `depends`: whatever relations there are, the
    plan would be the same. `clear`: so it is whatever the open transaction has changed so far.
    """

    kind: Kind
    outcome: Outcome = Outcome.FORWARDED
    effects: tuple[Effect, ...] = ()
    translations: tuple[ErrorTranslation, ...] = ()
    retag: Retag | None = None
    guarded: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    deletes: str | None = None
    bypass: VisibilityMode | None = None
    names_column: bool = False
    by_hand: tuple[str, ...] = ()
    hard: bool = False
    removed: tuple[str, ...] = ()
    restores: str | None = None
    warnings: tuple[Warned, ...] = ()
    refusal: Refusal | None = None
    depends: bool = True
    clear: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the client's own bytes."""

    statements: tuple[StatementPlan, ...]
    cacheable: bool = True


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Send `sql` instead. A refused statement inside a batch stands in it as REFUSAL_SQL."""

    statements: tuple[StatementPlan, ...]
    sql: str
    edits: tuple[Edit, ...]
    cacheable: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """Send REFUSAL_SQL: the text as a whole is refused (unparsable, or its only statement is)."""

    statements: tuple[StatementPlan, ...]
    refusal: Refusal
    cacheable: bool = True


Plan = Forward | Rewritten | Refused


def depends(plan: Plan) -> bool:
    """Tell whether a plan could be another one if the catalog, as the open transaction has changed it, were known."""
    return any(statement.depends and not statement.clear for statement in plan.statements)


def original_position(edits: tuple[Edit, ...], position: int) -> int:
    """Map a 1-based character position in the rewritten text back to the client's own.

    A position inside inserted text maps to where it was inserted. `edits` are in ascending order.
    """
    offset = position - 1
    shift = 0
    for edit in edits:
        at = edit.start + shift
        if offset < at:
            break
        if offset < at + len(edit.text):
            return edit.start + 1
        shift += len(edit.text) - (edit.end - edit.start)
    return offset - shift + 1
