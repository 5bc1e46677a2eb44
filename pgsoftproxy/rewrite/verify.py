"""Prove that a rewritten statement cannot show a deleted row, change one, or remove one. Default deny.

An independent reading: parses what would be sent, resolves CTEs by itself, and knows only what a guard looks
like, not how the rules place it. Shares with them nothing but name resolution. A failure is a bug of ours.
"""

from dataclasses import dataclass
from typing import Any, assert_never

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import VIEWS, Relation
from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.model.policy import ColumnKind, Mode, Protection
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.tree import LEAVES, QUERIES, Node, constant, parse, strings, tagged

NO_NAMES: frozenset[str] = frozenset()
ARMS = frozenset({"larg", "rarg"})
SILENT = LEAVES | {"withClause", "lockingClause"}
"""What names nothing that is read: constants, and FOR UPDATE OF; a WITH is taken up before the rest."""


def verify(sql: str, surroundings: Surroundings) -> None:
    """Raise StatementRefused (XX000) unless every protected reference of one statement is guarded."""
    statements = parse(sql)
    if len(statements) != 1:
        raise _unproven("it became several statements")
    verify_tree(statements[0]["stmt"], surroundings)


def verify_tree(statement: Node, surroundings: Surroundings) -> None:
    """Raise StatementRefused (XX000) unless every protected reference of a statement's tree is guarded.

    For a statement that is sent as it came: the parser has read it already.
    """
    prover = _Prover(surroundings)
    prover.todo.append((statement, NO_NAMES))
    prover.prove()


