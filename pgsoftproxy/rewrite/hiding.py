"""Which names of an outer query the FROM lists of inner ones have taken, at each column reference.

Reads trees only. A sub-select in FROM does not see its neighbours unless it is LATERAL, and a WITH sees none of them:
there a name means again what it means further out.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pgsoftproxy.rewrite.tree import QUERIES, Node

NOTHING: frozenset[str] = frozenset()
FROM_LISTS = ("fromClause", "usingClause")
SUBJECT = "\0"
"""No name of SQL."""


class _Place(NamedTuple):
    """The names taken at a node, and those taken for what does not see the FROM list around it."""

    node: object
    taken: frozenset[str]
    around: frozenset[str]


class _Sight(NamedTuple):
    """A part of a FROM list, and the items that it sees: None if it sees none of the list."""

    node: object
    seen: frozenset[str] | None


def columns_below(
    root: Node, around: frozenset[str] = NOTHING, subject: Node | None = None
) -> Iterator[tuple[Node, frozenset[str]]]:
    """Yield the fields of each ColumnRef, with the names that FROM items between it and `root` have taken.

    `root` is the fields of a query, whose own FROM items take no name, or any part of one; `around` counts as taken
    in those parts of it that do not see its FROM list, or, if it is given, the item `subject` of that list.
    """
    stack = [*_below_root(root, around, subject)]
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
                    stack.extend(_in_query(child, taken))
                elif key == "withClause":
                    stack.append(_Place(child, around, around))
                elif isinstance(child, dict | list):
                    stack.append(_Place(child, taken, around))


def _in_query(query: Node, outside: frozenset[str]) -> Iterator[_Place]:
    for key in FROM_LISTS:
        for part, seen in _sights(query.get(key, []), None):
            yield _Place(part, outside if seen is None else outside | seen, outside)
    rest = {key: child for key, child in query.items() if key not in FROM_LISTS}
    yield _Place(rest, outside | from_names(query), outside)


def _below_root(root: Node, around: frozenset[str], subject: Node | None) -> Iterator[_Place]:
    lists = [key for key in FROM_LISTS if key in root]
    rest = {key: child for key, child in root.items() if key not in lists} if lists else root
    found = subject is None
    for key in lists:
        for part, seen in _sights(root[key], subject):
            sees = seen is not None and (subject is None or SUBJECT in seen)
            yield _Place(part, NOTHING if sees else around, around)
        found = found or SUBJECT in _known(root[key], subject)
    named = not lists or found
    yield _Place(rest, NOTHING if named else around, around)


def _sights(items: list[Node], subject: Node | None) -> Iterator[_Sight]:
    """Yield the parts of a FROM list in which columns may stand, each with the names that it sees.

    What is LATERAL, as functions are, sees what stands to the left; ON sees the two sides of its join. The names of
    a join with an alias are seen only inside. With a subject there is one name, which stands for that item.
    """
    walk = _Walk(subject)
    for item in items:
        yield from walk.through(item)


def _known(items: list[Node], subject: Node | None) -> set[str]:
    walk = _Walk(subject)
    for item in items:
        for _ in walk.through(item):
            pass
    return set(walk.names)


class _Walk:
    """A walk through a FROM list from left to right, and the names that its items have so far."""

    def __init__(self, subject: Node | None) -> None:
        self.names: list[str] = []
        self._subject = subject

    def through(self, element: Node) -> Iterator[_Sight]:
        """Yield the parts of one item of the list."""
        todo: list[tuple[Node, int | None]] = [(element, None)]
        while todo:
            node, mark = todo.pop()
            ((tag, item),) = node.items()
            if mark is not None:
                yield _Sight(item.get("quals"), frozenset(self.names[mark:]))
                if "alias" in item:
                    del self.names[mark:]
                    self._add(item)
                elif "join_using_alias" in item and self._subject is None:
                    self.names.append(str(item["join_using_alias"]["aliasname"]))
            elif tag == "JoinExpr":
                todo += [(node, len(self.names)), (item["rarg"], None), (item["larg"], None)]
            else:
                sees_left = tag != "RangeSubselect" or item.get("lateral")
                yield _Sight(item, frozenset(self.names) if sees_left else None)
                self._add(item["relation"]["RangeVar"] if tag == "RangeTableSample" else item)

    def _add(self, item: Node) -> None:
        if self._subject is not None:
            if item is self._subject:
                self.names.append(SUBJECT)
        elif "alias" in item:
            self.names.append(str(item["alias"]["aliasname"]))
        elif "relname" in item:
            self.names.append(str(item["relname"]))


def from_names(query: Node) -> frozenset[str]:
    """Return the names by which the items of a query's FROM list are known in the query."""
    return frozenset(name for key in FROM_LISTS for name in _known(query.get(key, []), None))
