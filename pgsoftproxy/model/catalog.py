"""The proxy's snapshot of one database: relations, columns, keys, foreign keys, views, routines, search paths.

Values only. `db.introspect` fills it; it must not know how, nor what the configuration protects.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from pgsoftproxy.model.privileges import Privileges
from pgsoftproxy.model.routines import Routine

DEFAULT_SEARCH_PATH = ("$user", "public")


class RelationKind(Enum):
    """Kinds of relation, with `pg_class.relkind` as value."""

    TABLE = "r"
    PARTITIONED = "p"
    VIEW = "v"
    MATVIEW = "m"
    FOREIGN = "f"


TABLES = frozenset({RelationKind.TABLE, RelationKind.PARTITIONED, RelationKind.FOREIGN})
VIEWS = frozenset({RelationKind.VIEW, RelationKind.MATVIEW})


class KeyAction(Enum):
    """Referential actions, with `pg_constraint.confdeltype` as value."""

    NO_ACTION = "a"
    RESTRICT = "r"
    CASCADE = "c"
    SET_NULL = "n"
    SET_DEFAULT = "d"


@dataclass(frozen=True, slots=True)
class Column:
    """One live (not dropped) column; `type_name` is what `format_type` prints.

    `identity_always`: it is GENERATED ALWAYS AS IDENTITY, so that no UPDATE can give it a value.
    """

    name: str
    type_name: str
    not_null: bool = False
    generated: bool = False
    default: str | None = None
    identity: bool = False
    identity_always: bool = False


@dataclass(frozen=True, slots=True)
class UniqueIndex:
    """One unique index, or exclusion constraint. A `None` in `columns` is an expression.

    `predicate` is that of a partial index. `expressions`: those of the index as the server prints them, in their
    order; None if they could not be read.
    """

    name: str
    columns: tuple[str | None, ...]
    predicate: str | None = None
    primary: bool = False
    constraint: str | None = None
    valid: bool = True
    expressions: tuple[str, ...] | None = ()


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """One foreign key; `relation` (the child) and `references` (the parent) are oids.

    `operators` compare a referenced column (left) with a referencing one, pair by pair, as (schema, operator);
    `emptied` are the columns that SET NULL and SET DEFAULT change: all of `columns` unless the key lists them (15).
    """

    name: str
    relation: int
    references: int
    columns: tuple[str, ...]
    referenced_columns: tuple[str, ...]
    on_delete: KeyAction = KeyAction.NO_ACTION
    on_update: KeyAction = KeyAction.NO_ACTION
    deferrable: bool = False
    deferred: bool = False
    operators: tuple[tuple[str, str], ...] = ()
    emptied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation; `columns` in attribute order without dropped ones, `parents` as oids.

    `reads` holds the oids that a view's or matview's definition names; for other kinds it is empty. So for
    `calls`, the functions that it calls, of the server's own only those that it notes. `ruled`: rules or INSTEAD OF
    triggers say what a write does.
    """

    oid: int
    schema: str
    name: str
    kind: RelationKind = RelationKind.TABLE
    columns: tuple[Column, ...] = ()
    unique_indexes: tuple[UniqueIndex, ...] = ()
    parents: tuple[int, ...] = ()
    is_partition: bool = False
    definition: str | None = None
    reads: tuple[int, ...] = ()
    calls: tuple[int, ...] = ()
    ruled: bool = False

    @property
    def label(self) -> str:
        """Return `schema.name`, unquoted, as messages and metrics print it."""
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> Column | None:
        """Return the column of that name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)

    def position(self, name: str) -> int:
        """Return the 0-based place of a column among the live ones; ValueError if it has none."""
        return [column.name for column in self.columns].index(name)


@dataclass(frozen=True, slots=True)
class Catalog:
    """A consistent snapshot of one database.

    `search_paths` maps a role name to the path its sessions start with (`ALTER ROLE` and `ALTER DATABASE`
    defaults resolved); a role not in it starts with `search_path`. `memberships` maps a role to every role
    that it is a member of, directly or not. `row_routines` are the names of routines that `row.name` calls.
    `marks` has the project's own triggers and functions in the database: (oid of the table, trigger) to its comment,
    and (0, function) to the md5 of its body. A trigger that is disabled is not there.
    """

    database: str
    server_version: int = 0
    relations: Mapping[int, Relation] = field(default_factory=dict)
    foreign_keys: tuple[ForeignKey, ...] = ()
    search_path: tuple[str, ...] = DEFAULT_SEARCH_PATH
    search_paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    memberships: Mapping[str, frozenset[str]] = field(default_factory=dict)
    routines: Mapping[int, Routine] = field(default_factory=dict)
    marks: Mapping[tuple[int, str], str] = field(default_factory=dict)
    privileges: Privileges = field(default_factory=Privileges)
    routines_by_name: Mapping[str, tuple[Routine, ...]] = field(init=False, repr=False, compare=False)
    row_routines: frozenset[str] = field(init=False, repr=False, compare=False)
    _by_name: dict[tuple[str, str], Relation] = field(init=False, repr=False, compare=False)
    _children: dict[int, tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        children: dict[int, tuple[int, ...]] = {}
        for relation in self.relations.values():
            for parent in relation.parents:
                children[parent] = (*children.get(parent, ()), relation.oid)
        routines: dict[str, tuple[Routine, ...]] = {}
        for routine in self.routines.values():
            routines[routine.name] = (*routines.get(routine.name, ()), routine)
        takes_row = frozenset(routine.name for routine in self.routines.values() if routine.takes_row)
        object.__setattr__(self, "routines_by_name", routines)
        object.__setattr__(self, "row_routines", takes_row)
        object.__setattr__(self, "_by_name", {(r.schema, r.name): r for r in self.relations.values()})
        object.__setattr__(self, "_children", children)

    def find(self, schema: str, name: str) -> Relation | None:
        """Return the relation of that exact (folded, unquoted) name."""
        return self._by_name.get((schema, name))

    def path_of(self, role: str) -> tuple[str, ...]:
        """Return the search_path that a new session of this role starts with, `$user` unexpanded."""
        return self.search_paths.get(role, self.search_path)

    def ancestors(self, oid: int) -> list[int]:
        """Return every parent above a relation, each once, the nearest first."""
        found: list[int] = []
        todo = list(self.relations[oid].parents)
        while todo:
            parent = todo.pop(0)
            if parent not in found and parent in self.relations:
                found.append(parent)
                todo.extend(self.relations[parent].parents)
        return found

    def tree(self, oid: int) -> set[int]:
        """Return a relation with all that hang together with it by partitioning and inheritance."""
        found: set[int] = set()
        todo = [oid]
        while todo:
            one = todo.pop()
            if one not in found and one in self.relations:
                found.add(one)
                todo += [*self.relations[one].parents, *self._children.get(one, ())]
        return found

    def descendants(self, oid: int) -> Iterator[Relation]:
        """Yield every partition and inheritance child below a relation, each once."""
        seen: set[int] = set()
        todo = list(self._children.get(oid, ()))
        while todo:
            child = todo.pop()
            if child not in seen:
                seen.add(child)
                yield self.relations[child]
                todo.extend(self._children.get(child, ()))
