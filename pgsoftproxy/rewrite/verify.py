"""Prove that a rewritten statement cannot show a deleted row, change one, or remove one. Default deny.

An independent reading: parses what would be sent, resolves CTEs by itself, and knows only what a guard looks
like, not how the rules place it. Shares with them nothing but name resolution. A failure is a bug of ours.
"""

from typing import Any

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import VIEWS, Relation, RelationKind
from pgsoftproxy.model.context import EVERYTHING, LIVE, Context, SearchPath, Values, Variables, VisibilityMode
from pgsoftproxy.model.policy import Mode, Policy, Protection
from pgsoftproxy.model.reach import names_statistics
from pgsoftproxy.model.routines import Action
from pgsoftproxy.rewrite.guards import (
    GuardColumn,
    as_printed,
    column_of,
    conjuncts,
    joined_conditions,
    lateral_conditions,
    shows_only,
    unproven,
)
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.tree import LEAVES, QUERIES, Node, parse, tagged
from pgsoftproxy.rewrite.verify_conflict import prove_conflict

NO_NAMES: frozenset[str] = frozenset()
PRINTED = Context(Variables.at_start(Values(search_path=SearchPath(()))))
"""Definitions are printed with every name qualified."""
ARMS = frozenset({"larg", "rarg"})
SILENT = LEAVES | {"ColumnRef", "withClause", "lockingClause"}
"""What names no relation that is read: constants, columns, and FOR UPDATE OF; a WITH is taken up before the rest."""
PROVEN = frozenset({"withClause", "fromClause", "usingClause", "sourceRelation", "lockingClause", "relation"})
"""Parts of a query that are proven one by one."""


def verify(sql: str, surroundings: Surroundings) -> None:
    """Raise StatementRefused (XX000) unless every protected reference of one statement is guarded."""
    statements = parse(sql)
    if len(statements) != 1:
        raise unproven("it became several statements")
    verify_tree(statements[0]["stmt"], surroundings)


def verify_tree(statement: Node, surroundings: Surroundings) -> None:
    """Raise StatementRefused (XX000) unless every protected reference of a statement's tree is guarded.

    For a statement that is sent as it came: the parser has read it already.
    """
    prover = _Prover(surroundings)
    prover.todo.append((statement, NO_NAMES))
    prover.truncate(statement.get("TruncateStmt", {}))
    prover.prove()


def reads_as_it_stands(relation: Relation, surroundings: Surroundings) -> bool:
    """Tell whether a view over protected tables may be read by its name: it guards itself, or that was allowed.

    Not while the open transaction has changed relations: it may be another view by now.
    """
    values, policy = surroundings.values, surroundings.policy
    if relation.kind is RelationKind.MATVIEW:
        return values.visibility == EVERYTHING or policy.statements.materialized_views is not Action.REFUSE
    return values.visibility == LIVE and not values.stale and is_guarded(relation, policy)


def writes_as_it_stands(tag: str, query: Node, relation: Relation, surroundings: Surroundings) -> bool:
    """Tell whether an INSERT or UPDATE may go through a view: it then reaches live rows of its table only.

    A DELETE would remove them, and an upsert meet deleted ones. Rules and triggers may do anything.
    """
    if tag not in {"InsertStmt", "UpdateStmt"} or "onConflictClause" in query or surroundings.values.stale:
        return False
    todo, seen = [relation], {relation.oid}
    while todo:
        view = todo.pop()
        if view.ruled or view.kind is not RelationKind.VIEW or not is_guarded(view, surroundings.policy):
            return False
        below = {oid for oid in view.reads if oid in surroundings.policy.exposing} - seen
        seen |= below
        todo.extend(surroundings.policy.catalog.relations[oid] for oid in below)
    return True


