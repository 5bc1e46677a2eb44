"""Which names of an outer query the FROM lists of inner ones have taken, at each column reference.

Reads trees only. A sub-select in FROM does not see its neighbours unless it is LATERAL, and a WITH sees none of them:
there a name means again what it means further out.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pgsoftproxy.rewrite.tree import QUERIES, Node

NOTHING: frozenset[str] = frozenset()


class _Place(NamedTuple):
    """The names taken at a node, and those taken for what does not see the FROM list around it."""

    node: object
    taken: frozenset[str]
    around: frozenset[str]


def columns_below(root: Node, around: frozenset[str] = NOTHING) -> Iterator[tuple[Node, frozenset[str]]]:
    """Yield the fields of each ColumnRef, with the names that FROM items between it and `root` have taken.

    `root` is the fields of a query, whose own FROM items take no name, or any part of one; `around` counts as taken
    in those parts of it that do not see its FROM list.
    """
    stack = [_Place(root, NOTHING, around)]
    while stack:
        node, taken, around = stack.pop()
        if isinstance(node, list):
            stack.extend(_Place(item, taken, around) for item in node)
        elif isinstance(node, dict):
            for key, child in node.items():
                if key == "ColumnRef":
                    yield child, taken
                elif isinstance(child, dict) and (
                    key in QUERIES or (key in ("larg", "rarg") and "op" in node)
                ):
                    stack.append(_Place(child, taken | from_names(child), taken))
                elif key == "withClause":
                    stack.append(_Place(child, around, around))
                elif key == "RangeSubselect":
                    stack.append(_Place(child, taken if child.get("lateral") else around, around))
                elif isinstance(child, dict | list):
                    stack.append(_Place(child, taken, around))


def from_names(query: Node) -> frozenset[str]:
    """Return the names by which the items of a query's FROM list are known in the query."""
    names: set[str] = set()
    stack: list[Node] = [*query.get("fromClause", []), *query.get("usingClause", [])]
    while stack:
        ((tag, item),) = stack.pop().items()
        if tag == "RangeTableSample":
            stack.append(item["relation"])
            continue
        if "join_using_alias" in item:
            names.add(str(item["join_using_alias"]["aliasname"]))
        if "alias" in item:
            names.add(str(item["alias"]["aliasname"]))
        elif tag == "JoinExpr":
            stack += [item["larg"], item["rarg"]]
        elif tag == "RangeVar":
            names.add(str(item["relname"]))
    return frozenset(names)
