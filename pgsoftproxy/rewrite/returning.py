"""What a RETURNING list can name: the statement's sources, their aliases, and unnamed expressions' own names.

Reads trees, tokens and the catalog; edits nothing.
"""

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.rewrite.predicates import quote_identifier
from pgsoftproxy.rewrite.scope import SYSTEM_COLUMNS
from pgsoftproxy.rewrite.tree import Node, strings, walk
from pgsoftproxy.rewrite.work import Work

OLD_AND_NEW = 180000
"""The server_version_num from which RETURNING knows OLD and NEW."""


def knows_old(work: Work) -> bool:
    """Tell whether the server can name the old row in RETURNING."""
    return work.surroundings.policy.catalog.server_version >= OLD_AND_NEW


def old_and_new(work: Work, owner: Node) -> tuple[str | None, str | None]:
    """Return how a RETURNING list names the old row and the new one, None where another relation has the name."""
    if not knows_old(work):
        return None, None
    options = [option["ReturningOption"] for option in owner["returningClause"].get("options", [])]
    named = {option["option"]: option["value"] for option in options}
    taken = aliases(owner)
    old = named.get("RETURNING_OPTION_OLD", None if "old" in taken else "old")
    new = named.get("RETURNING_OPTION_NEW", None if "new" in taken else "new")
    return old, new


def refuse_hidden_or_taken_apart(clause: Node, names: set[str]) -> None:
    """Refuse a RETURNING list in which OLD or NEW may mean something else, or is taken apart as `(old).column`.

    PostgreSQL 18 reads a field of OLD taken as a whole from the new row.
    """
    for node in walk(clause["exprs"]):
        hidden = (
            node.get("aliasname") in names or node.get("relname") in names or node.get("ctename") in names
        )
        apart = node.get("A_Indirection", {}).get("arg", {}).get("ColumnRef")
        if hidden or (apart is not None and strings(apart["fields"])[-1] in names):
            raise StatementRefused(
                "OLD or NEW in RETURNING stands where it cannot be told what it means",
                hint="Name its columns one by one, as in old.id, and give no other relation its name.",
            )


def other_sources(owner: Node) -> list[Node]:
    """Return the FROM items of a statement besides its target: of USING, or the source of a MERGE."""
    return [owner["sourceRelation"]] if "sourceRelation" in owner else list(owner.get("usingClause", []))


def source_names(work: Work, item: Node) -> list[str]:
    """Return how `.*` can name each row source of a FROM item; raises StatementRefused where it cannot."""
    ((tag, node),) = item.items()
    alias = node.get("alias")
    if alias is not None:
        return [quote_identifier(alias["aliasname"])]
    if tag == "RangeVar":
        first = work.tokens.at(int(node.get("location", 0)))
        return [work.tokens.text(first, work.tokens.qualified_end(first))]
    if tag == "RangeTableSample":
        return source_names(work, node["relation"])
    if tag == "JoinExpr" and not node.get("isNatural") and "usingClause" not in node:
        return [*source_names(work, node["larg"]), *source_names(work, node["rarg"])]
    raise StatementRefused(
        "RETURNING * of a DELETE on a protected table cannot be written out here",
        hint="Name the columns in RETURNING, or give each item of USING an alias.",
    )


def lacks(work: Work, item: Node, name: str) -> bool:
    """Tell whether a FROM item is a table that surely has no column of that name."""
    node = item.get("RangeVar")
    if node is None or "colnames" in node.get("alias", {}) or name in SYSTEM_COLUMNS:
        return False
    if "schemaname" not in node and "WITH" in work.tokens.names:
        return False  # it may be a CTE
    relation = work.surroundings.in_catalog(node)
    return relation is not None and relation.column(name) is None


def aliases(owner: Node) -> set[str]:
    """Return every relation name and alias of a statement's target and USING list."""
    names: set[str] = set()
    stack: list[object] = [owner.get("relation"), owner.get("usingClause", []), owner.get("sourceRelation")]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            names.update(str(node[key]) for key in ("relname", "aliasname") if key in node)
            stack.extend(value for value in node.values() if isinstance(value, dict | list))
    return names


def figure_name(node: Node) -> str | None:
    """Return the name that PostgreSQL's FigureColname takes from a column inside an unnamed expression."""
    ((tag, fields),) = node.items()
    match tag:
        case "ColumnRef":
            name = strings(fields["fields"])[-1]
            return None if name == "*" else name
        case "TypeCast" | "CollateClause":
            return figure_name(fields["arg"]) if "arg" in fields else None
        case "MergeSupportFunc":
            return "merge_action"
        case "SubLink" if fields["subLinkType"] == "EXPR_SUBLINK":
            targets = fields["subselect"].get("SelectStmt", {}).get("targetList", [])
            first = targets[0]["ResTarget"] if targets else {}
            return str(first["name"]) if "name" in first else figure_name(first["val"]) if first else None
        case "CaseExpr":
            return figure_name(fields["defresult"]) if "defresult" in fields else None
        case _:
            return None
