"""Find every place of a statement that names a relation of interest, with the CTE scopes of PostgreSQL.

The one resolver of CTE names for all rules (the checker in `verify` has its own, on purpose). Must not know
policies beyond the set of names worth reporting, nor tokens and edits.

Theory. Only an unqualified name can be a CTE. Without RECURSIVE a CTE sees the siblings before it, so its own
name inside it is the table; with RECURSIVE all names of the list are visible in all of it. A WITH inside one
arm of a set operation, or inside the SELECT of an INSERT, does not reach outside. A DML target is never a CTE.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from pgsoftproxy.rewrite.tree import LEAVES, QUERIES, Node, strings

SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
TOAST = "pg_toast_"
"""How the names of the tables begin that hold the long values of others; they are not in the catalog."""
NO_CTES: frozenset[str] = frozenset()


class Use(Enum):
    """What a statement does with a relation that it names."""

    READ = "read"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    MERGE = "merge"
    NAMED = "named"


class Place(Enum):
    """Where a predicate on what a reference reads may stand, besides right beside it.

    WHERE: the owner's WHERE sees its name, and no outer join has made its columns NULL by then. ON: it is the right
    side of a join whose ON keeps rows of it out before they are joined.
    """

    WHERE = "where"
    ON = "on"
    BESIDE = "beside"


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
    list, so inner-joined with all the rest by definition. `sampled`: it stands under TABLESAMPLE. `place` is where
    its predicate may stand.
    """

    use: Use
    node: Node
    owner_tag: str = ""
    owner: Node = field(default_factory=dict)
    direct: bool = False
    sampled: bool = False
    place: Place = Place.BESIDE

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
    columns: list[Node] = field(default_factory=list)
    indirections: list[Node] = field(default_factory=list)

    @property
    def bare_system_column(self) -> bool:
        """Tell whether an unqualified system column occurs."""
        return any(
            len(names) == 1 and names[0] in SYSTEM_COLUMNS for names in map(column_names, self.columns)
        )

    def names_any(self, names: Collection[str]) -> bool:
        """Tell whether a column of one of these names occurs, qualified or not."""
        for column in self.columns:
            last = column["fields"][-1]
            if "String" in last and last["String"].get("sval", "") in names:
                return True
        return False


def column_names(column: Node) -> list[str]:
    """Return the parts of a ColumnRef's name."""
    return strings(column["fields"])


class _Scope(NamedTuple):
    """What the nodes below one point of the tree have in common. `owner` is the query around them."""

    ctes: frozenset[str]
    tag: str
    owner: Node


HANDLERS = {
    **dict.fromkeys(QUERIES, "_query"),
    **dict.fromkeys(("larg", "rarg"), "_arm"),
    **dict.fromkeys(("fromClause", "usingClause"), "_from"),
    **dict.fromkeys(("FuncCall", "funccall"), "_call"),
    # FOR UPDATE OF names aliases of the FROM list; WITH was met before its query's other parts.
    **dict.fromkeys((*LEAVES, "lockingClause", "withClause"), "_pass_over"),
    "relation": "_relation",
    "RangeVar": "_range_variable",
    "RangeTableSample": "_sample",
    "ColumnRef": "_column",
    "A_Indirection": "_indirection",
}
"""The method of the walker for the keys that mean something."""


ARMS = frozenset({"larg", "rarg"})
BOTH = frozenset({"JOIN_INNER", "JOIN_LEFT"}), frozenset({"JOIN_INNER", "JOIN_RIGHT"})
"""Joins that keep every row of their left side, of their right side, unless ON keeps it out of an inner one."""


def arms(join: Node, place: Place) -> Iterator[tuple[Node, Place]]:
    """Yield the sides of a join, each with where a predicate on it may stand; `place` is where one on the join may."""
    if "alias" in join:  # its names are seen inside alone
        place = Place.BESIDE
    for key, keeping in zip(("larg", "rarg"), BOTH, strict=True):
        there = place if join["jointype"] in keeping else Place.BESIDE
        if key == "rarg" and there is Place.BESIDE and takes_on(join):
            there = Place.ON
        yield join[key], there


def takes_on(join: Node) -> bool:
    """Tell whether a predicate in front of a join's ON keeps rows of the right side out; not where OR binds weaker."""
    quals = join.get("quals")
    return (
        join["jointype"] in {"JOIN_INNER", "JOIN_LEFT"}
        and quals is not None
        and quals.get("BoolExpr", {}).get("boolop") != "OR_EXPR"
    )


def find(statement: Node, names: Collection[str]) -> Findings:
    """Walk one statement (`{Tag: fields}`), reporting relations whose bare name is in `names`, and TOAST."""
    walker = _Walker(names)
    walker.walk(statement)
    return walker.findings


