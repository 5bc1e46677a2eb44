"""Which names may mean a protected table, or lead to one, once a statement has changed relations. Pure.

Errs on the side of too many: what is touched is read from the catalog, foreseen, or refused, before it is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pgsoftproxy.model.catalog import VIEWS, Column, KeyAction, Relation
from pgsoftproxy.model.policy import Policy, TableRule
from pgsoftproxy.model.routines import OPAQUE
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rules.follow_temporary import made_name, makes_temporary
from pgsoftproxy.rewrite.scope import Findings
from pgsoftproxy.rewrite.tree import Node, strings, tagged

TYPE_NAMES = {
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
    "bool": "boolean",
}
"""The types that a deletion column may have, by the names that the parser gives, as `format_type` prints them."""
ANYTHING: Final = "*"
"""Stands among touched names for relations and routines that nobody could list."""
HIDDEN = frozenset(
    "DoStmt CreateExtensionStmt AlterExtensionStmt AlterExtensionContentsStmt ImportForeignSchemaStmt CreateSchemaStmt "
    "CreateFunctionStmt AlterFunctionStmt ViewStmt RuleStmt CreateCastStmt DefineStmt CreateOpClassStmt".split()
)
"""What may make or change anything, or what calls and reads what."""
OF_A_RELATION = frozenset(
    {"OBJECT_TABCONSTRAINT", "OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY", "OBJECT_ATTRIBUTE"}
)
"""What is renamed by naming the relation that it belongs to."""


@dataclass(frozen=True, slots=True)
class _Changed:
    """A relation, by a RangeVar, that is new under its name or has new columns; `columns` None: not known which."""

    node: Node
    columns: frozenset[str] | None


def touched(statement: Node, surroundings: Surroundings) -> frozenset[str]:
    """Return the bare names that may mean a protected table, or lead to one, once a statement has run."""
    tag, fields = tagged(statement)
    names = set(_linked(tag, fields, surroundings))
    names.update(
        change.node["relname"]
        for change in _changes(tag, fields, surroundings)
        if _matters(change, surroundings)
    )
    made = made_name(statement)
    if tag in HIDDEN or "OBJECT_TYPE" in (fields.get("objtype"), fields.get("renameType")):
        names.add(ANYTHING)
    if tag == "ViewStmt" and fields.get("replace") and made is not None:
        names.update({made["relname"]} & surroundings.policy.names.keys())
    return frozenset({*names, *_dependents(names, surroundings.policy)}) if names else frozenset()


def is_clear(findings: Findings, surroundings: Surroundings) -> bool:
    """Tell whether a query names nothing that what the open transaction has changed could matter to."""
    values, policy = surroundings.values, surroundings.policy
    if values.uncovered or ANYTHING in values.touched or findings.references or policy.catalog.row_routines:
        return False
    called = {strings(call["funcname"])[-1] for call in findings.calls}
    return called.isdisjoint(policy.catalog.routines_by_name) and called.isdisjoint(OPAQUE)


def _changes(tag: str, fields: Node, surroundings: Surroundings) -> Iterator[_Changed]:
    made = made_name({tag: fields})
    passed_over = (
        made is None
        or tag == "ViewStmt"
        or "inhRelations" in fields
        or makes_temporary({tag: fields}, surroundings)
    )
    if made is not None and not passed_over and not _is_there(made, fields, surroundings):
        columns = plain_columns(fields) if tag == "CreateStmt" else None
        yield _Changed(made, None if columns is None else frozenset(column.name for column in columns))
    if "relation" not in fields:
        return
    node = fields["relation"]
    known = surroundings.in_catalog(node)
    columns_now = None if known is None else frozenset(column.name for column in known.columns)
    if tag == "RenameStmt" and fields["renameType"] == "OBJECT_COLUMN":
        yield _Changed(node, frozenset({fields["newname"]}))
    elif tag == "RenameStmt" and fields["renameType"] not in OF_A_RELATION:
        yield _Changed({**node, "relname": fields["newname"]}, columns_now)
    elif tag == "AlterObjectSchemaStmt":
        yield _Changed({**node, "schemaname": fields["newschema"]}, columns_now)
    elif tag == "AlterTableStmt":
        for subtype, command in commands(fields):
            if subtype == "AT_AddColumn":
                yield _Changed(node, frozenset({command["def"]["ColumnDef"]["colname"]}))
            elif subtype in {"AT_AlterColumnType", "AT_SetExpression", "AT_DropExpression"}:
                yield _Changed(node, frozenset({command["name"]}))
            elif subtype == "AT_AddOf":
                yield _Changed(node, None)


def _links(tag: str, fields: Node) -> Iterator[tuple[Node, Node]]:
    """Yield the RangeVars of each child that a statement gives a parent, and of that parent."""
    if tag == "CreateStmt":
        for parent in fields.get("inhRelations", []):
            yield fields["relation"], parent["RangeVar"]
    for subtype, command in commands(fields) if tag == "AlterTableStmt" else ():
        if subtype == "AT_AddInherit":
            yield fields["relation"], command["def"]["RangeVar"]
        elif subtype == "AT_AttachPartition":
            yield command["def"]["PartitionCmd"]["name"], fields["relation"]


def _linked(tag: str, fields: Node, surroundings: Surroundings) -> Iterator[str]:
    """Yield names of children that a parent may protect, of parents that they would show, and of keys' targets."""
    known = surroundings.policy.names.keys() | surroundings.values.touched
    for child, parent in _links(tag, fields):
        above, below = surroundings.in_catalog(parent), surroundings.in_catalog(child)
        own = {key: value for key, value in fields.items() if key not in {"inhRelations", "partbound"}}
        listed = plain_columns(own) if tag == "CreateStmt" else None
        columns: frozenset[str] | None = None
        if below is not None:
            columns = frozenset(column.name for column in below.columns)
        elif above is not None and listed is not None:
            columns = frozenset(column.name for column in (*above.columns, *listed))
        ruled = child["relname"] in known or _matters(_Changed(child, columns), surroundings)
        if ruled or parent["relname"] in known:
            yield child["relname"]
        if ruled:
            yield parent["relname"]
    for _, command in commands(fields) if tag == "AlterTableStmt" else ():
        target = command.get("def", {}).get("Constraint", {}).get("pktable")
        if target is not None and fields["relation"]["relname"] in known:
            yield target["relname"]


