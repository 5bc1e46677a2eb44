"""Put the rows of the catalog queries together: relations, foreign keys, routines. Pure.

Must not know how the rows came: over a control connection, or as JSON from inside a client's transaction.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgsoftproxy.db import queries
from pgsoftproxy.model.catalog import Column, ForeignKey, KeyAction, Relation, RelationKind, UniqueIndex
from pgsoftproxy.model.privileges import Privileges
from pgsoftproxy.model.routines import Routine

Rows = Sequence[Sequence[Any]]

QUERIES: Mapping[str, str] = {
    "relations": queries.RELATIONS,
    "indexes": queries.UNIQUE_INDEXES,
    "columns": queries.COLUMNS,
    "inheritance": queries.INHERITANCE,
    "view_reads": queries.VIEW_READS,
    "view_calls": queries.VIEW_CALLS,
    "foreign_keys": queries.FOREIGN_KEYS,
    "routines": queries.ROUTINES,
    "routine_reads": queries.ROUTINE_READS,
    "routine_calls": queries.ROUTINE_CALLS,
    "marks": queries.MARKS,
    "usage": queries.SCHEMA_USAGE,
    "heirs": queries.HEIRS,
}
"""What `assemble` needs, by the name that it knows the rows by. First what looks past the snapshot."""
LOCKED_OUT = frozenset({"relations", "indexes", "columns"})
"""Those whose parameter lists relations whose expressions are left out; that of `routines` lists OPAQUE."""

_VIEWS = frozenset({RelationKind.VIEW.value, RelationKind.MATVIEW.value})


@dataclass(frozen=True, slots=True)
class Assembled:
    """The parts of a catalog that DDL of tables, views, routines and privileges changes."""

    relations: Mapping[int, Relation]
    foreign_keys: tuple[ForeignKey, ...]
    routines: Mapping[int, Routine]
    marks: Mapping[tuple[int, str], str]
    privileges: Privileges


@dataclass(frozen=True, slots=True)
class _Parts:
    """What belongs to relations, by oid; `numbers` names a column by relation and attribute number."""

    columns: Mapping[int, tuple[Column, ...]]
    numbers: Mapping[tuple[int, int], str]
    parents: Mapping[int, tuple[int, ...]]
    reads: Mapping[int, tuple[int, ...]]
    calls: Mapping[int, tuple[int, ...]]


def assemble(rows: Callable[[str], Rows]) -> Assembled:
    """Build from the rows of each query, given by its name in QUERIES."""
    columns, numbers = _columns(rows("columns"))
    parts = _Parts(
        columns=columns,
        numbers=numbers,
        parents=_grouped(rows("inheritance")),
        reads=_grouped(rows("view_reads")),
        calls=_grouped(rows("view_calls")),
    )
    relations = _relations(rows("relations"), _unique_indexes(rows("indexes"), parts), parts)
    keys = _foreign_keys(rows("foreign_keys"), relations, parts)
    marks = {(oid, name): mark for oid, name, mark in rows("marks")}
    return Assembled(relations, keys, _routines(rows), marks, _privileges(rows))


def _privileges(rows: Callable[[str], Rows]) -> Privileges:
    usage: dict[str, set[str]] = defaultdict(set)
    for schema, grantee in rows("usage"):
        usage[schema].add(grantee)
    return Privileges(
        {schema: frozenset(grantees) for schema, grantees in usage.items()},
        closure((role, other) for role, other in rows("heirs") if other is not None),
        frozenset(role for role, other in rows("heirs") if other is None),
    )


def closure(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Map each member to every role it is a member of, directly or not.

    >>> closure([("ann", "staff"), ("staff", "all")])["ann"] == {"staff", "all"}
    True
    """
    direct: dict[str, set[str]] = defaultdict(set)
    for member, role in pairs:
        direct[member].add(role)
    closed: dict[str, frozenset[str]] = {}
    for member in direct:
        seen: set[str] = set()
        todo = [member]
        while todo:
            fresh = direct.get(todo.pop(), set()) - seen
            seen |= fresh
            todo.extend(fresh)
        closed[member] = frozenset(seen)
    return closed


