"""What a statement changes in the session, applied when the server confirms it, not when the client asks.

Values only; `rewrite` finds them in the text, `session` applies them.
"""

from dataclasses import dataclass
from enum import Enum


class Variable(Enum):
    """The variables that the meaning of a statement depends on."""

    SEARCH_PATH = "search_path"
    VISIBILITY = "pgsoftproxy.visibility"
    DELETE = "pgsoftproxy.delete"
    USER = "role"
    SESSION_USER = "session_authorization"
    ENCODING = "client_encoding"


class TransactionVerb(Enum):
    """Transaction control, by what it does to the stack of variables."""

    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    RELEASE = "release"
    ROLLBACK_TO = "rollback to"


@dataclass(frozen=True, slots=True)
class SetsVariable:
    """SET, SET LOCAL, RESET (`value` None: the session's default) or set_config of a tracked variable."""

    variable: Variable
    value: object | None
    local: bool = False


@dataclass(frozen=True, slots=True)
class Transaction:
    """BEGIN and its kin; `name` is the savepoint's. A COMMIT whose tag says ROLLBACK is a rollback."""

    verb: TransactionVerb
    name: str = ""
    chain: bool = False


@dataclass(frozen=True, slots=True)
class DiscardsAll:
    """DISCARD ALL."""


@dataclass(frozen=True, slots=True)
class ResetsAll:
    """RESET ALL."""


@dataclass(frozen=True, slots=True)
class ChangesCatalog:
    """DDL that can change a relation, a key, a view, a role's defaults: the catalog must be read again.

    `shapes`: it can change which relation a name means, or which columns a relation has. `uncovers`: any name may
    lead to protected rows afterwards that did not before; `touched` holds names of which that is so.
    """

    shapes: bool = True
    uncovers: bool = False
    touched: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ChangesTemporary:
    """Temporary relations are dropped (None: all of them) and made; `local` ones go with their transaction."""

    dropped: frozenset[str] | None
    made: frozenset[str] = frozenset()
    local: bool = False


@dataclass(frozen=True, slots=True)
class Prepares:
    """SQL-level PREPARE. `body` is the whole PREPARE in the client's words, with the comments that lead it;
    its name ends at `tail`. `deletes` is the table that its statement deletes from softly: EXECUTE then
    answers `DELETE n`."""

    name: str
    body: str
    tail: int
    deletes: str | None = None


@dataclass(frozen=True, slots=True)
class Deallocates:
    """DEALLOCATE; `name` None is ALL."""

    name: str | None = None


@dataclass(frozen=True, slots=True)
class Executes:
    """EXECUTE, also inside EXPLAIN or CREATE TABLE AS: the plan of that name must still be right.

    The statement stands from `start` to `end` in its text (characters); `directives` are those of its comments.
    """

    name: str
    start: int
    end: int
    directives: tuple[SetsVariable, ...] = ()


Effect = (
    SetsVariable
    | Transaction
    | DiscardsAll
    | ResetsAll
    | ChangesCatalog
    | ChangesTemporary
    | Prepares
    | Deallocates
    | Executes
)
