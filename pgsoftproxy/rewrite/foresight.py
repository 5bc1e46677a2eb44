"""What statements of a text do to the catalog that those behind them are planned by, before anybody can read it.

Two answers, both pure. `touched`: names that may mean a protected table afterwards, though the policy does not say
so. `Foresight`: where a change is simple, the very policy that follows from it. What is touched and not foreseen is
refused to the statements behind, for nobody could tell whether its rows need a guard.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from pgsoftproxy.model.catalog import TABLES, VIEWS, Column, Relation, UniqueIndex
from pgsoftproxy.model.policy import Policy, TableRule, compile_policy
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
PLAIN = frozenset(
    {"AT_AddConstraint", "AT_ColumnDefault", "AT_SetNotNull", "AT_DropNotNull", "AT_ValidateConstraint"}
)
"""Parts of ALTER TABLE that neither add nor change columns that a policy looks at."""


@dataclass(frozen=True, slots=True)
class _Changed:
    """A relation, by a RangeVar, that is new under its name or has new columns; `columns` None: not known which."""

    node: Node
    columns: frozenset[str] | None


def touched(statement: Node, surroundings: Surroundings) -> frozenset[str]:
    """Return the bare names that may mean a protected table, or lead to one, once a statement has run."""
    tag, fields = tagged(statement)
    names = set(_joined(tag, fields))
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
    passed_over = made is None or tag == "ViewStmt" or makes_temporary({tag: fields}, surroundings)
    if made is not None and not passed_over and not _is_there(made, fields, surroundings):
        columns = _plain_columns(fields) if tag == "CreateStmt" else None
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
        for subtype, command in _commands(fields):
            if subtype == "AT_AddColumn":
                yield _Changed(node, frozenset({command["def"]["ColumnDef"]["colname"]}))
            elif subtype in {"AT_AlterColumnType", "AT_SetExpression", "AT_DropExpression"}:
                yield _Changed(node, frozenset({command["name"]}))
            elif subtype == "AT_AddOf":
                yield _Changed(node, None)


def _joined(tag: str, fields: Node) -> Iterator[str]:
    """Yield names of relations that get a parent, or whose rows a DELETE begins to reach through a key."""
    if tag == "CreateStmt" and "inhRelations" in fields:
        yield fields["relation"]["relname"]
    for subtype, command in _commands(fields) if tag == "AlterTableStmt" else ():
        definition = command.get("def", {})
        if subtype == "AT_AddInherit":
            yield fields["relation"]["relname"]
        elif subtype == "AT_AttachPartition":
            yield definition["PartitionCmd"]["name"]["relname"]
        elif subtype == "AT_AddConstraint" and "pktable" in definition.get("Constraint", {}):
            yield definition["Constraint"]["pktable"]["relname"]


def _commands(fields: Node) -> Iterator[tuple[str, Node]]:
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
    return not any(_rules(schema, node["relname"], surroundings.policy) for schema in before)


def _matters(change: _Changed, surroundings: Surroundings) -> bool:
    rules = [
        rule
        for schema in _schemas(change.node, surroundings)
        for rule in _rules(schema, change.node["relname"], surroundings.policy)
    ]
    return any(change.columns is None or rule.column in change.columns for rule in rules)


def _rules(schema: str, name: str, policy: Policy) -> list[TableRule]:
    relation = Relation(0, schema, name)
    return [rule for rule in policy.rules if rule.matches(relation)]


def _schemas(node: Node, surroundings: Surroundings) -> list[str]:
    """Return the schemas that a relation of this name may be in: of a path, the first that exists is not known."""
    if "schemaname" in node:
        return [node["schemaname"]]
    if not surroundings.values.path_is_certain:
        return list({relation.schema for relation in surroundings.policy.catalog.relations.values()})
    found = surroundings.in_catalog(node)
    return [found.schema] if found is not None else surroundings.schemas()


def _dependents(names: set[str], policy: Policy) -> set[str]:
    """Return the names of children of relations of these names, and of views over any of them."""
    reached = {relation.oid for relation in policy.catalog.relations.values() if relation.name in names}
    todo = list(reached)
    while todo:
        oid = todo.pop()
        above = {child.oid for child in policy.catalog.descendants(oid)}
        above.update(
            view.oid for view in policy.catalog.relations.values() if view.kind in VIEWS and oid in view.reads
        )
        todo.extend(above - reached)
        reached |= above
    return {policy.catalog.relations[oid].name for oid in reached}


class Foresight:
    """The policy of a text's next statement, from that of its first one and the simple changes in between."""

    def __init__(self, policy: Policy, touched: frozenset[str]) -> None:
        self._base = policy
        self._changed: dict[int, Relation] = {}
        self._names: frozenset[str] = frozenset()
        self._blind = touched
        self._compiled = True
        self.latest = policy
        """The policy as it was compiled last; what came since only makes, changes or drops relations."""

    @property
    def policy(self) -> Policy:
        """Return the policy that follows from all that was foreseen."""
        if not self._compiled:
            self._compiled = True
            base = self._base
            relations = {**base.catalog.relations, **self._changed}
            catalog = replace(base.catalog, relations=relations)
            policy = compile_policy(base.rules, base.grants, catalog, base.version)[0]
            self.latest = replace(policy, routines=base.routines, statements=base.statements)
        return self.latest

    @property
    def names(self) -> frozenset[str]:
        """Return the names that were touched and are foreseen."""
        return self._names - self._blind

    def forget(self) -> None:
        """Take back all that was foreseen, as a ROLLBACK may."""
        self._changed, self._names = {}, frozenset()
        self.latest, self._compiled = self._base, True

    def follow(self, statement: Node, names: frozenset[str], surroundings: Surroundings) -> None:
        """Take in what a statement changes that touches these names, if that is simple enough."""
        tag, fields = tagged(statement)
        changed: list[Relation] = []
        if tag == "CreateStmt":
            changed = self._made(fields, surroundings)
        elif tag == "AlterTableStmt":
            changed = self._with_columns(fields, surroundings)
        elif tag in {"RenameStmt", "AlterObjectSchemaStmt"} and "relation" in fields:
            changed = self._renamed(tag, fields, surroundings)
        if not changed:
            self._blind |= names
            return
        self._names |= names
        self._changed.update((relation.oid, relation) for relation in changed)
        self._compiled = self._compiled and not names

    def _made(self, fields: Node, surroundings: Surroundings) -> list[Relation]:
        node, elements = fields["relation"], fields.get("tableElts", [])
        columns = _plain_columns(fields)
        if columns is None or self._find(node, surroundings) is not None:
            return []
        indexes = tuple(_indexes(node["relname"], elements))
        # Of several schemas that it may be in, each under a rule: the first that is found speaks for the others.
        schemas = [
            schema
            for schema in _schemas(node, surroundings)
            if "schemaname" in node or _rules(schema, node["relname"], self._base)
        ]
        first = -1 - len(self._changed)  # oids like none of the server's
        return [
            Relation(first - number, schema, node["relname"], columns=columns, unique_indexes=indexes)
            for number, schema in enumerate(schemas)
        ]

    def _with_columns(self, fields: Node, surroundings: Surroundings) -> list[Relation]:
        relation = self._find(fields["relation"], surroundings)
        commands = list(_commands(fields))
        simple = all(subtype == "AT_AddColumn" or subtype in PLAIN for subtype, _ in commands)
        keyed = any("pktable" in command.get("def", {}).get("Constraint", {}) for _, command in commands)
        if relation is None or keyed or not simple or "inh" not in fields["relation"]:
            return []
        added = [
            _column(command["def"]["ColumnDef"]) for subtype, command in commands if subtype == "AT_AddColumn"
        ]
        family = (relation, *self._base.catalog.descendants(relation.oid))
        return [_added(self._changed.get(one.oid, one), added) for one in family]

    def _renamed(self, tag: str, fields: Node, surroundings: Surroundings) -> list[Relation]:
        relation = self._find(fields["relation"], surroundings)
        if relation is None or relation.kind not in TABLES:
            return []
        if tag == "AlterObjectSchemaStmt":
            return [replace(relation, schema=fields["newschema"])]
        if fields["renameType"] in OF_A_RELATION:
            return []
        if fields["renameType"] != "OBJECT_COLUMN":
            return [replace(relation, name=fields["newname"])]
        family = (relation, *self._base.catalog.descendants(relation.oid))
        old, new = fields["subname"], fields["newname"]
        return [_with_renamed(self._changed.get(one.oid, one), old, new) for one in family]

    def _find(self, node: Node, surroundings: Surroundings) -> Relation | None:
        schemas = _schemas(node, surroundings)
        for relation in self._changed.values():
            if relation.name == node["relname"] and relation.schema in schemas:
                return relation
        return surroundings.in_catalog(node)