def commands(fields: Node) -> Iterator[tuple[str, Node]]:
    for item in fields["cmds"]:
        command = item["AlterTableCmd"]
        yield command.get("subtype", "AT_AddColumn"), command


def _is_there(node: Node, fields: Node, surroundings: Surroundings) -> bool:
    """Tell whether CREATE IF NOT EXISTS makes nothing that matters, because the relation is known."""
    found = surroundings.in_catalog(node) if fields.get("if_not_exists") else None
    if found is None or "schemaname" in node:
        return found is not None
    path = surroundings.schemas()
    before = path[: path.index(found.schema)]
    return not any(rules_of(schema, node["relname"], surroundings.policy) for schema in before)


def _matters(change: _Changed, surroundings: Surroundings) -> bool:
    rules = [
        rule
        for schema in schemas_of(change.node, surroundings)
        for rule in rules_of(schema, change.node["relname"], surroundings.policy)
    ]
    return any(change.columns is None or rule.column in change.columns for rule in rules)


def rules_of(schema: str, name: str, policy: Policy) -> list[TableRule]:
    relation = Relation(0, schema, name)
    return [rule for rule in policy.rules if rule.matches(relation)]


def schemas_of(node: Node, surroundings: Surroundings) -> list[str]:
    """Return the schemas that a relation of this name may be in: of a path, the first that exists is not known."""
    if "schemaname" in node:
        return [node["schemaname"]]
    if not surroundings.values.path_is_certain:
        return list({relation.schema for relation in surroundings.policy.catalog.relations.values()})
    found = surroundings.in_catalog(node)
    return [found.schema] if found is not None else surroundings.schemas()


def _dependents(names: set[str], policy: Policy) -> set[str]:
    """Return the names of what is below, above or over relations of these names, or deletes from them by a cascade."""
    catalog = policy.catalog
    reached = {relation.oid for relation in catalog.relations.values() if relation.name in names}
    todo = list(reached)
    views = [relation for relation in catalog.relations.values() if relation.kind in VIEWS]
    cascades = [key for key in catalog.foreign_keys if key.on_delete is KeyAction.CASCADE]
    while todo:
        oid = todo.pop()
        found = {child.oid for child in catalog.descendants(oid)}
        found.update(parent for parent in catalog.relations[oid].parents if parent in catalog.relations)
        found.update(view.oid for view in views if oid in view.reads)
        found.update(key.references for key in cascades if key.relation == oid)
        todo.extend(found - reached)
        reached |= found
    return {catalog.relations[oid].name for oid in reached}


def plain_columns(fields: Node) -> tuple[Column, ...] | None:
    """Return the columns of a CREATE TABLE, None if it has others than those that it lists."""
    elements = fields.get("tableElts", [])
    odd = any(key in fields for key in ("inhRelations", "partbound", "ofTypename", "partspec"))
    if odd or not all({"ColumnDef", "Constraint"} & item.keys() for item in elements):
        return None
    return tuple(read_column(item["ColumnDef"]) for item in elements if "ColumnDef" in item)


def read_column(node: Node) -> Column:
    kinds = {item["Constraint"]["contype"] for item in node.get("constraints", [])}
    typed = node["typeName"]
    names = strings(typed["names"])
    own = len(names) == 1 or names[0] == "pg_catalog"
    whole = TYPE_NAMES.get(names[-1], names[-1]) if own else ".".join(names)
    whole += "[]" * len(typed.get("arrayBounds", []))
    identity = "CONSTR_IDENTITY" in kinds
    not_null = identity or bool(kinds & {"CONSTR_NOTNULL", "CONSTR_PRIMARY"})
    return Column(node["colname"], whole, not_null, "CONSTR_GENERATED" in kinds, None, identity)
