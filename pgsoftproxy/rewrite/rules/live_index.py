"""Tell whether a unique index leaves deleted rows out. Reads the index's predicate as the catalog prints it."""

from functools import lru_cache

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import UniqueIndex
from pgsoftproxy.model.policy import ColumnKind, Protection
from pgsoftproxy.rewrite.tree import Node, constant, parse, strings


def is_live_only(index: UniqueIndex, protection: Protection) -> bool:
    """Tell whether the index's predicate lets live rows in only."""
    if index.predicate is None:
        return False
    return _implies_live(index.predicate, protection.column, protection.kind)


@lru_cache(maxsize=4096)
def _implies_live(predicate: str, column: str, kind: ColumnKind) -> bool:
    try:
        (statement,) = parse(f"SELECT WHERE {predicate}")
    except StatementRefused:
        return False
    todo = [statement["stmt"]["SelectStmt"]["whereClause"]]
    while todo:
        ((tag, fields),) = todo.pop().items()
        if tag == "BoolExpr" and fields["boolop"] == "AND_EXPR":
            todo.extend(fields["args"])
        elif _is_live_test(tag, fields, column, kind):
            return True
    return False


def _is_live_test(tag: str, fields: Node, column: str, kind: ColumnKind) -> bool:
    if kind is not ColumnKind.BOOLEAN:
        return tag == "NullTest" and fields["nulltesttype"] == "IS_NULL" and _is_column(fields["arg"], column)
    if tag == "BoolExpr" and fields["boolop"] == "NOT_EXPR":
        return _is_column(fields["args"][0], column)
    if tag == "BooleanTest":
        return fields["booltesttype"] in {"IS_FALSE", "IS_NOT_TRUE"} and _is_column(fields["arg"], column)
    if tag == "A_Expr" and fields.get("kind") == "AEXPR_OP" and strings(fields["name"]) == ["="]:
        return _is_column(fields["lexpr"], column) and constant(fields["rexpr"]) is False
    return False


def _is_column(node: Node, column: str) -> bool:
    return "ColumnRef" in node and strings(node["ColumnRef"]["fields"]) == [column]
