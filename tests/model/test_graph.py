"""The order in which tables come back."""

from random import Random

import pytest

from pgsoftproxy.model.graph import parents_first


@pytest.mark.parametrize(
    ("edges", "groups"),
    [
        ({}, []),
        ({1: []}, [{1}]),
        ({1: [1]}, [{1}]),
        ({3: [2], 2: [1], 1: []}, [{1}, {2}, {3}]),
        ({1: [2], 2: [1], 3: [1]}, [{1, 2}, {3}]),
        ({3: [1, 2], 1: [2], 2: [3], 4: [3], 5: [4]}, [{1, 2, 3}, {4}, {5}]),
    ],
)
def test_parents_come_before_children_and_cycles_come_together(
    edges: dict[int, list[int]], groups: list[set[int]]
) -> None:
    assert [set(group) for group in parents_first(edges)] == groups


def test_a_long_chain_needs_no_recursion() -> None:
    edges = {node: [node - 1] if node else [] for node in range(5000, -1, -1)}
    assert parents_first(edges) == tuple((node,) for node in range(5001))


def reached(edges: dict[int, list[int]], start: int) -> set[int]:
    found: set[int] = set()
    todo = [start]
    while todo:
        for parent in edges[todo.pop()]:
            if parent not in found:
                found.add(parent)
                todo.append(parent)
    return found


def test_of_random_graphs_every_node_is_in_one_group_and_after_all_that_it_leads_to() -> None:
    random = Random(4)  # noqa: S311 (a test that can be run again)
    for _ in range(300):
        count = random.randint(1, 9)
        edges = {
            node: [random.randrange(count) for _ in range(random.randint(0, 3))] for node in range(count)
        }
        groups = parents_first(edges)
        place = {node: number for number, group in enumerate(groups) for node in group}
        assert sorted(node for group in groups for node in group) == list(range(count))
        below = {node: reached(edges, node) for node in edges}
        for node in edges:
            assert all(place[parent] <= place[node] for parent in below[node])
            together = {other for other in below[node] if node in below[other]}
            assert {other for other in edges if place[other] == place[node]} == together | {node}
