"""Columns that tables lack: for those that the configuration names one by one. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pgsoftproxy.db import ddl
from pgsoftproxy.model.catalog import Catalog, Column, Relation, RelationKind
from pgsoftproxy.model.policy import ColumnKind, TableRule
from pgsoftproxy.model.present import SchemaState
from pgsoftproxy.model.steps import Kind, Step

ADDED_TO = frozenset({RelationKind.TABLE, RelationKind.PARTITIONED})


@dataclass(frozen=True, slots=True)
class MissingColumn:
    """A column that a table is to get, and its children with it."""

    relation: Relation
    name: str
    type_name: str


def missing_columns(rules: Iterable[TableRule], catalog: Catalog) -> tuple[MissingColumn, ...]:
    """Return the columns that exact rules name and their tables lack; a glob asks for none."""
    last: dict[int, TableRule] = {}
    for rule in sorted(rules, key=lambda rule: rule.precedence):
        if rule.is_glob or rule.database not in {None, catalog.database}:
            continue
        for relation in catalog.relations.values():
            if relation.kind in ADDED_TO and rule.matches(relation):
                last[relation.oid] = rule
    missing = [column for oid, rule in last.items() for column in _lacking(catalog.relations[oid], rule)]
    given = {(column.relation.oid, column.name) for column in missing}

    def comes_from_above(column: MissingColumn) -> bool:
        return any((oid, column.name) in given for oid in _ancestors(column.relation, catalog))

    kept = [column for column in missing if not comes_from_above(column)]
    return tuple(sorted(kept, key=lambda column: column.relation.label))


def with_columns(catalog: Catalog, missing: Iterable[MissingColumn]) -> Catalog:
    """Return the catalog as it will be with them."""
    relations = dict(catalog.relations)
    for column in missing:
        oid = column.relation.oid
        for relation in (catalog.relations[oid], *catalog.descendants(oid)):
            known = relations[relation.oid]
            if known.column(column.name) is None:
                added = (*known.columns, Column(column.name, column.type_name))
                relations[relation.oid] = replace(known, columns=added)
    return replace(catalog, relations=relations)


def column_steps(missing: Iterable[MissingColumn], state: SchemaState) -> Iterator[Step]:
    """Yield a step for each column."""
    for column in missing:
        relation = column.relation
        yield Step(
            f"column:{relation.label}:{column.name}",
            Kind.COLUMN,
            f'add column "{column.name}" ({column.type_name})',
            relation.label,
            (ddl.add_column(relation, column.name, column.type_name),),
            ddl.drop_column(relation, column.name),
            "the configuration names it; without a default no row is rewritten",
            rows=state.table(relation.oid).rows,
        )


def _lacking(relation: Relation, rule: TableRule) -> Iterator[MissingColumn]:
    wanted = (
        (rule.column, ColumnKind.TIMESTAMPTZ.value),
        (rule.deleted_by, "text"),
        (rule.deletion_id, "uuid"),
    )
    for name, type_name in wanted:
        if name is not None and relation.column(name) is None:
            yield MissingColumn(relation, name, type_name)


def _ancestors(relation: Relation, catalog: Catalog) -> Iterator[int]:
    todo = list(relation.parents)
    while todo:
        oid = todo.pop()
        yield oid
        todo.extend(catalog.relations[oid].parents if oid in catalog.relations else ())
