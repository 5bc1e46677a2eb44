"""In which order rows of several tables come back: parents first, tables of one cycle together. Pure."""

from collections.abc import Iterable, Mapping


def parents_first(edges: Mapping[int, Iterable[int]]) -> tuple[tuple[int, ...], ...]:
    """Return groups of nodes such that all that a node leads to is in its own group or in an earlier one.

    `edges` maps every child to its parents. A group is a strongly connected component (Tarjan, without recursion).
    """
    groups: list[tuple[int, ...]] = []
    number: dict[int, int] = {}
    lowest: dict[int, int] = {}
    open_nodes: list[int] = []
    for start in edges:
        if start in number:
            continue
        path = [(start, iter(edges[start]))]
        while path:
            node, parents = path[-1]
            if node not in number:
                number[node] = lowest[node] = len(number)
                open_nodes.append(node)
            step = next(parents, None)
            if step is None:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[node])
                if lowest[node] == number[node]:
                    groups.append(_close(node, open_nodes))
            elif step not in number:
                path.append((step, iter(edges.get(step, ()))))
            elif step in open_nodes:
                lowest[node] = min(lowest[node], number[step])
    return tuple(groups)


def _close(node: int, open_nodes: list[int]) -> tuple[int, ...]:
    place = open_nodes.index(node)
    group = tuple(open_nodes[place:])
    del open_nodes[place:]
    return group