def _grouped(rows: Rows) -> dict[int, tuple[int, ...]]:
    grouped: dict[int, list[int]] = defaultdict(list)
    for oid, other in rows:
        grouped[oid].append(other)
    return {oid: tuple(others) for oid, others in grouped.items()}


def _columns(rows: Rows) -> tuple[dict[int, tuple[Column, ...]], dict[tuple[int, int], str]]:
    grouped: dict[int, list[Column]] = defaultdict(list)
    numbers: dict[tuple[int, int], str] = {}
    for oid, number, name, type_name, not_null, generated, identity, always, default in rows:
        grouped[oid].append(Column(name, type_name, not_null, generated, default, identity, always))
        numbers[oid, number] = name
    return {oid: tuple(columns) for oid, columns in grouped.items()}, numbers


def _relations(
    rows: Rows, indexes: Mapping[int, tuple[UniqueIndex, ...]], parts: _Parts
) -> dict[int, Relation]:
    # A view without a definition was dropped since the snapshot.
    rows = [row for row in rows if row[3] not in _VIEWS or row[5] is not None]
    known = {row[0] for row in rows}
    relations: dict[int, Relation] = {}
    for oid, schema, name, kind, is_partition, definition, ruled in rows:
        relations[oid] = Relation(
            oid,
            schema,
            name,
            RelationKind(kind),
            parts.columns.get(oid, ()),
            indexes.get(oid, ()),
            tuple(parent for parent in parts.parents.get(oid, ()) if parent in known),
            is_partition,
            definition.rstrip().removesuffix(";") if kind in _VIEWS else None,
            tuple(read for read in parts.reads.get(oid, ()) if read in known),
            parts.calls.get(oid, ()),
            ruled,
        )
    return relations


def _unique_indexes(rows: Rows, parts: _Parts) -> dict[int, tuple[UniqueIndex, ...]]:
    grouped: dict[int, list[UniqueIndex]] = defaultdict(list)
    for oid, name, numbers, known, predicate, primary, constraint, valid, printed in rows:
        if known and predicate is None:
            continue  # dropped, with its table, since the snapshot
        # Attribute number 0 is an expression.
        columns = tuple(parts.numbers.get((oid, number)) for number in numbers)
        expressions = None if printed is None or None in printed else tuple(printed)
        grouped[oid].append(UniqueIndex(name, columns, predicate, primary, constraint, valid, expressions))
    return {oid: tuple(indexes) for oid, indexes in grouped.items()}


def _foreign_keys(rows: Rows, relations: Mapping[int, Relation], parts: _Parts) -> tuple[ForeignKey, ...]:
    return tuple(
        ForeignKey(
            name,
            child,
            parent,
            tuple(parts.numbers[child, number] for number in numbers),
            tuple(parts.numbers[parent, number] for number in parent_numbers),
            KeyAction(on_delete),
            KeyAction(on_update),
            deferrable,
            deferred,
            tuple(zip(schemas, operators, strict=True)),
            tuple(parts.numbers[child, number] for number in emptied or numbers),
        )
        for (name, child, parent, numbers, parent_numbers), rest in ((row[:5], row[5:]) for row in rows)
        for on_delete, on_update, deferrable, deferred, schemas, operators, emptied in (rest,)
        if child in relations and parent in relations
    )


def _routines(rows: Callable[[str], Rows]) -> dict[int, Routine]:
    reads: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for oid, schema, name in rows("routine_reads"):
        reads[oid].append((schema, name))
    calls = _grouped(rows("routine_calls"))
    return {
        oid: Routine(
            oid,
            schema,
            name,
            language,
            body,
            tuple(reads.get(oid, ())),
            calls.get(oid, ()),
            runs,
            takes_row,
            definition,
        )
        for oid, schema, name, language, body, runs, takes_row, definition in rows("routines")
    }
