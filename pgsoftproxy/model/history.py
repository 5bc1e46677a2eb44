"""What is known of one row's deletions: the present one, those that were undone, links that were emptied. Values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any


class State(Enum):
    """Where a row is now; GONE: it is not in the table, but was seen; UNKNOWN: there is no trace of it."""

    LIVE = "live"
    DELETED = "deleted"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Place:
    """A row: its table, and its primary key by column."""

    table: str
    key: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stamps:
    """What a deleted row says of its deletion; None where its table does not note it."""

    at: datetime | None
    by: str | None
    deletion_id: str | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """The deletion that took a row: `path` leads from the row that was deleted first, along CASCADE keys, to it.

    `tables` has how many rows of each table are still deleted by it.
    """

    stamps: Stamps
    path: tuple[Place, ...]
    tables: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Emptied:
    """A link of the row that a deletion emptied, and that was not put back."""

    link: str
    at: datetime
    deletion_id: str
    was: Mapping[str, Any]
    became: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Undone:
    """An earlier deletion of the row that was undone."""

    restored_at: datetime
    restored_by: str
    stamps: Stamps


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of a row; the newest first."""

    place: Place
    state: State
    deletion: Deletion | None = None
    emptied: tuple[Emptied, ...] = ()
    undone: tuple[Undone, ...] = ()
