"""Steps of a migration as values: their statements, the locks these take, what takes them back.

Pure. Must not know how a step was planned, nor how it is run.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Kinds of step, in the order in which they are run."""

    SCHEMA = "schema"
    COLUMN = "column"
    INDEX = "index"
    UNIQUE = "unique"
    EXCLUSION = "exclusion"
    TRIGGER = "trigger"
    REVOKE = "revoke"
    RLS = "rls"
    VIEW = "view"
    STORED = "stored"


OPTIONAL = {
    Kind.EXCLUSION: "--exclusions",
    Kind.RLS: "--rls",
    Kind.VIEW: "--views",
    Kind.STORED: "--stored",
}
"""Kinds that are planned only when they are asked for, and the option that asks."""
UNDONE = (
    Kind.STORED,
    Kind.VIEW,
    Kind.RLS,
    Kind.REVOKE,
    Kind.TRIGGER,
    Kind.EXCLUSION,
    Kind.UNIQUE,
    Kind.COLUMN,
    Kind.INDEX,
    Kind.SCHEMA,
)
"""The order in which kinds are taken back. Columns before indexes: these tell fast whether a column holds anything."""


class Lock(Enum):
    """Lock modes of tables as the server's documentation names them, weakest first."""

    NONE = "none"
    ACCESS_SHARE = "ACCESS SHARE"
    ROW_SHARE = "ROW SHARE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"

    @property
    def strength(self) -> int:
        """Return its place among the modes."""
        return list(Lock).index(self)


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL text, and the strongest lock that it takes on a table.

    One that cannot run in a transaction may leave something behind when it fails; `cleanup` takes that away.
    """

    sql: str
    lock: Lock = Lock.NONE
    in_transaction: bool = True
    cleanup: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a migration; `id` is the same whenever it is planned.

    `seconds` is an estimate from `rows`, without the time spent waiting for locks. `holds` tells that the lock is
    kept for all of that time. `recorded`: the database keeps `down`, which cannot be told from the catalog later.
    """

    id: str
    kind: Kind
    title: str
    table: str
    statements: tuple[Statement, ...]
    down: tuple[Statement, ...]
    why: str
    rows: int = 0
    seconds: float = 0.0
    rewrites: bool = False
    holds: bool = False
    recorded: bool = True

    @property
    def lock(self) -> Lock:
        """Return the strongest lock of its statements."""
        return strongest(self.statements)

    @property
    def is_atomic(self) -> bool:
        """Tell whether it happens in one transaction."""
        return all(statement.in_transaction for statement in self.statements)


def strongest(statements: Iterable[Statement]) -> Lock:
    """Return the strongest lock that statements take."""
    return max(
        (statement.lock for statement in statements), key=lambda lock: lock.strength, default=Lock.NONE
    )


@dataclass(frozen=True, slots=True)
class Remark:
    """What a migration leaves as it is, and why."""

    table: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, in order, and what is left alone."""

    steps: tuple[Step, ...] = ()
    remarks: tuple[Remark, ...] = ()
