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


class By(Enum):
    """Who mends a finding, and how: a step of `migrate`; else somebody who may decide it."""

    MIGRATE = "migrate"
    SQL = "sql"
    CONFIGURATION = "configuration"
    HAND = "hand"


@dataclass(frozen=True, slots=True)
class Mend:
    """What mends a finding: SQL that can be run as it stands, TOML for the configuration, or words.

    MIGRATE: the text is the SQL of its steps, which come with `options`.
    """

    text: str
    by: By = By.HAND
    options: tuple[str, ...] = ()

    @property
    def is_sql(self) -> bool:
        """Tell whether the text is SQL."""
        return self.by in {By.MIGRATE, By.SQL}

    @property
    def command(self) -> str | None:
        """Return the command that mends it, if one does."""
        return " ".join(("pgsoftproxy migrate", *self.options)) if self.by is By.MIGRATE else None


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found: the object, why that matters, what mends it, and where it is configured."""

    subject: Subject
    why: str
    mend: Mend
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
class Accepted:
    """Findings that somebody has decided to live with, and the reason: they are told, and fail nothing."""

    which: Ignored
    reason: str


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
    """All that an audit found in one database; `unseen` says in words what it could not look at.

    `accepted` are findings too, each with the reason for which somebody lives with it.
    """

    database: str
    findings: tuple[Finding, ...] = ()
    accepted: tuple[tuple[Finding, str], ...] = ()
    figures: tuple[TableFigures, ...] = ()
    unseen: tuple[str, ...] = field(default=())
