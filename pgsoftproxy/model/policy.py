"""A policy: the configuration's rules compiled against one catalog.

Pure. Must not know where the rules were written (only an `origin` to quote) nor how SQL is rewritten.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

from pgsoftproxy.model.catalog import Catalog, KeyAction, Relation, RelationKind
from pgsoftproxy.model.context import Grant

CREATABLE = frozenset({RelationKind.TABLE, RelationKind.PARTITIONED, RelationKind.FOREIGN})
VIEWS = frozenset({RelationKind.VIEW, RelationKind.MATVIEW})


class Mode(Enum):
    """Whether a table's policy is applied or only counted."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


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
        schema, dot, name = self.pattern.partition(".")
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
    physically remove rows of a protected table through foreign keys, with that table's label.
    """

    catalog: Catalog
    protections: Mapping[int, Protection] = field(default_factory=dict)
    exposing: Mapping[int, str] = field(default_factory=dict)
    broken: Mapping[int, str] = field(default_factory=dict)
    destroying: Mapping[int, str] = field(default_factory=dict)
    grants: Mapping[str, Grant] = field(default_factory=dict)
    version: int = 0
    names: Mapping[str, tuple[Relation, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names: dict[str, tuple[Relation, ...]] = {}
        for oid in {*self.protections, *self.exposing, *self.broken, *self.destroying}:
            relation = self.catalog.relations[oid]
            names[relation.name] = (*names.get(relation.name, ()), relation)
        object.__setattr__(self, "names", names)

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
    protections: dict[int, Protection] = {}
    broken: dict[int, str] = {}
    problems: list[Problem] = []
    tables = [relation for relation in catalog.relations.values() if relation.kind in CREATABLE]
    for rule in sorted(rules, key=lambda rule: rule.precedence):
        if rule.database is not None and rule.database != catalog.database:
            continue
        matched = [relation for relation in tables if rule.matches(relation)]
        if not matched and not rule.is_glob:
            problems.append(Problem(rule.origin, _missing(rule, catalog)))
        for relation in matched:
            found = _protect(rule, relation)
            if isinstance(found, Protection):
                protections[relation.oid] = found
                broken.pop(relation.oid, None)
            elif not rule.is_glob or found.serious:
                protections.pop(relation.oid, None)
                broken[relation.oid] = found.message
                problems.append(Problem(rule.origin, found.message))
    _inherit(protections, broken, catalog)
    policy = Policy(
        catalog,
        protections,
        exposing=_exposing(protections, broken, catalog),
        broken=broken,
        destroying=_destroying(protections, catalog),
        grants=dict(grants),
        version=version,
    )
    return policy, tuple(problems)


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
    return Protection(relation, rule.column, kind, nullable=not column.not_null, mode=rule.mode, **present)


def _missing(rule: TableRule, catalog: Catalog) -> str:
    pattern = rule.pattern if "." in rule.pattern else f"public.{rule.pattern}"
    schema, _, name = pattern.partition(".")
    relation = catalog.find(schema, name)
    if relation is not None:
        return f'"{pattern}" is a {relation.kind.name.lower()}, only tables can be protected'
    return f'table "{pattern}" does not exist in database "{catalog.database}"'


def _inherit(protections: dict[int, Protection], broken: dict[int, str], catalog: Catalog) -> None:
    # A partition or child is under the policy of its parent unless a rule of its own already covers it.
    for oid, protection in list(protections.items()):
        for child in catalog.descendants(oid):
            if child.oid in protections or child.oid in broken:
                continue
            column = child.column(protection.column)
            if column is None:  # cannot be: columns are inherited by name
                broken[child.oid] = f'table "{child.label}" has no column "{protection.column}"'
                continue
            protections[child.oid] = Protection(
                child,
                protection.column,
                protection.kind,
                nullable=not column.not_null,
                deleted_by=protection.deleted_by,
                deletion_id=protection.deletion_id,
                created_at=protection.created_at,
                mode=protection.mode,
            )


def _exposing(
    protections: Mapping[int, Protection], broken: Mapping[int, str], catalog: Catalog
) -> dict[int, str]:
    hidden = {oid: p.label for oid, p in protections.items() if p.mode is Mode.ENFORCE}
    hidden.update({oid: catalog.relations[oid].label for oid in broken})
    exposing: dict[int, str] = {}
    grew = True
    while grew:
        grew = False
        for relation in catalog.relations.values():
            if relation.oid in exposing or relation.oid in hidden:
                continue
            through = relation.reads if relation.kind in VIEWS else ()
            if relation.kind in CREATABLE:
                through = tuple(child.oid for child in catalog.descendants(relation.oid))
            label = next(
                (hidden.get(oid) or exposing.get(oid) for oid in through if oid in hidden or oid in exposing),
                None,
            )
            if label is not None:
                exposing[relation.oid] = label
                grew = True
    return exposing


def _destroying(protections: Mapping[int, Protection], catalog: Catalog) -> dict[int, str]:
    """Map each unprotected relation to a protected one that ON DELETE CASCADE reaches from it."""
    hidden = {oid: p.label for oid, p in protections.items() if p.mode is Mode.ENFORCE}
    destroying: dict[int, str] = {}
    cascades = [key for key in catalog.foreign_keys if key.on_delete is KeyAction.CASCADE]
    grew = True
    while grew:
        grew = False
        for key in cascades:
            if key.references in hidden or key.references in destroying:
                continue
            family = [key.relation, *(child.oid for child in catalog.descendants(key.relation))]
            label = next(
                (
                    hidden.get(oid) or destroying.get(oid)
                    for oid in family
                    if oid in hidden or oid in destroying
                ),
                None,
            )
            if label is not None:
                destroying[key.references] = label
                for child in catalog.descendants(key.references):
                    if child.oid not in hidden:
                        destroying.setdefault(child.oid, label)
                grew = True
    return destroying


def _first_label(oids: Iterable[int], *maps: Mapping[int, str]) -> str | None:
    return next((labels[oid] for oid in oids for labels in maps if oid in labels), None)
