"""What a database has besides its catalog: indexes in full, triggers and functions of ours, sizes, privileges.

Values only. `db.schema_state` fills them; they say what is there, not what should be.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pgsoftproxy.model.steps import Kind, Statement


@dataclass(frozen=True, slots=True)
class IndexState:
    """One index. `columns` has None for an expression, and only key columns.

    `body` is what follows USING in its definition, without WHERE: None where it cannot be told. `constraint` is that
    of the same name, if the index belongs to one, `definition` what `pg_get_constraintdef` prints of it.
    `referenced_by` names foreign keys that need it, `parent` is the oid of the partitioned index that it is part of.
    `marked`: the table is clustered on it, or it is the replica identity.
    """

    oid: int
    relation: int
    schema: str
    name: str
    columns: tuple[str | None, ...]
    body: str | None
    predicate: str | None
    unique: bool
    primary: bool
    valid: bool
    constraint: str | None = None
    definition: str | None = None
    deferrable: bool = False
    excludes: bool = False
    referenced_by: tuple[str, ...] = ()
    parent: int | None = None
    marked: bool = False
    tablespace: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class TriggerState:
    """One trigger of ours, known by its comment."""

    relation: int
    name: str
    mark: str
    enabled: bool
    definition: str


@dataclass(frozen=True, slots=True)
class FunctionState:
    """One function of schema pgsoftproxy; `mark` is the md5 of its body."""

    name: str
    arguments: str
    mark: str
    definition: str


@dataclass(frozen=True, slots=True)
class GrantState:
    """A privilege that a role other than the owner holds; role "" is PUBLIC."""

    role: str
    privilege: str
    grantable: bool


@dataclass(frozen=True, slots=True)
class TableState:
    """One table: estimated rows, size in bytes, who may delete from it, row security, its policies' names."""

    rows: int = 0
    size: int = 0
    owner: str = ""
    grants: tuple[GrantState, ...] = ()
    row_security: bool = False
    policies: Mapping[str, str | None] = field(default_factory=dict)
    """Names of policies to their comments."""


@dataclass(frozen=True, slots=True)
class UpsertingRoutine:
    """A function or procedure in SQL or PL/pgSQL whose body has an ON CONFLICT."""

    label: str
    body: str


@dataclass(frozen=True, slots=True)
class Applied:
    """A step that was run, as the database remembers it."""

    id: str
    kind: Kind
    title: str
    table: str
    down: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class SchemaState:
    """All of it, for one database. `tables`, like `indexes` by relation, are keyed by oid.

    `view_options` are those of views, by oid, as name=value.

    `own` names the tables of schema pgsoftproxy; `noted` tells whether any row is in journal or ledger. `views` maps
    (schema, name) of each view of ours to its comment.
    """

    indexes: Mapping[int, tuple[IndexState, ...]] = field(default_factory=dict)
    triggers: tuple[TriggerState, ...] = ()
    functions: Mapping[str, FunctionState] = field(default_factory=dict)
    tables: Mapping[int, TableState] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    noted: bool = False
    views: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    view_options: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    roles: frozenset[str] = frozenset()
    applied: tuple[Applied, ...] = ()
    upserting: tuple[UpsertingRoutine, ...] = ()

    def table(self, oid: int) -> TableState:
        """Return what is known of a table."""
        return self.tables.get(oid, TableState())

    def index(self, relation: int, name: str) -> IndexState | None:
        """Return a table's index of that name."""
        return next((index for index in self.indexes.get(relation, ()) if index.name == name), None)

    def all_indexes(self) -> Iterator[IndexState]:
        """Yield every index."""
        for indexes in self.indexes.values():
            yield from indexes
