"""What a guard looks like in a parse tree, for `verify` alone: it shares nothing with the rules that write guards."""

from dataclasses import dataclass, replace
from typing import assert_never

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.model.policy import ColumnKind, Protection
from pgsoftproxy.rewrite.tree import Node, strings, tagged


def unproven(why: str) -> StatementRefused:
    """Return the refusal of a statement that the checker is not convinced of."""
    return StatementRefused(
        f"the rewritten statement could not be proven safe: {why}",
        hint="This is a bug of pgsoftproxy; nothing was sent. Please report the statement.",
        sqlstate="XX000",
    )


@dataclass(frozen=True, slots=True)
class GuardColumn:
    """How a guard may name the deletion column: qualifier and name."""

    spellings: tuple[tuple[str, ...], ...]
    protection: Protection

    def is_it(self, node: Node) -> bool:
        """Tell whether a node names the column so."""
        return "ColumnRef" in node and tuple(strings(node["ColumnRef"]["fields"])) in self.spellings


def column_of(node: Node, protection: Protection) -> GuardColumn:
    """Return how the deletion column of a reference is to be named in its guard."""
    alias = node.get("alias")
    name = protection.column
    if alias is None:
        qualifier = [node[key] for key in ("catalogname", "schemaname", "relname") if key in node]
        return GuardColumn(((*qualifier, name),), protection)
    renamed = strings(alias.get("colnames", []))
    place = protection.relation.position(name)
    if place < len(renamed):
        name = renamed[place]
    return GuardColumn(((alias["aliasname"], name),), protection)


def as_printed(column: GuardColumn, *, sole: bool) -> GuardColumn:
    """Return a column as it stands in stored SQL: the server prints it without the schema, and alone where there is
    only one source; authors may write the schema too.
    """
    (whole,) = column.spellings
    return replace(column, spellings=(whole, whole[-2:], *((whole[-1:],) if sole else ())))


def conjuncts(condition: Node | None) -> list[Node]:
    """Return what a condition ANDs together."""
    found: list[Node] = []
    todo = [condition] if condition else []
    while todo:
        node = todo.pop()
        if node.get("BoolExpr", {}).get("boolop") == "AND_EXPR":
            todo.extend(node["BoolExpr"]["args"])
        else:
            found.append(node)
    return found


def lateral_conditions(items: list[Node]) -> list[Node]:
    """Return the conditions of the FROM items that are nothing but a condition."""
    found: list[Node] = []
    for item in items:
        sub = item.get("RangeSubselect", {})
        if sub.get("lateral"):
            select = sub["subquery"].get("SelectStmt", {})
            if set(select) <= {"whereClause", "limitOption", "op"}:
                found.extend(conjuncts(select.get("whereClause")))
    return found


def joined_conditions(join: Node, above: list[Node]) -> tuple[list[Node], list[Node]]:
    """Return the conditions without which no row of the left and of the right side of a join is seen.

    `above` holds of the join's rows. An outer join makes NULLs of one side first, and an alias hides the names inside;
    its own ON keeps rows out of the side that it need not keep whole.
    """
    kept = [] if "alias" in join else above
    own = [condition for condition in conjuncts(join.get("quals")) if "A_Expr" not in condition]
    match join["jointype"]:
        case "JOIN_INNER":
            both = [*kept, *own]
            return both, both
        case "JOIN_LEFT":
            return kept, own
        case "JOIN_RIGHT":
            return own, kept
        case _:
            return [], []


def shows_only(mode: VisibilityMode, node: Node, column: GuardColumn) -> bool:
    """Tell whether a condition keeps all rows out but those of a visibility."""
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


def _tests(tag: str, fields: Node, test: str, column: GuardColumn) -> bool:
    kind = fields.get("nulltesttype") if tag == "NullTest" else fields.get("booltesttype")
    return tag in {"NullTest", "BooleanTest"} and kind == test and column.is_it(fields["arg"])


def _was_live(tag: str, fields: Node, column: GuardColumn) -> bool:
    if tag != "BoolExpr" or fields["boolop"] != "OR_EXPR" or len(fields["args"]) != 2:
        return False
    first, second = fields["args"]
    later = second.get("A_Expr", {})
    is_null = _tests(*tagged(first), "IS_NULL", column)
    return is_null and strings(later.get("name", []))[-1:] == [">"] and column.is_it(later["lexpr"])