class _Walker:
    """Walk without recursion. What a key means is in HANDLERS; below any other key the walk just goes on."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = names
        self.findings = Findings()
        self.stack: list[tuple[Any, _Scope]] = []
        self.seen: set[tuple[Use, int]] = set()

    def walk(self, statement: Node) -> None:
        """Visit everything below a statement."""
        stack = self.stack
        stack.append((statement, _Scope(NO_CTES, "", {})))
        while stack:
            node, scope = stack.pop()
            if "withClause" in node:
                scope = self._with(node["withClause"], scope)
            for key, value in node.items():
                kind = type(value)
                if kind is not dict and kind is not list:
                    continue
                handler = HANDLERS.get(key)
                if handler is not None:
                    getattr(self, handler)(key, value, node, scope)
                elif kind is list:
                    # Long lists are lists of constants: these never reach the stack.
                    for item in value:
                        if LEAVES.isdisjoint(item):
                            stack.append((item, scope))
                elif "relname" in value:
                    self._report(Reference(Use.NAMED, value, scope.tag, scope.owner), NO_CTES)
                else:
                    stack.append((value, scope))

    def _with(self, clause: Node, scope: _Scope) -> _Scope:
        ctes = [item["CommonTableExpr"] for item in clause["ctes"]]
        everything = scope.ctes.union(cte["ctename"] for cte in ctes)
        visible = everything if clause.get("recursive") else scope.ctes
        for cte in ctes:
            self.stack.append((cte, scope._replace(ctes=visible)))
            visible |= {cte["ctename"]}
        return scope._replace(ctes=everything)

    def _pass_over(self, key: str, value: Any, node: Node, scope: _Scope) -> None:
        pass

    def _query(self, key: str, value: Node, node: Node, scope: _Scope) -> None:
        use = TARGETS.get(key)
        if use is not None:
            self._report(Reference(use, value["relation"], key, value), NO_CTES)
        self.stack.append((value, _Scope(scope.ctes, key, value)))

    def _arm(self, key: str, value: Node, node: Node, scope: _Scope) -> None:
        if "op" in node:  # an arm of a set operation, untagged; else one of a join
            self._query("SelectStmt", value, node, scope)
        else:
            self.stack.append((value, scope))

    def _relation(self, key: str, value: Node, node: Node, scope: _Scope) -> None:
        if node is scope.owner and scope.tag in TARGETS:
            return  # the target, reported when its statement was met
        if "relname" in value:
            self._report(Reference(Use.NAMED, value, scope.tag, scope.owner), NO_CTES)
        else:
            self.stack.append((value, scope))

    def _from(self, key: str, items: list[Node], node: Node, scope: _Scope) -> None:
        for item in items:
            if "RangeVar" in item:
                reference = Reference(
                    Use.READ, item["RangeVar"], scope.tag, node, direct=True, place=Place.WHERE
                )
                self._report(reference, scope.ctes)
            elif "RangeTableSample" in item:
                self._sample("", item["RangeTableSample"], node, scope)
            elif "JoinExpr" in item:
                self._join(item["JoinExpr"], node, scope)
            else:
                self.stack.append((item, scope))

    def _join(self, top: Node, owner: Node, scope: _Scope) -> None:
        todo = [(top, Place.WHERE)]
        while todo:
            join, place = todo.pop()
            for arm, there in arms(join, place):
                if "JoinExpr" in arm:
                    # Of a join only what is above it is known; its own arms may have an ON.
                    todo.append((arm["JoinExpr"], Place.BESIDE if there is Place.ON else there))
                elif "RangeVar" in arm:
                    found = Reference(Use.READ, arm["RangeVar"], scope.tag, owner, place=there)
                    self._report(found, scope.ctes)
                else:
                    self.stack.append((arm, scope))
            self.stack.append(({key: part for key, part in join.items() if key not in ARMS}, scope))

    def _range_variable(self, key: str, value: Node, node: Node, scope: _Scope) -> None:
        use = Use.READ if scope.tag else Use.NAMED
        self._report(Reference(use, value, scope.tag, scope.owner), scope.ctes)

    def _sample(self, key: str, value: Node, node: Node, scope: _Scope) -> None:
        # TABLESAMPLE never applies to a CTE, but the server says so, in its own words. Without a key it is
        # a direct item of the FROM list of `node`.
        owner = scope.owner if key else node
        item = value["relation"]["RangeVar"]
        place = Place.BESIDE if key else Place.WHERE
        found = Reference(Use.READ, item, scope.tag, owner, direct=not key, sampled=True, place=place)
        self._report(found, scope.ctes)
        self.stack.append(({name: part for name, part in value.items() if name != "relation"}, scope))

    def _call(self, key: str, value: Node, node: Node, scope: _Scope) -> None:
        self.findings.calls.append(value)
        self.stack.append((value, scope))

    def _indirection(self, key: str, value: Node, node: Node, scope: _Scope) -> None:
        self.findings.indirections.append(value)
        self.stack.append((value, scope))

    def _column(self, key: str, value: Node, node: Node, scope: _Scope) -> None:
        self.findings.columns.append(value)

    def _report(self, reference: Reference, ctes: frozenset[str]) -> None:
        node = reference.node
        name = node["relname"]
        known = name in self.names or (name.startswith(TOAST) and self.names)
        if not known or ("schemaname" not in node and name in ctes):
            return
        seen = (reference.use, reference.location)
        if seen not in self.seen:
            self.seen.add(seen)
            self.findings.references.append(reference)
