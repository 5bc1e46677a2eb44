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
        ("SELECT (SELECT 1 FROM b AS a, LATERAL (SELECT a.y) AS s) FROM a", {"a.y": {"a", "s"}}),
        ("SELECT (WITH w AS (SELECT a.y) SELECT 1 FROM b AS a) FROM a", {"a.y": set()}),
        # Of the outermost query itself, what does not see its FROM list counts as taken.
        ("SELECT 1 FROM a, (SELECT outer_.y) AS s", {"outer_.y": {"outer"}}),
        ("WITH w AS (SELECT a.y) SELECT 1 FROM a", {"a.y": {"outer"}}),
        ("SELECT 1 FROM a, LATERAL (SELECT a.y) AS s", {"a.y": set()}),
        # Each arm has a FROM list of its own.
        ("SELECT (SELECT a.y FROM b AS a UNION SELECT a.z FROM c)", {"a.y": {"a"}, "a.z": {"c"}}),
        ("SELECT (SELECT 1 FROM b JOIN c ON a.y = 1)", {"a.y": {"b", "c"}}),
        ("SELECT (SELECT 1 FROM b, unnest(a.y) AS u)", {"a.y": {"b", "u"}}),
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
