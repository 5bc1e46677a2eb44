"""Find every place of a statement that names a relation of interest, with the CTE scopes of PostgreSQL.

The one resolver of CTE names for all rules (the checker in `verify` has its own, on purpose). Must not know
policies beyond the set of names worth reporting, nor tokens and edits.

Theory. Only an unqualified name can be a CTE. Without RECURSIVE a CTE sees the siblings before it, so its own
name inside it is the table; with RECURSIVE all names of the list are visible in all of it. A WITH inside one
arm of a set operation, or inside the SELECT of an INSERT, does not reach outside. A DML target is never a CTE.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pgsoftproxy.rewrite.tree import QUERIES, Node, is_branch

SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
NO_CTES: frozenset[str] = frozenset()


class Use(Enum):
    """What a statement does with a relation that it names."""

    READ = "read"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    MERGE = "merge"
    NAMED = "named"


TARGETS = {
    "InsertStmt": Use.INSERT,
    "UpdateStmt": Use.UPDATE,
    "DeleteStmt": Use.DELETE,
    "MergeStmt": Use.MERGE,
}


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """One place that names a relation.

    `owner` is the query that it belongs to, with its tag. `direct`: it is itself an item of the owner's FROM
    list, so inner-joined with all the rest by definition. `sampled`: it stands under TABLESAMPLE.
    """

    use: Use
    node: Node
    owner_tag: str = ""
    owner: Node = field(default_factory=dict)
    direct: bool = False
    sampled: bool = False

    @property
    def location(self) -> int:
        """Return the byte offset of the first token of the name."""
        return int(self.node.get("location", 0))

    @property
    def alias(self) -> str | None:
        """Return the alias, folded."""
        alias = self.node.get("alias")
        return None if alias is None else str(alias["aliasname"])

    @property
    def only(self) -> bool:
        """Tell whether ONLY was written."""
        return not self.node.get("inh", False)


@dataclass(slots=True)
class Findings:
    """What one walk of a statement found."""

    references: list[Reference] = field(default_factory=list)
    calls: list[Node] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)
    bare_columns: set[str] = field(default_factory=set)

    @property
    def bare_system_column(self) -> bool:
        """Tell whether an unqualified system column occurs."""
        return not SYSTEM_COLUMNS.isdisjoint(self.bare_columns)


@dataclass(frozen=True, slots=True)
class _Visit:
    node: Any
    ctes: frozenset[str]
    tag: str = ""
    owner: Node = field(default_factory=dict)


def find(statement: Node, names: Collection[str]) -> Findings:
    """Walk one statement (`{Tag: fields}`), reporting relations whose bare name is in `names`."""
    walker = _Walker(names)
    walker.stack.append(_Visit(statement, NO_CTES))
    while walker.stack:
        walker.visit(walker.stack.pop())
    return walker.findings


class _Walker:
    def __init__(self, names: Collection[str]) -> None:
        self.names = names
        self.findings = Findings()
        self.stack: list[_Visit] = []
        self.seen: set[tuple[Use, int]] = set()

    def visit(self, visit: _Visit) -> None:
        node = visit.node
        if isinstance(node, list):
            self.stack.extend(_Visit(item, visit.ctes, visit.tag, visit.owner) for item in node)
            return
        ctes = visit.ctes
        if "withClause" in node:
            ctes = self._with(node["withClause"], visit)
        for key, value in node.items():
            if not is_branch(value) or key == "withClause":
                continue
            if key == "relation" and node is visit.owner and visit.tag in TARGETS:
                continue  # the target, reported when its statement was met
            if key in QUERIES:
                self._query(key, value, ctes)
            elif key in {"larg", "rarg"} and "op" in node:  # an arm of a set operation, untagged
                self._query("SelectStmt", value, ctes)
            elif key in {"fromClause", "usingClause"}:
                self._from(value, _Visit(value, ctes, visit.tag, node))
            elif key == "lockingClause":
                continue  # FOR UPDATE OF names aliases of the FROM list, it reads nothing
            else:
                self._other(key, value, _Visit(value, ctes, visit.tag, visit.owner))

    def _with(self, clause: Node, visit: _Visit) -> frozenset[str]:
        ctes = [item["CommonTableExpr"] for item in clause["ctes"]]
        names = frozenset(cte["ctename"] for cte in ctes)
        everything = visit.ctes | names
        scope = everything if clause.get("recursive") else visit.ctes
        for cte in ctes:
            self.stack.append(_Visit(cte, scope, visit.tag, visit.owner))
            scope |= {cte["ctename"]}
        return everything

    def _query(self, tag: str, node: Node, ctes: frozenset[str]) -> None:
        use = TARGETS.get(tag)
        if use is not None:
            self._report(Reference(use, node["relation"], tag, node), NO_CTES)
        self.stack.append(_Visit(node, ctes, tag, node))

    def _from(self, items: list[Node], visit: _Visit) -> None:
        for item in items:
            if "RangeVar" in item:
                reference = Reference(Use.READ, item["RangeVar"], visit.tag, visit.owner, direct=True)
                self._report(reference, visit.ctes)
            elif "RangeTableSample" in item:
                self._sample(item["RangeTableSample"], visit, direct=True)
            else:
                self.stack.append(_Visit(item, visit.ctes, visit.tag, visit.owner))

    def _sample(self, sample: Node, visit: _Visit, *, direct: bool) -> None:
        # TABLESAMPLE never applies to a CTE, but the server says so, in its own words.
        node = sample["relation"]["RangeVar"]
        self._report(Reference(Use.READ, node, visit.tag, visit.owner, direct, sampled=True), visit.ctes)
        rest = {key: value for key, value in sample.items() if key != "relation"}
        self.stack.append(_Visit(rest, visit.ctes, visit.tag, visit.owner))

    def _other(self, key: str, value: Any, visit: _Visit) -> None:
        if key == "RangeVar":
            use = Use.READ if visit.tag else Use.NAMED
            self._report(Reference(use, value, visit.tag, visit.owner), visit.ctes)
        elif key == "RangeTableSample":
            self._sample(value, visit, direct=False)
        elif isinstance(value, dict) and "relname" in value:
            self._report(Reference(Use.NAMED, value, visit.tag, visit.owner), NO_CTES)
        else:
            if key == "ColumnRef":
                self._column(value)
            elif key in {"FuncCall", "funccall"}:
                self.findings.calls.append(value)
            self.stack.append(visit)

    def _column(self, node: Node) -> None:
        fields = node["fields"]
        last = fields[-1].get("String")
        if last is not None:
            self.findings.columns.add(last["sval"])
            if len(fields) == 1:
                self.findings.bare_columns.add(last["sval"])

    def _report(self, reference: Reference, ctes: frozenset[str]) -> None:
        node = reference.node
        name = node["relname"]
        if name not in self.names or ("schemaname" not in node and name in ctes):
            return
        key = (reference.use, reference.location)
        if key not in self.seen:
            self.seen.add(key)
            self.findings.references.append(reference)
