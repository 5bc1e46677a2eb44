"""Where in a statement a constant may have any value without the plan being another one. Reads trees only.

An allow-list, by which nothing is free that no rule was shown not to read: no rule looks at a constant's value in what
this goes through. What SET, functions that take names or settings, ORDER BY 1 or a type's length hold is not reached.
"""

from typing import Any, Final

from pgsoftproxy.rewrite.tree import Node, strings, tagged

_TAGGED: Final = ""
"""Marks a field whose nodes have tags of their own."""


def _fields(names: str, **untagged: str) -> dict[str, str]:
    return {**dict.fromkeys(names.split(), _TAGGED), **untagged}


_WITH = {"withClause": "WithClause"}
_WRITE = {**_WITH, "returningClause": "ReturningClause"}
STATEMENTS = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
THROUGH: dict[str, dict[str, str]] = {
    "SelectStmt": _fields(
        "targetList fromClause whereClause havingClause groupClause sortClause valuesLists limitCount limitOffset",
        larg="SelectStmt",
        rarg="SelectStmt",
        **_WITH,
    ),
    "InsertStmt": _fields("selectStmt", onConflictClause="OnConflictClause", **_WRITE),
    "UpdateStmt": _fields("targetList whereClause fromClause", **_WRITE),
    "DeleteStmt": _fields("usingClause whereClause", **_WRITE),
    "MergeStmt": _fields("sourceRelation joinCondition mergeWhenClauses", **_WRITE),
    "MergeWhenClause": _fields("condition targetList values"),
    "OnConflictClause": _fields("targetList whereClause"),
    "ReturningClause": _fields("exprs"),
    "WithClause": _fields("ctes"),
    "CommonTableExpr": _fields("ctequery"),
    "JoinExpr": _fields("larg rarg quals"),
    "RangeSubselect": _fields("subquery"),
    "RangeFunction": _fields("functions"),
    "ResTarget": _fields("val"),
    "SortBy": _fields("node"),
    "List": _fields("items"),
    "RowExpr": _fields("args"),
    "A_ArrayExpr": _fields("elements"),
    "A_Expr": _fields("lexpr rexpr"),
    "BoolExpr": _fields("args"),
    "NullTest": _fields("arg"),
    "BooleanTest": _fields("arg"),
    "CaseExpr": _fields("arg args defresult"),
    "CaseWhen": _fields("expr result"),
    "CoalesceExpr": _fields("args"),
    "MinMaxExpr": _fields("args"),
    "SubLink": _fields("testexpr subselect"),
    "MultiAssignRef": _fields("source"),
    "CollateClause": _fields("arg"),
    "A_Indirection": _fields("arg"),
    "TypeCast": _fields("arg"),
    "FuncCall": _fields("args agg_filter"),
}
"""What the walk goes on to from each kind of node."""
PLACES = frozenset({"sortClause", "groupClause", "SortBy"})
"""Where a constant by itself is the number of an output column."""

FUNCTIONS = frozenset(
    "count sum avg min max array_agg string_agg json_agg jsonb_agg json_object_agg jsonb_object_agg bool_and bool_or "
    "every stddev variance percentile_cont percentile_disc row_number rank dense_rank percent_rank cume_dist ntile lag "
    "lead first_value last_value nth_value "
    "lower upper initcap length char_length character_length octet_length bit_length substr substring left right lpad "
    "rpad btrim ltrim rtrim replace translate split_part strpos position overlay concat concat_ws format repeat "
    "reverse md5 sha256 encode decode ascii chr starts_with quote_literal quote_ident regexp_replace regexp_match "
    "regexp_matches regexp_split_to_array regexp_split_to_table like_escape similar_to_escape similar_escape "
    "to_char to_date to_timestamp to_number date_trunc date_part date_bin extract timezone age make_date make_time "
    "make_timestamp make_timestamptz make_interval justify_days justify_hours justify_interval overlaps now "
    "abs ceil ceiling floor round trunc mod div power sqrt exp ln log sign random width_bucket "
    "array_length array_lower array_upper array_position array_positions array_append array_prepend array_cat "
    "array_remove array_replace array_to_string string_to_array cardinality unnest generate_series "
    "to_json to_jsonb row_to_json json_build_object jsonb_build_object json_build_array jsonb_build_array "
    "json_array_length jsonb_array_length json_array_elements jsonb_array_elements json_array_elements_text "
    "jsonb_array_elements_text json_extract_path jsonb_extract_path json_extract_path_text jsonb_extract_path_text "
    "jsonb_set jsonb_insert jsonb_strip_nulls jsonb_path_exists jsonb_path_match jsonb_path_query "
    "jsonb_path_query_array jsonb_path_query_first jsonb_typeof json_typeof "
    "to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery ts_rank ts_rank_cd ts_headline "
    "setweight hashtext pg_advisory_lock pg_advisory_xact_lock pg_try_advisory_lock pg_try_advisory_xact_lock "
    "pg_advisory_unlock pg_sleep".split()
)
"""Functions of the server that compute with values; none takes the name of a relation, a setting or a text of SQL."""


def free_constants(statements: list[Node]) -> set[int] | None:
    """Return the places (byte offsets) of the constants of a text that are free; None if none may be.

    The place of a negative number is that of its sign.
    """
    found: set[int] = set()
    for raw in statements:
        if tagged(raw["stmt"])[0] not in STATEMENTS:
            return None
        _walk(raw["stmt"], found)
    return found


def _walk(statement: Node, found: set[int]) -> None:
    todo: list[tuple[str, Any]] = list(statement.items())
    while todo:
        tag, fields = todo.pop()
        if tag == "A_Const":
            found.add(int(fields.get("location", 0)))
        elif not (tag == "FuncCall" and not _computes(fields)) and not (
            tag == "TypeCast" and _names_object(fields["typeName"])
        ):
            for field, untagged in THROUGH.get(tag, {}).items():
                value = fields.get(field)
                if value is None:
                    continue
                if untagged:
                    todo.append((untagged, value))
                    continue
                for node in value if type(value) is list else (value,):
                    if (field in PLACES or tag in PLACES) and "A_Const" in node:
                        continue
                    todo.extend(node.items())


def _computes(call: Node) -> bool:
    names = strings(call["funcname"])
    return names[-1] in FUNCTIONS and names[:-1] in ([], ["pg_catalog"])


def _names_object(type_name: Node) -> bool:
    """Tell whether a type is regclass or one of its kin."""
    return strings(type_name["names"])[-1].startswith("reg")
