"""What an audit says: findings, their severity, and the object that each is about. Values only."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Self


class Severity(Enum):
    """How bad it is: rows leak or are destroyed; something is not as it should be; worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """Return 0 for the worst."""
        return list(Severity).index(self)


class ObjectKind(Enum):
    """Kinds of database object that a finding can be about."""

    TABLE = "table"
    VIEW = "view"
    MATERIALIZED_VIEW = "materialized view"
    FUNCTION = "function"
    TRIGGER = "trigger"
    RULE = "rule"
    INDEX = "index"
    CONSTRAINT = "constraint"
    ROLE = "role"
    PUBLICATION = "publication"
    CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True)
class Subject:
    """One object; `name` is qualified, unquoted, as messages print it."""

    kind: ObjectKind
    name: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found: the object, why that matters, what mends it (SQL, or what to do), and where it is configured.

    `is_sql`: `mend` can be run as it stands.
    """

    subject: Subject
    why: str
    mend: str
    is_sql: bool = True
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found by the check of that id in a database."""

    check: str
    severity: Severity
    found: Found
    database: str = ""

    @property
    def object(self) -> str:
        """Return the name of the object."""
        return self.found.subject.name


@dataclass(frozen=True, slots=True)
class Ignored:
    """Findings that are not to be told: a check, or a check of one object, as `id` or `id:object`."""

    check: str
    object: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `id` or `id:object`."""
        check, colon, name = text.partition(":")
        return cls(check, name if colon else None)

    def covers(self, finding: Finding) -> bool:
        """Tell whether a finding is one of them."""
        return self.check == finding.check and self.object in {None, finding.object}


@dataclass(frozen=True, slots=True)
class TableFigures:
    """Estimates of one protected table, counts where it was counted; None where nothing is known.

    `rows` and `deleted` are rows, `bloat` is the share of its pages that no row needs.
    """

    table: str
    rows: int | None = None
    deleted: int | None = None
    bytes: int = 0
    bloat: float | None = None
    counted: bool = False

    @property
    def deleted_share(self) -> float | None:
        """Return the share of rows that are deleted."""
        if self.rows is None or self.deleted is None:
            return None
        return self.deleted / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """All that an audit found in one database; `unseen` says in words what it could not look at."""

    database: str
    findings: tuple[Finding, ...] = ()
    figures: tuple[TableFigures, ...] = ()
    unseen: tuple[str, ...] = field(default=())
