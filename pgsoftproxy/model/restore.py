"""What may be asked of a restore, and what came of it. Values only; must not know SQL nor how it is printed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

Key = Mapping[str, Any]
"""The values of a row's primary key by column; of `ctid` alone where the table has none."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deleted rows are asked for: those for which all that is given holds.

    `table` is `schema.name`, None means every table. `key` has a text for each column of its primary key, `where` is
    SQL over its columns. `since` (included) and `until` (not) bound when rows were deleted.
    """

    table: str | None = None
    key: tuple[str, ...] = ()
    where: str | None = None
    deletions: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How to restore: deleted parents too, or all but what is in conflict; for how many seconds to wait for a lock."""

    with_parents: bool = False
    skip: bool = False
    dry_run: bool = False
    lock_timeout: float = 5.0


class Because(Enum):
    """Why a row comes back."""

    ASKED = "asked"
    BELOW = "below"
    PARENT = "parent"


class ConflictKind(Enum):
    """Why a row cannot come back: its parent is not there, its key is taken, or the server says no."""

    PARENT = "parent"
    UNIQUE = "unique"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Conflict:
    """One row that cannot come back. `name` is the foreign key or the unique index.

    `other` is the row that holds its key, `other_restored` whether that one was to come back as well; of a foreign
    key, the values for which there is no live parent. `key` is None where the server does not say which row it is.
    """

    kind: ConflictKind
    table: str
    key: Key | None
    name: str
    other: Key | None = None
    other_restored: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True)
class TableCount:
    """How many rows of a table come back, by reason."""

    table: str
    asked: int = 0
    below: int = 0
    parents: int = 0

    @property
    def rows(self) -> int:
        """Return how many rows come back in all."""
        return self.asked + self.below + self.parents


@dataclass(frozen=True, slots=True)
class LinkCount:
    """A key that the deletion had emptied: in how many rows it is put back, and which were changed meanwhile."""

    link: str
    put_back: int
    left: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What came back, parents first; `done` is False where nothing was changed: a dry run, or a conflict."""

    tables: tuple[TableCount, ...] = ()
    links: tuple[LinkCount, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    conflict_count: int = 0
    done: bool = False

    @property
    def rows(self) -> int:
        """Return how many rows came back in all."""
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a restore is: `what` it does, to which table, and after how many rows of how many."""

    what: str
    table: str
    rows: int
    of: int


Observe = Callable[[Progress], None]