def is_guarded(view: Relation, policy: Policy) -> bool:
    """Tell whether a view's own definition, as the server prints it, keeps deleted rows from whoever reads it."""
    known = policy.memo.guarded
    todo, seen = [view], {view.oid}
    while view.oid not in known:
        one = todo[-1]
        below = [oid for oid in one.reads if oid in policy.exposing and oid not in known and oid not in seen]
        if below:  # what it reads first; views may refer to each other in a circle
            seen.update(below)
            todo.extend(policy.catalog.relations[oid] for oid in below)
        else:
            known[one.oid] = proves(one.definition or "", policy)
            todo.pop()
    return known[view.oid]


def proves(definition: str, policy: Policy) -> bool:
    """Tell whether a statement that the server has stored, as it prints it, deals with live rows only."""
    if names_statistics(definition) is not None:
        return False
    prover = _Prover(Surroundings(policy, PRINTED), printed=True)
    try:
        statements = parse(definition)
        prover.todo.extend((statement["stmt"], NO_NAMES) for statement in statements)
        prover.prove()
    except StatementRefused:
        return False
    return bool(statements)


def proves_tree(statement: Node, surroundings: Surroundings) -> bool:
    """Tell whether a statement in a stored body, as its author wrote it, deals with live rows only."""
    prover = _Prover(surroundings, printed=True)
    prover.todo.append((statement, NO_NAMES))
    try:
        prover.truncate(statement.get("TruncateStmt", {}))
        prover.prove()
    except StatementRefused:
        return False
    return True


