"""The policy that a text's next statement is planned by, where changes before it are simple. Pure.

Nobody can read the catalog in the middle of a text. What is touched there and not foreseen is refused to the
statements behind, for nobody could tell whether its rows need a guard.
"""

from collections.abc import Iterator
from dataclasses import replace

from pgsoftproxy.model.catalog import TABLES, Column, Relation, UniqueIndex
from pgsoftproxy.model.policy import Policy, compile_policy
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.touched import (
    OF_A_RELATION,
    commands,
    plain_columns,
    read_column,
    rules_of,
    schemas_of,
)
from pgsoftproxy.rewrite.tree import Node, strings, tagged

PLAIN = frozenset(
    {"AT_AddConstraint", "AT_ColumnDefault", "AT_SetNotNull", "AT_DropNotNull", "AT_ValidateConstraint"}
)
"""Parts of ALTER TABLE that neither add nor change columns that a policy looks at."""


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
        columns = plain_columns(fields)
        if columns is None or self._find(node, surroundings) is not None:
            return []
        indexes = tuple(_indexes(node["relname"], elements))
        # Of several schemas that it may be in, each under a rule: the first that is found speaks for the others.
        schemas = [
            schema
            for schema in schemas_of(node, surroundings)
            if "schemaname" in node or rules_of(schema, node["relname"], self._base)
        ]
        first = -1 - len(self._changed)  # oids like none of the server's
        return [
            Relation(first - number, schema, node["relname"], columns=columns, unique_indexes=indexes)
            for number, schema in enumerate(schemas)
        ]

    def _with_columns(self, fields: Node, surroundings: Surroundings) -> list[Relation]:
        relation = self._find(fields["relation"], surroundings)
        parts = list(commands(fields))
        simple = all(subtype == "AT_AddColumn" or subtype in PLAIN for subtype, _ in parts)
        keyed = any("pktable" in command.get("def", {}).get("Constraint", {}) for _, command in parts)
        if relation is None or keyed or not simple or "inh" not in fields["relation"]:
            return []
        added = [
            read_column(command["def"]["ColumnDef"])
            for subtype, command in parts
            if subtype == "AT_AddColumn"
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
        schemas = schemas_of(node, surroundings)
        for relation in self._changed.values():
            if relation.name == node["relname"] and relation.schema in schemas:
                return relation
        return surroundings.in_catalog(node)


def _with_renamed(relation: Relation, old: str, new: str) -> Relation:
    columns = tuple(
        replace(column, name=new) if column.name == old else column for column in relation.columns
    )
    return replace(relation, columns=columns)


def _added(relation: Relation, columns: list[Column]) -> Relation:
    new = tuple(column for column in columns if relation.column(column.name) is None)
    return replace(relation, columns=(*relation.columns, *new))


def _indexes(table: str, elements: list[Node]) -> Iterator[UniqueIndex]:
    for item in elements:
        column = item.get("ColumnDef")
        constraints = [part["Constraint"] for part in column.get("constraints", [])] if column else []
        for constraint in constraints or ([item["Constraint"]] if "Constraint" in item else []):
            if constraint["contype"] in {"CONSTR_PRIMARY", "CONSTR_UNIQUE", "CONSTR_EXCLUSION"}:
                keys = [column["colname"]] if column else strings(constraint.get("keys", []))
                name = constraint.get("conname", f"{table}_key")
                yield UniqueIndex(name, tuple(keys) or (None,), constraint=name)
