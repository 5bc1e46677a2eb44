"""A policy: the configuration's rules compiled against one catalog.

Pure. Must not know where the rules were written (only an `origin` to quote) nor how SQL is rewritten.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from fnmatch import fnmatchcase

from pgsoftproxy.model.catalog import TABLES, Catalog, Relation
from pgsoftproxy.model.context import Grant
from pgsoftproxy.model.reach import STATISTICS, ViewCalls, calling, destroying, exposing
from pgsoftproxy.model.routines import RoutineMemo, RoutineRules
from pgsoftproxy.model.statements import StatementRules

SETTINGS = "pg_settings"
"""The view of pg_catalog by which an UPDATE sets variables."""


class Mode(Enum):
    """Whether a table's policy is applied or only counted."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


class Upsert(Enum):
    """What an upsert does that meets the key of a deleted row: fail, or bring it back as newly inserted."""

    ERROR = "error"
    REVIVE = "revive"


class Truncate(Enum):
    """What becomes of a TRUNCATE: it is refused, or deletes all live rows softly."""

    REFUSE = "refuse"
    SOFT = "soft"


class Relations(Enum):
    """What a soft DELETE asks of the keys that refer to its table: that the database acts on them, or nothing."""

    REQUIRE = "require"
    PARENT_ONLY = "parent_only"


class ColumnKind(Enum):
    """Types a deletion column may have, with what `format_type` prints as value."""

    TIMESTAMPTZ = "timestamp with time zone"
    TIMESTAMP = "timestamp without time zone"
    BOOLEAN = "boolean"

    @classmethod
    def of(cls, type_name: str) -> "ColumnKind | None":
        """Return the kind of a type's name; a precision, as in `timestamp(3) with time zone`, is dropped."""
        head, _, tail = type_name.partition("(")
        plain = head + tail.partition(")")[2] if tail else type_name
        return next((kind for kind in cls if kind.value == plain), None)


@dataclass(frozen=True, slots=True)
class TableRule:
    """One `[tables."schema.name"]` of the configuration; `pattern` may hold `*` and `?` in either part.

    `database` None means every database. `origin` (`file:line`) is quoted in problems.
    """

    pattern: str
    column: str = "deleted_at"
    deleted_by: str | None = None
    deletion_id: str | None = None
    created_at: str | None = None
    mode: Mode = Mode.ENFORCE
    database: str | None = None
    origin: str = ""
    upsert: Upsert = Upsert.ERROR
    truncate: Truncate = Truncate.REFUSE
    relations: Relations = Relations.REQUIRE

    @property
    def is_glob(self) -> bool:
        """Tell whether the pattern may match any number of tables, none included."""
        return "*" in self.pattern or "?" in self.pattern

    @property
    def precedence(self) -> tuple[bool, bool, int]:
        """Return the sort key by which a more specific rule comes later: database, then exact, then length."""
        return (self.database is not None, not self.is_glob, len(self.pattern))

    def matches(self, relation: Relation) -> bool:
        """Tell whether the rule's pattern matches the relation's `schema.name`."""
        # fnmatch gives brackets a meaning that the configuration does not.
        schema, dot, name = self.pattern.replace("[", "[[]").partition(".")
        if not dot:
            schema, name = "public", schema
        return fnmatchcase(relation.schema, schema) and fnmatchcase(relation.name, name)