class _Prover:
    def __init__(self, surroundings: Surroundings, *, printed: bool = False) -> None:
        self.surroundings = surroundings
        self.printed = printed
        self.todo: list[tuple[Any, frozenset[str]]] = []

    def prove(self) -> None:
        """Visit all nodes. Below a query the parts that name relations are taken out and proven one by one."""
        todo = self.todo
        while todo:
            node, ctes = todo.pop()
            if "withClause" in node:
                ctes = self._ctes(node["withClause"], ctes)
            for tag, fields in node.items():
                kind = type(fields)
                if (kind is not dict and kind is not list) or tag in SILENT:
                    continue
                if kind is list:
                    for item in fields:
                        if LEAVES.isdisjoint(item):
                            todo.append((item, ctes))
                elif tag in QUERIES or (tag in ARMS and "op" in node):
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
        conditions = conjuncts(query.get("whereClause"))
        sources = [*query.get("fromClause", []), *query.get("usingClause", [])]
        if tag == "MergeStmt":
            sources = [query["sourceRelation"]]
        sole = len(sources) == 1
        for place, item in enumerate(sources):
            known = conditions if sole else [*conditions, *lateral_conditions(sources[place + 1 :])]
            self._source(item, ctes, known, sole=sole)
        if tag in {"UpdateStmt", "DeleteStmt", "MergeStmt"} or "onConflictClause" in query:
            self._target(tag, query, conditions)
        rest = {key: value for key, value in query.items() if key not in PROVEN}
        self.todo.append((rest, ctes))

    def _source(self, item: Node, ctes: frozenset[str], conditions: list[Node], *, sole: bool) -> None:
        todo = [(item, conditions)]
        while todo:
            source, known = todo.pop()
            tag, fields = tagged(source)
            if tag == "RangeTableSample":
                rest = {key: value for key, value in fields.items() if key != "relation"}
                self.todo.append((rest, ctes))
                tag, fields = tagged(fields["relation"])
            if tag == "RangeVar":
                self._read(fields, ctes, known, sole=sole)
            elif tag == "JoinExpr":
                sole = False
                todo.extend(
                    zip((fields["larg"], fields["rarg"]), joined_conditions(fields, known), strict=True)
                )
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
            if not self._passes(relation):
                raise unproven(f'"{relation.label}" shows rows of a protected table')
            return None
        return self._enforced(relation)

    def _passes(self, relation: Relation) -> bool:
        if self.printed:
            guarded = self.surroundings.policy.memo.guarded
            return relation.kind is RelationKind.VIEW and guarded.get(relation.oid, False)
        return relation.kind in VIEWS and reads_as_it_stands(relation, self.surroundings)

    def _enforced(self, relation: Relation) -> Protection | None:
        protection = self.surroundings.protection(relation)
        return protection if protection is not None and protection.mode is Mode.ENFORCE else None

    def _read(self, node: Node, ctes: frozenset[str], conditions: list[Node], *, sole: bool) -> None:
        protection = self._protection(node, ctes)
        if protection is None:
            return
        column = self._column(node, protection, sole=sole)
        mode = self.surroundings.visibility(protection)
        if mode is not VisibilityMode.ALL and not any(shows_only(mode, c, column) for c in conditions):
            raise unproven(f'a reference of "{protection.label}" has no guard')

    def _column(self, node: Node, protection: Protection, *, sole: bool = False) -> GuardColumn:
        column = column_of(node, protection)
        return as_printed(column, sole=sole) if self.printed else column

    def _deny(self, node: Node, ctes: frozenset[str]) -> None:
        protection = self._protection(node, ctes)
        if protection is not None and self.surroundings.visibility(protection) is not VisibilityMode.ALL:
            raise unproven(f'"{protection.label}" stands where no guard was looked for')

    def truncate(self, truncate: Node) -> None:
        """Deny a TRUNCATE that was to become something else; it stands nowhere but alone."""
        for item in truncate.get("relations", []):
            relation = self.surroundings.relation(item["RangeVar"])
            if relation is not None and self._enforced(relation) is not None and not self.surroundings.hard:
                raise unproven(f'a physical TRUNCATE of "{relation.label}"')

    def _copy(self, copy: Node) -> None:
        relation = self.surroundings.relation(copy["relation"]) if "relation" in copy else None
        if relation is None or copy.get("is_from"):
            return
        # A parent sends its own rows only; COPY of a view is not SQL, of a materialized one it is (18).
        exposes = relation.kind in VIEWS and relation.oid in self.surroundings.policy.exposing
        passes = relation.kind is RelationKind.MATVIEW and self._passes(relation)
        if self._enforced(relation) is not None or (exposes and not passes):
            raise unproven(f'it copies "{relation.label}" out as a whole')

    def _target(self, tag: str, query: Node, conditions: list[Node]) -> None:
        relation = None if self.printed else self.surroundings.relation(query["relation"])
        exposes = relation is not None and relation.oid in self.surroundings.policy.exposing
        if exposes and relation and writes_as_it_stands(tag, query, relation, self.surroundings):
            return
        protection = self._protection(query["relation"], NO_NAMES)
        if protection is None:
            return
        column = self._column(query["relation"], protection)
        if tag == "InsertStmt":
            prove_conflict(query, column)
            return
        if tag == "DeleteStmt" and not self.surroundings.hard:
            raise unproven(f'a physical DELETE on "{protection.label}"')
        if tag == "MergeStmt":
            self._merge(query, column)
            return
        if "CurrentOfExpr" in query.get("whereClause", {}):
            return
        free = self.surroundings.may_restore if tag == "UpdateStmt" else self.surroundings.hard
        self._change(conditions, column, free=free)

    def _merge(self, merge: Node, column: GuardColumn) -> None:
        free = self.surroundings.may_restore
        self._change(conjuncts(merge.get("joinCondition")), column, free=free)
        for item in merge["mergeWhenClauses"]:
            clause = item["MergeWhenClause"]
            if clause["commandType"] == "CMD_DELETE" and not self.surroundings.hard:
                raise unproven(f'a physical DELETE on "{column.protection.label}"')
            if clause["matchKind"] == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE":
                self._change(conjuncts(clause.get("condition")), column, free=free)

    def _change(self, conditions: list[Node], column: GuardColumn, *, free: bool) -> None:
        """Deny a change of rows that these conditions do not restrict to live ones, or to seen ones if `free`."""
        mode = self.surroundings.visibility(column.protection)
        if free and mode is VisibilityMode.ALL:
            return
        allowed = {VisibilityMode.LIVE} | ({mode} if free else set())
        if not any(shows_only(one, condition, column) for one in allowed for condition in conditions):
            raise unproven(f'a change of "{column.protection.label}" has no guard')
