"""Prove that an ON CONFLICT clause neither shows, changes nor passes over a deleted row, or that it revives it whole.

Part of the checker: reads the tree of what would be sent and the catalog, and shares nothing with the rules.
"""

from typing import Any

from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.rewrite.guards import GuardColumn, conjuncts, shows_only, unproven
from pgsoftproxy.rewrite.tree import Node, constant, strings

LIVE = VisibilityMode.LIVE


def prove_conflict(insert: Node, column: GuardColumn) -> None:
    """Raise StatementRefused (XX000) unless a conflict with a deleted row fails or makes it a new row."""
    clause = insert.get("onConflictClause", {})
    label = column.protection.label
    infer = clause.get("infer", {})
    updates = clause.get("action") == "ONCONFLICT_UPDATE"
    if "indexElems" in infer or (updates and "conname" not in infer):
        bare = GuardColumn(((column.protection.column,),), column.protection)
        conditions = conjuncts(infer.get("whereClause"))
        if not any(shows_only(LIVE, condition, bare) for condition in conditions):
            raise unproven(f'ON CONFLICT on "{label}" could infer an index of deleted rows only')
    if not updates:
        return
    conditions = conjuncts(clause.get("whereClause"))
    if not any(_guards_conflict(condition, column) for condition in conditions):
        _prove_revival(clause, column)
        _prove_old(insert, column)


def _guards_conflict(node: Node, column: GuardColumn) -> bool:
    if shows_only(LIVE, node, column):
        return True
    case = _live_case(node, column)
    if case is None or "TypeCast" not in case.get("defresult", {}):
        return False
    call = case["defresult"]["TypeCast"]["arg"].get("FuncCall", {})
    return bool(call) and constant(call["args"][0]) is not None and column.is_it(call["args"][1])


def _prove_revival(clause: Node, column: GuardColumn) -> None:
    """Prove that nothing of a deleted row is left, and that no expression of the client's own is given it."""
    label, relation = column.protection.label, column.protection.relation
    if "whereClause" in clause:
        case = _live_case(clause["whereClause"], column)
        if case is None or constant(case.get("defresult", {})) is not True:
            raise unproven(f'ON CONFLICT DO UPDATE on "{label}" has no guard')
    assigned: set[str] = set()
    for item in clause["targetList"]:
        target = item["ResTarget"]
        known = relation.column(target["name"])
        if known is not None and known.generated and "SetToDefault" in target["val"]:
            continue
        if "indirection" in target or not _is_new(_value(target, column), target["name"], column):
            raise unproven(f'ON CONFLICT DO UPDATE on "{label}" may keep a value of a deleted row')
        assigned.add(target["name"])
    key = _key(clause.get("infer", {}), column)
    for known in relation.columns:
        settable = not known.generated and not (known.identity_always and known.name in key)
        if settable and known.name not in assigned:
            raise unproven(f'ON CONFLICT DO UPDATE on "{label}" may keep "{known.name}" of a deleted row')


def _prove_old(insert: Node, column: GuardColumn) -> None:
    """Prove that RETURNING shows the old row only where it was live."""
    returning = insert.get("returningClause", {})
    options = [option["ReturningOption"] for option in returning.get("options", [])]
    given = [one["value"] for one in options if one["option"] == "RETURNING_OPTION_OLD"]
    target = insert["relation"].get("alias", {}).get("aliasname", insert["relation"]["relname"])
    old = given[0] if given else "old"
    if not given and target == old:
        return  # the target's own name comes first
    was = GuardColumn(((old, column.protection.column),), column.protection)
    todo: list[Any] = [returning.get("exprs", [])]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo.extend(node)
        elif isinstance(node, dict):
            case = _live_case(node, was)
            if case is not None:
                todo.append(case.get("defresult", {}))
            elif "ColumnRef" in node and strings(node["ColumnRef"]["fields"])[0] == old:
                raise unproven(f'RETURNING may show what a deleted row of "{column.protection.label}" held')
            else:
                todo.extend(node.values())


def _live_case(node: Node, column: GuardColumn) -> Node | None:
    """Return a CASE whose only WHEN is that the row is live, None if the node is not one."""
    case: Node = node.get("CaseExpr", {})
    arms = case.get("args", [])
    if len(arms) != 1 or "arg" in case or not shows_only(LIVE, arms[0]["CaseWhen"]["expr"], column):
        return None
    return case


def _value(target: Node, column: GuardColumn) -> Node:
    """Return what one column is given where the row is deleted, as far as it can be told."""
    reference = target["val"].get("MultiAssignRef")
    if reference is None:
        value: Node = target["val"]
        return _live_case(value, column) or {}
    source, place = reference["source"], reference["colno"] - 1
    if "RowExpr" in source:
        return _live_case(source["RowExpr"]["args"][place], column) or {}
    return _of_deleted(source.get("SubLink", {}).get("subselect", {}).get("SelectStmt", {}), place, column)


def _of_deleted(union: Node, place: int, column: GuardColumn) -> Node:
    # Two arms: the first gives no row for a deleted one, so that only the second's values can come out.
    if union.get("op") != "SETOP_UNION" or not union.get("all") or set(union) & {"sortClause", "limitCount"}:
        return {}
    first, second = union["larg"], union["rarg"]
    single = first.get("op") == second.get("op") == "SETOP_NONE"
    if not single or _groups(first) or "fromClause" in second:
        return {}
    if not any(shows_only(LIVE, one, column) for one in conjuncts(first.get("whereClause"))):
        return {}
    targets: list[Any] = second.get("targetList", [])
    return {"defresult": targets[place]["ResTarget"]["val"]} if place < len(targets) else {}


def _groups(select: Node) -> bool:
    """Tell whether a SELECT could give a row though its WHERE lets none through."""
    return bool(set(select) - {"targetList", "fromClause", "whereClause", "limitOption", "op"}) or any(
        "ColumnRef" not in item["ResTarget"]["val"] for item in select.get("targetList", [])
    )


def _is_new(value: Node, name: str, column: GuardColumn) -> bool:
    """Tell whether a deleted row gets the value that was to be inserted. The name cannot be an alias's."""
    given = value.get("defresult", {}).get("ColumnRef")
    return given is not None and strings(given["fields"]) == ["excluded", name]


def _key(infer: Node, column: GuardColumn) -> set[str | None]:
    if "conname" in infer:
        indexes = column.protection.relation.unique_indexes
        keys = [set(index.columns) for index in indexes if index.constraint == infer["conname"]]
        return keys[0] if len(keys) == 1 else set()
    return {element["IndexElem"].get("name") for element in infer.get("indexElems", [])}