@dataclass(frozen=True, slots=True)
class Protection:
    """What the policy says of one relation."""

    relation: Relation
    column: str
    kind: ColumnKind
    nullable: bool = True
    deleted_by: str | None = None
    deletion_id: str | None = None
    created_at: str | None = None
    mode: Mode = Mode.ENFORCE
    upsert: Upsert = Upsert.ERROR
    truncate: Truncate = Truncate.REFUSE
    relations: Relations = Relations.REQUIRE

    @property
    def label(self) -> str:
        """Return `schema.name`, unquoted, as messages and metrics print it."""
        return self.relation.label


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that the catalog lacks for a rule, in the words of `check-config`."""

    origin: str
    message: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.message}" if self.origin else self.message


@dataclass(frozen=True, slots=True)
class Policy:
    """The compiled policy of one database; all maps are keyed by relation oid.

    `exposing`: views, matviews and unprotected parents through which rows of a protected table can be read,
    with that table's label. `broken`: relations that a rule names but that lack what it needs, with the
    reason; whoever names one is refused. `destroying`: unprotected relations a DELETE on which would
    physically remove rows of a protected table through foreign keys, with that table's label. `unready`:
    protected tables with referring rows on which the database does not act as it should, with what it lacks.
    `calling`: views that call routines. `names`: the relations of all these by bare name; the statistics of the
    server are among the names, without a relation. `hides`: there are rows to keep from view.
    `routines`: what may be called though the proxy cannot see its work; `memo`: what is known of that work.
    `statements`: what may be sent though it shows or keeps rows past the rewriter. `rules`: what it was compiled
    from, for who must know what it would make of another table. `restores`: `pgsoftproxy.restore` is there, and is
    the one that these tables need.
    """

    catalog: Catalog
    protections: Mapping[int, Protection] = field(default_factory=dict)
    exposing: Mapping[int, str] = field(default_factory=dict)
    broken: Mapping[int, str] = field(default_factory=dict)
    destroying: Mapping[int, str] = field(default_factory=dict)
    unready: Mapping[int, str] = field(default_factory=dict)
    calling: Mapping[int, ViewCalls] = field(default_factory=dict)
    grants: Mapping[str, Grant] = field(default_factory=dict)
    version: int = 0
    routines: RoutineRules = field(default_factory=RoutineRules)
    statements: StatementRules = field(default_factory=StatementRules)
    rules: tuple[TableRule, ...] = ()
    restores: bool = False
    names: Mapping[str, tuple[Relation, ...]] = field(init=False, repr=False, compare=False)
    hides: bool = field(init=False, repr=False, compare=False)
    memo: RoutineMemo = field(default_factory=RoutineMemo, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names: dict[str, tuple[Relation, ...]] = {}
        for oid in {*self.protections, *self.exposing, *self.broken, *self.destroying, *self.calling}:
            relation = self.catalog.relations[oid]
            names[relation.name] = (*names.get(relation.name, ()), relation)
        enforced = any(protection.mode is Mode.ENFORCE for protection in self.protections.values())
        if enforced:
            for name in (*STATISTICS, SETTINGS):
                names.setdefault(name, ())
        object.__setattr__(self, "hides", enforced or bool(self.broken))
        object.__setattr__(self, "names", names)

    def is_observed(self, relation: Relation) -> bool:
        """Tell whether a relation is protected in observe mode only."""
        protection = self.protections.get(relation.oid)
        return protection is not None and protection.mode is Mode.OBSERVE

    def grant(self, role: str) -> Grant:
        """Return what a role may do: its own grant and those of the roles it is a member of."""
        roles = [role, *self.catalog.memberships.get(role, ())]
        grants = [self.grants[name] for name in roles if name in self.grants]
        return Grant(
            Grant().visibility.union(*(grant.visibility for grant in grants)),
            restore=any(grant.restore for grant in grants),
            hard_delete=any(grant.hard_delete for grant in grants),
        )


def compile_policy(
    rules: Iterable[TableRule], grants: Mapping[str, Grant], catalog: Catalog, version: int = 0
) -> tuple[Policy, tuple[Problem, ...]]:
    """Compile rules against a catalog: the policy, and what the catalog lacks for the rules.

    An exact rule whose table is missing or lacks the column is a problem; a glob passes over such tables.
    A problem leaves its relation `broken`, so that a policy with problems is still safe to serve.
    """
    draft = _Draft(catalog)
    own = [rule for rule in rules if rule.database is None or rule.database == catalog.database]
    own.sort(key=lambda rule: rule.precedence)
    for rule in own:
        draft.apply(rule)
    draft.inherit()
    draft.compare_with_children()
    hidden = {oid: p.label for oid, p in draft.protections.items() if p.mode is Mode.ENFORCE}
    hidden.update({oid: catalog.relations[oid].label for oid in draft.broken})
    policy = Policy(
        catalog,
        draft.protections,
        exposing=exposing(hidden, catalog),
        broken={oid: problem.message for oid, problem in draft.broken.items()},
        destroying=destroying(hidden, catalog),
        calling=calling(catalog) if draft.protections or draft.broken else {},
        grants=dict(grants),
        version=version,
        rules=tuple(own),
    )
    return policy, (*draft.missing, *draft.broken.values())


class _Draft:
    """What the rules seen so far make of each relation: protected, broken, or neither."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.protections: dict[int, Protection] = {}
        self.broken: dict[int, Problem] = {}
        self.missing: list[Problem] = []
        self._origins: dict[int, str] = {}

    def apply(self, rule: TableRule) -> None:
        """Let a rule that is at least as specific as all before it speak for the tables it matches."""
        relations = self.catalog.relations.values()
        matched = [relation for relation in relations if relation.kind in TABLES and rule.matches(relation)]
        if not matched and not rule.is_glob:
            self.missing.append(Problem(rule.origin, _missing(rule, self.catalog)))
        for relation in matched:
            found = _protect(rule, relation)
            if isinstance(found, Protection):
                self.protections[relation.oid] = found
                self._origins[relation.oid] = rule.origin
                self.broken.pop(relation.oid, None)
            elif not rule.is_glob or found.serious:
                self._break(relation.oid, Problem(rule.origin, found.message))

    def inherit(self) -> None:
        """Put each relation that no rule speaks for under the policy of its nearest ancestor that has one."""
        ruled = {*self.protections, *self.broken}
        for relation in self.catalog.relations.values():
            above = None if relation.oid in ruled else self._nearest(relation, ruled)
            if above is None:
                continue
            self._origins[relation.oid] = self._origins[above]
            column = relation.column(self.protections[above].column) if above in self.protections else None
            if column is None:
                message = f'table "{relation.label}" inherits from what is not protected as configured'
                self._break(relation.oid, Problem(self._origins[above], message))
            else:
                nullable = not column.not_null
                self.protections[relation.oid] = replace(
                    self.protections[above], relation=relation, nullable=nullable
                )

    def compare_with_children(self) -> None:
        """Break each table whose policy would show, through it, rows that a child's own policy hides."""
        for oid, protection in list(self.protections.items()):
            for child in self.catalog.descendants(oid):
                below = self.protections.get(child.oid)
                if below is None or below.mode is Mode.OBSERVE:
                    continue
                if protection.mode is Mode.OBSERVE or below.column != protection.column:
                    message = (
                        f'table "{protection.label}" has another column or mode than "{below.label}", '
                        "which inherits from it: its hidden rows would show"
                    )
                    self._break(oid, Problem(self._origins[oid], message))
                    break

    def _break(self, oid: int, problem: Problem) -> None:
        self.protections.pop(oid, None)
        self.broken[oid] = problem
        self._origins[oid] = problem.origin

    def _nearest(self, relation: Relation, ruled: set[int]) -> int | None:
        level = list(relation.parents)
        seen: set[int] = set()
        while level:
            found = next((oid for oid in level if oid in ruled), None)
            if found is not None:
                return found
            seen.update(level)
            above = (self.catalog.relations[oid].parents for oid in level if oid in self.catalog.relations)
            level = [oid for parents in above for oid in parents if oid not in seen]
        return None