def _unproven(why: str) -> StatementRefused:
    return StatementRefused(
        f"the rewritten statement could not be proven safe: {why}",
        hint="This is a bug of pgsoftproxy; nothing was sent. Please report the statement.",
        sqlstate="XX000",
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """How a guard must name the deletion column: qualifier and name."""

    fields: tuple[str, ...]
    protection: Protection

    def is_it(self, node: Node) -> bool:
        return "ColumnRef" in node and tuple(strings(node["ColumnRef"]["fields"])) == self.fields


class _Prover:
    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.todo: list[tuple[Any, frozenset[str]]] = []

    def prove(self) -> None:
        """Visit all nodes. Below a query the parts that name relations are taken out and proven one by one."""
        todo = self.todo
        while todo:
            node, ctes = todo.pop()
            if type(node) is list:
                todo.extend((item, ctes) for item in node if LEAVES.isdisjoint(item))
                continue
            if "withClause" in node:
                ctes = self._ctes(node["withClause"], ctes)
            for tag, fields in node.items():
                kind = type(fields)
                if (kind is not dict and kind is not list) or tag in SILENT:
                    continue
                if tag in QUERIES or (tag in ARMS and "op" in node):
                    self._query(tag, fields, ctes)
                elif tag == "RangeVar":
                    self._deny(fields, ctes)
                else:
                    if tag == "CopyStmt":
                        self._copy(fields)
                    todo.append((fields, ctes))

    def _ctes(self, clause: Node, outer: frozenset[str]) -> frozenset[str]:
        bodies = [item["CommonTableExpr"] for item in clause["ctes"]]
        names = [body["ctename"] for body in bodies]
        for place, body in enumerate(bodies):
            seen = names if clause.get("recursive") else names[:place]
            self.todo.append((body, outer.union(seen)))
        return outer.union(names)

    def _query(self, tag: str, query: Node, outer: frozenset[str]) -> None:
        ctes = self._ctes(query["withClause"], outer) if "withClause" in query else outer
        conditions = _conjuncts(query.get("whereClause"))
        sources = [*query.get("fromClause", []), *query.get("usingClause", [])]
        if tag == "MergeStmt":
            sources = [query["sourceRelation"]]
        for place, item in enumerate(sources):
            self._source(item, ctes, [*conditions, *_lateral_conditions(sources[place + 1 :])])
        if tag in {"UpdateStmt", "DeleteStmt", "MergeStmt"} or "onConflictClause" in query:
            self._target(tag, query, conditions)
        done = {"withClause", "fromClause", "usingClause", "sourceRelation", "lockingClause", "relation"}
        rest = {key: value for key, value in query.items() if key not in done}
        self.todo.append((rest, ctes))

    def _source(self, item: Node, ctes: frozenset[str], conditions: list[Node]) -> None:
        todo = [(item, conditions)]
        while todo:
            source, known = todo.pop()
            tag, fields = tagged(source)
            if tag == "RangeTableSample":
                rest = {key: value for key, value in fields.items() if key != "relation"}
                self.todo.append((rest, ctes))
                tag, fields = tagged(fields["relation"])
            if tag == "RangeVar":
                self._read(fields, ctes, known)
            elif tag == "JoinExpr":
                guards = _conjuncts(fields.get("quals")) if _is_guard_join(fields) else []
                todo.append((fields["larg"], guards))
                todo.append((fields["rarg"], []))
                self.todo.append((fields.get("quals", {}), ctes))
            else:
                self.todo.append((source, ctes))

    def _protection(self, node: Node, ctes: frozenset[str]) -> Protection | None:
        if "schemaname" not in node and node["relname"] in ctes:
            return None
        relation = self.surroundings.relation(node)
        if relation is None:
            return None
        if relation.oid in self.surroundings.policy.exposing and (relation.kind in VIEWS or node.get("inh")):
            raise _unproven(f'"{relation.label}" shows rows of a protected table')
        return self._enforced(relation)

    def _enforced(self, relation: Relation) -> Protection | None:
        protection = self.surroundings.protection(relation)
        return protection if protection is not None and protection.mode is Mode.ENFORCE else None

    def _read(self, node: Node, ctes: frozenset[str], conditions: list[Node]) -> None:
        protection = self._protection(node, ctes)
        if protection is None:
            return
        column = _column(node, protection)
        mode = self.surroundings.visibility(protection)
        if mode is not VisibilityMode.ALL and not any(_shows_only(mode, c, column) for c in conditions):
            raise _unproven(f'a reference of "{protection.label}" has no guard')

    def _deny(self, node: Node, ctes: frozenset[str]) -> None:
        protection = self._protection(node, ctes)
        if protection is not None and self.surroundings.visibility(protection) is not VisibilityMode.ALL:
            raise _unproven(f'"{protection.label}" stands where no guard was looked for')

    def _copy(self, copy: Node) -> None:
        relation = self.surroundings.relation(copy["relation"]) if "relation" in copy else None
        if relation is None or copy.get("is_from"):
            return
        # A parent sends its own rows only; COPY of a view is not SQL.
        if self._enforced(relation) is not None or relation.kind in VIEWS:
            raise _unproven(f'it copies "{relation.label}" out as a whole')

    def _target(self, tag: str, query: Node, conditions: list[Node]) -> None:
        protection = self._protection(query["relation"], NO_NAMES)
        if protection is None:
            return
        column = _column(query["relation"], protection)
        if tag == "InsertStmt":
            _prove_conflict(query.get("onConflictClause", {}), column)
            return
        if tag == "DeleteStmt" and not self.surroundings.hard:
            raise _unproven(f'a physical DELETE on "{protection.label}"')
        if tag == "MergeStmt":
            self._merge(query, column)
            return
        if "CurrentOfExpr" in query.get("whereClause", {}):
            return
        free = self.surroundings.may_restore if tag == "UpdateStmt" else self.surroundings.hard
        self._change(conditions, column, free=free)

    def _merge(self, merge: Node, column: _Column) -> None:
        free = self.surroundings.may_restore
        self._change(_conjuncts(merge.get("joinCondition")), column, free=free)
        for item in merge["mergeWhenClauses"]:
            clause = item["MergeWhenClause"]
            if clause["commandType"] == "CMD_DELETE" and not self.surroundings.hard:
                raise _unproven(f'a physical DELETE on "{column.protection.label}"')
            if clause["matchKind"] == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE":
                self._change(_conjuncts(clause.get("condition")), column, free=free)

    def _change(self, conditions: list[Node], column: _Column, *, free: bool) -> None:
        """Deny a change of rows that these conditions do not restrict to live ones, or to seen ones if `free`."""
        mode = self.surroundings.visibility(column.protection)
        if free and mode is VisibilityMode.ALL:
            return
        allowed = {VisibilityMode.LIVE} | ({mode} if free else set())
        if not any(_shows_only(one, condition, column) for one in allowed for condition in conditions):
            raise _unproven(f'a change of "{column.protection.label}" has no guard')


def _column(node: Node, protection: Protection) -> _Column:
    alias = node.get("alias")
    name = protection.column
    if alias is None:
        qualifier = [node[key] for key in ("catalogname", "schemaname", "relname") if key in node]
        return _Column((*qualifier, name), protection)
    renamed = strings(alias.get("colnames", []))
    place = protection.relation.position(name)
    if place < len(renamed):
        name = renamed[place]
    return _Column((alias["aliasname"], name), protection)


def _conjuncts(condition: Node | None) -> list[Node]:
    found: list[Node] = []
    todo = [condition] if condition else []
    while todo:
        node = todo.pop()
        if node.get("BoolExpr", {}).get("boolop") == "AND_EXPR":
            todo.extend(node["BoolExpr"]["args"])
        else:
            found.append(node)
    return found


def _lateral_conditions(items: list[Node]) -> list[Node]:
    found: list[Node] = []
    for item in items:
        sub = item.get("RangeSubselect", {})
        if sub.get("lateral"):
            select = sub["subquery"].get("SelectStmt", {})
            if set(select) <= {"whereClause", "limitOption", "op"}:
                found.extend(_conjuncts(select.get("whereClause")))
    return found


def _is_guard_join(join: Node) -> bool:
    select = join["rarg"].get("RangeSubselect", {}).get("subquery", {}).get("SelectStmt")
    return (
        join.get("jointype") == "JOIN_INNER" and select is not None and set(select) <= {"limitOption", "op"}
    )


def _shows_only(mode: VisibilityMode, node: Node, column: _Column) -> bool:
    tag, fields = tagged(node)
    flag = column.protection.kind is ColumnKind.BOOLEAN
    match mode:
        case VisibilityMode.LIVE if flag:
            negated = tag == "BoolExpr" and fields["boolop"] == "NOT_EXPR" and column.is_it(fields["args"][0])
            return negated or _tests(tag, fields, "IS_NOT_TRUE", column)
        case VisibilityMode.LIVE:
            return _tests(tag, fields, "IS_NULL", column)
        case VisibilityMode.DELETED:
            return _tests(tag, fields, "IS_TRUE" if flag else "IS_NOT_NULL", column)
        case VisibilityMode.AS_OF:
            return _was_live(tag, fields, column)
        case VisibilityMode.ALL:
            return True
        case _:
            assert_never(mode)


def _tests(tag: str, fields: Node, test: str, column: _Column) -> bool:
    kind = fields.get("nulltesttype") if tag == "NullTest" else fields.get("booltesttype")
    return tag in {"NullTest", "BooleanTest"} and kind == test and column.is_it(fields["arg"])


def _was_live(tag: str, fields: Node, column: _Column) -> bool:
    if tag != "BoolExpr" or fields["boolop"] != "OR_EXPR" or len(fields["args"]) != 2:
        return False
    first, second = fields["args"]
    later = second.get("A_Expr", {})
    is_null = _tests(*tagged(first), "IS_NULL", column)
    return is_null and strings(later.get("name", []))[-1:] == [">"] and column.is_it(later["lexpr"])


def _prove_conflict(clause: Node, column: _Column) -> None:
    label = column.protection.label
    infer = clause.get("infer", {})
    updates = clause.get("action") == "ONCONFLICT_UPDATE"
    if "indexElems" in infer or (updates and "conname" not in infer):
        bare = _Column((column.protection.column,), column.protection)
        conditions = _conjuncts(infer.get("whereClause"))
        if not any(_shows_only(VisibilityMode.LIVE, condition, bare) for condition in conditions):
            raise _unproven(f'ON CONFLICT on "{label}" could infer an index of deleted rows only')
    if not updates:
        return
    conditions = _conjuncts(clause.get("whereClause"))
    if not any(_guards_conflict(condition, column) for condition in conditions):
        raise _unproven(f'ON CONFLICT DO UPDATE on "{label}" has no guard')


def _guards_conflict(node: Node, column: _Column) -> bool:
    if _shows_only(VisibilityMode.LIVE, node, column):
        return True
    case = node.get("CaseExpr", {})
    arms = case.get("args", [])
    if len(arms) != 1 or "arg" in case or "TypeCast" not in case.get("defresult", {}):
        return False
    call = case["defresult"]["TypeCast"]["arg"].get("FuncCall", {})
    raises = bool(call) and constant(call["args"][0]) is not None and column.is_it(call["args"][1])
    return raises and _shows_only(VisibilityMode.LIVE, arms[0]["CaseWhen"]["expr"], column)
