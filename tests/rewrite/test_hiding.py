"""Which names sub-selects take again, column by column."""

import json

import pytest
from pglast.parser import parse_sql_json

from pgsoftproxy.rewrite.hiding import columns_below, from_names
from pgsoftproxy.rewrite.tree import Node, strings


def select(sql: str) -> Node:
    """Return the fields of a SELECT."""
    fields: Node = json.loads(parse_sql_json(sql))["stmts"][0]["stmt"]["SelectStmt"]
    return fields


def taken(sql: str) -> dict[str, set[str]]:
    """Return, for each column as written, the names taken between it and the outermost query."""
    found = columns_below(select(sql), frozenset({"outer"}))
    return {".".join(strings(column["fields"])): set(names) for column, names in found}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a.x FROM a", {"a.x": set()}),
        ("SELECT (SELECT a.y FROM b AS a) FROM a", {"a.y": {"a"}}),
        ("SELECT (SELECT (SELECT a.y FROM c) FROM b) FROM a", {"a.y": {"b", "c"}}),
        # Neighbours in FROM are seen by LATERAL only, and what stands in WITH sees none of them.
        ("SELECT (SELECT 1 FROM (SELECT a.y) AS s, b AS a) FROM a", {"a.y": set()}),
        ("SELECT (SELECT 1 FROM b AS a, LATERAL (SELECT a.y) AS s) FROM a", {"a.y": {"a"}}),
        ("SELECT (WITH w AS (SELECT a.y) SELECT 1 FROM b AS a) FROM a", {"a.y": set()}),
        # Of the outermost query itself, what does not see its FROM list counts as taken.
        ("SELECT 1 FROM a, (SELECT outer_.y) AS s", {"outer_.y": {"outer"}}),
        ("WITH w AS (SELECT a.y) SELECT 1 FROM a", {"a.y": {"outer"}}),
        ("SELECT 1 FROM a, LATERAL (SELECT a.y) AS s", {"a.y": set()}),
        # Each arm has a FROM list of its own.
        ("SELECT (SELECT a.y FROM b AS a UNION SELECT a.z FROM c)", {"a.y": {"a"}, "a.z": {"c"}}),
        ("SELECT (SELECT 1 FROM b JOIN c ON a.y = 1)", {"a.y": {"b", "c"}}),
        ("SELECT (SELECT 1 FROM b, unnest(a.y) AS u)", {"a.y": {"b"}}),
        # Functions see what stands to the left of them, ON its own join, and nobody into a join with an alias.
        ("SELECT (SELECT 1 FROM unnest(a.y) AS u, b AS a)", {"a.y": set()}),
        ("SELECT (SELECT 1 FROM x JOIN unnest(a.y) AS u ON a.z, b AS a)", {"a.y": {"x"}, "a.z": {"x", "u"}}),
        ("SELECT (SELECT a.y FROM (b AS a JOIN c ON a.z) AS j)", {"a.y": {"j"}, "a.z": {"a", "c"}}),
        ("SELECT (SELECT 1 FROM x, b AS a JOIN c ON a.z)", {"a.z": {"a", "c"}}),
    ],
)  # fmt: skip
def test_a_column_knows_which_names_are_taken(sql: str, expected: dict[str, set[str]]) -> None:
    assert taken(sql) == expected


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT FROM a, s.b, c AS d", {"a", "b", "d"}),
        ("SELECT FROM a JOIN (b CROSS JOIN c) ON true", {"a", "b", "c"}),
        ("SELECT FROM (a JOIN b USING (x)) AS j", {"j"}),
        ("SELECT FROM a JOIN b USING (x) AS u", {"a", "b", "u"}),
        ("SELECT FROM a TABLESAMPLE SYSTEM (1), (SELECT) AS q, f() AS g", {"a", "q", "g"}),
        ("SELECT FROM f()", set()),
        ("SELECT 1", set()),
    ],
)
def test_a_from_list_takes_the_names_of_its_items(sql: str, names: set[str]) -> None:
    assert from_names(select(sql)) == names


def seen(sql: str, place: str) -> dict[str, set[str]]:
    """Return the like of `taken`, for what sees the FROM item of that table, or does not."""
    query = select(sql)
    todo: list[Node] = list(query["fromClause"])
    while todo:
        ((tag, item),) = todo.pop().items()
        if tag == "JoinExpr":
            todo += [item["larg"], item["rarg"]]
        elif tag == "RangeVar" and item["relname"] == place:
            found = columns_below(query, frozenset({"v"}), item)
            return {".".join(strings(column["fields"])): set(names) for column, names in found}
    raise AssertionError(place)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT v.a FROM w AS v", {"v.a": set()}),
        ("SELECT v.a FROM (w AS v JOIN x ON v.b) AS j", {"v.a": {"v"}, "v.b": set()}),
        ("SELECT v.a FROM unnest(v.b) AS u, w AS v, unnest(v.c) AS t", {"v.a": set(), "v.b": {"v"}, "v.c": set()}),
        ("SELECT 1 FROM w AS v, x JOIN y ON v.b", {"v.b": {"v"}}),
        ("SELECT 1 FROM w AS v, x JOIN LATERAL (SELECT v.b) AS s ON true", {"v.b": set()}),
        ("SELECT 1 FROM w AS v, (SELECT v.b) AS s", {"v.b": {"v"}}),
        ("SELECT 1 FROM (w AS v CROSS JOIN LATERAL (SELECT v.b) AS s) AS j, LATERAL (SELECT v.c) AS t",
         {"v.b": set(), "v.c": {"v"}}),
    ],
)  # fmt: skip
def test_what_does_not_see_an_item_does_not_mean_it(sql: str, expected: dict[str, set[str]]) -> None:
    assert seen(sql, "w") == expected