@dataclass(frozen=True, slots=True)
class _Lack:
    """Why a rule cannot protect a relation; `serious` if it is a problem even where a glob matched."""

    message: str
    serious: bool


def _protect(rule: TableRule, relation: Relation) -> Protection | _Lack:
    column = relation.column(rule.column)
    if column is None:
        return _Lack(f'table "{relation.label}" has no column "{rule.column}"', serious=False)
    kind = ColumnKind.of(column.type_name)
    if kind is None:
        wanted = "timestamptz, timestamp or boolean"
        message = f'column "{rule.column}" of table "{relation.label}" is {column.type_name}, not {wanted}'
        return _Lack(message, serious=True)
    if kind is not ColumnKind.BOOLEAN and column.not_null:
        message = (
            f'column "{rule.column}" of table "{relation.label}" is NOT NULL, so that no row can be live'
        )
        return _Lack(message, serious=True)
    if column.generated:
        message = f'column "{rule.column}" of table "{relation.label}" is generated and cannot be set'
        return _Lack(message, serious=True)
    optional = {"deleted_by": rule.deleted_by, "deletion_id": rule.deletion_id, "created_at": rule.created_at}
    for key, name in optional.items():
        if name is not None and relation.column(name) is None and not rule.is_glob:
            return _Lack(f'table "{relation.label}" has no column "{name}" ({key})', serious=True)
    present = {key: name for key, name in optional.items() if name and relation.column(name)}
    return Protection(
        relation, rule.column, kind, nullable=not column.not_null, mode=rule.mode, upsert=rule.upsert,
        truncate=rule.truncate, relations=rule.relations, **present,
    )  # fmt: skip


def _missing(rule: TableRule, catalog: Catalog) -> str:
    pattern = rule.pattern if "." in rule.pattern else f"public.{rule.pattern}"
    schema, _, name = pattern.partition(".")
    relation = catalog.find(schema, name)
    if relation is not None:
        return f'"{pattern}" is a {relation.kind.name.lower()}, only tables can be protected'
    return f'table "{pattern}" does not exist in database "{catalog.database}"'