def _plain_columns(fields: Node) -> tuple[Column, ...] | None:
    """Return the columns of a CREATE TABLE, None if it has others than those that it lists."""
    elements = fields.get("tableElts", [])
    odd = any(key in fields for key in ("inhRelations", "partbound", "ofTypename", "partspec"))
    if odd or not all({"ColumnDef", "Constraint"} & item.keys() for item in elements):
        return None
    return tuple(_column(item["ColumnDef"]) for item in elements if "ColumnDef" in item)


def _with_renamed(relation: Relation, old: str, new: str) -> Relation:
    columns = tuple(
        replace(column, name=new) if column.name == old else column for column in relation.columns
    )
    return replace(relation, columns=columns)


def _added(relation: Relation, columns: list[Column]) -> Relation:
    new = tuple(column for column in columns if relation.column(column.name) is None)
    return replace(relation, columns=(*relation.columns, *new))


def _column(node: Node) -> Column:
    kinds = {item["Constraint"]["contype"] for item in node.get("constraints", [])}
    typed = node["typeName"]
    names = strings(typed["names"])
    own = len(names) == 1 or names[0] == "pg_catalog"
    whole = TYPE_NAMES.get(names[-1], names[-1]) if own else ".".join(names)
    whole += "[]" * len(typed.get("arrayBounds", []))
    identity = "CONSTR_IDENTITY" in kinds
    not_null = identity or bool(kinds & {"CONSTR_NOTNULL", "CONSTR_PRIMARY"})
    return Column(node["colname"], whole, not_null, "CONSTR_GENERATED" in kinds, None, identity)


def _indexes(table: str, elements: list[Node]) -> Iterator[UniqueIndex]:
    for item in elements:
        column = item.get("ColumnDef")
        constraints = [part["Constraint"] for part in column.get("constraints", [])] if column else []
        for constraint in constraints or ([item["Constraint"]] if "Constraint" in item else []):
            if constraint["contype"] in {"CONSTR_PRIMARY", "CONSTR_UNIQUE", "CONSTR_EXCLUSION"}:
                keys = [column["colname"]] if column else strings(constraint.get("keys", []))
                name = constraint.get("conname", f"{table}_key")
                yield UniqueIndex(name, tuple(keys) or (None,), constraint=name)
