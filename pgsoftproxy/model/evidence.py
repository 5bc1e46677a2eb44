"""What an audit looks at besides catalog and schema state: triggers, rules, publications, signatures, statistics.

Values only. `db.evidence` fills them; they say what is there, not what is wrong with it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from pgsoftproxy.model.routines import Routine


class Event(Enum):
    """What a trigger or rule is for."""

    SELECT = "SELECT"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    TRUNCATE = "TRUNCATE"


@dataclass(frozen=True, slots=True)
class Signature:
    """How a PL/pgSQL routine is called: arguments as (name, mode, whether a row), and what it returns."""

    arguments: tuple[tuple[str, str, bool], ...] = ()
    returns: str = "void"
    returns_set: bool = False
    procedure: bool = False


@dataclass(frozen=True, slots=True)
class TriggerEvidence:
    """One trigger that is not ours; `relation` and `function` are oids; `after_row`: AFTER, FOR EACH ROW."""

    relation: int
    name: str
    function: int
    events: frozenset[Event]
    definition: str
    after_row: bool = False


@dataclass(frozen=True, slots=True)
class RuleEvidence:
    """One rule of a relation, other than what makes it a view."""

    relation: int
    name: str
    event: Event
    definition: str


@dataclass(frozen=True, slots=True)
class Published:
    """One table whose rows a publication sends, for whatever reason."""

    publication: str
    relation: int
    row_filter: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One table that a publication names itself, with its list of columns and its row filter, if it has them."""

    relation: int
    columns: tuple[str, ...] = ()
    row_filter: str | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """One publication as it was made; `schemas`: it has whole schemas; `publish` lists the operations."""

    name: str
    every_table: bool
    schemas: bool
    via_root: bool
    publish: str
    members: tuple[Member, ...] = ()

    @property
    def given(self) -> frozenset[int]:
        """Return the tables that it names."""
        return frozenset(member.relation for member in self.members)


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """What ANALYZE estimated of a column; `true` is the share of true in a boolean one."""

    null_share: float
    width: int
    true: float | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """The estimated rows of one table, its pages, its rows that VACUUM has yet to remove, its fill factor."""

    rows: float = -1.0
    pages: int = 0
    dead: int = 0
    fill: int = 100


@dataclass(frozen=True, slots=True)
class Count:
    """Rows of one table as they were counted."""

    rows: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it, for one database; `trigger_functions`, like `signatures`, `storage`, `statistics`, by oid.

    `logins` are roles that may log in; `unseen` says what could not be read, and why.
    """

    triggers: tuple[TriggerEvidence, ...] = ()
    trigger_functions: Mapping[int, Routine] = field(default_factory=dict)
    signatures: Mapping[int, Signature] = field(default_factory=dict)
    arguments: Mapping[int, str] = field(default_factory=dict)
    rules: tuple[RuleEvidence, ...] = ()
    published: tuple[Published, ...] = ()
    publications: tuple[Publication, ...] = ()
    definitions: Mapping[int, str] = field(default_factory=dict)
    logins: frozenset[str] = frozenset()
    storage: Mapping[int, Storage] = field(default_factory=dict)
    statistics: Mapping[int, Mapping[str, ColumnStatistics]] = field(default_factory=dict)
    counts: Mapping[int, Count] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()
    """`arguments`: those of each routine as the server prints them, to name it by.

    `definitions`: their CREATE. `publications` are known from 15 on.
    """

    def within(self, relations: Collection[int]) -> "Evidence":
        """Return what is about these relations: others were made since they were read."""
        return replace(
            self,
            triggers=tuple(one for one in self.triggers if one.relation in relations),
            rules=tuple(one for one in self.rules if one.relation in relations),
            published=tuple(one for one in self.published if one.relation in relations),
            publications=tuple(
                replace(one, members=tuple(member for member in one.members if member.relation in relations))
                for one in self.publications
            ),
        )
