"""Parse SQL into plain dicts, and small readers of them. The only caller of the parser proper.

`parse_sql` of pglast is never used: it builds Python nodes recursively and dies of deep input.
Fields with their default value are absent from the JSON, so a missing `location` is 0 and a missing flag false.
"""

import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import orjson
from pglast.parser import ParseError, parse_sql_json

from pgsoftproxy.errors import StatementRefused

Node = dict[str, Any]

DEEP_STACK = 512 * 1024 * 1024
"""Bytes of address space, not of memory: pages come into being as they are used."""
DEEP_LEVELS = 1_000_000

QUERIES = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})

LEAVES = frozenset({"A_Const", "String", "Integer", "Float", "Boolean", "BitString", "A_Star", "ParamRef"})
"""Nodes with nothing below them that a walk could want."""


def parse(sql: str) -> list[Node]:
    """Return the raw statements of a text, each `{"stmt": {Tag: ...}, "stmt_location", "stmt_len"}`.

    Raises StatementRefused: 42601 with the server's own words, 54001 where the statement nests too deep.
    """
    try:
        text = parse_sql_json(sql)
    except ParseError as error:
        raise _syntax_error(error, sql) from None
    except UnicodeEncodeError:  # a lone surrogate: cannot come from a client's bytes, but may from a caller
        raise StatementRefused("invalid character in statement", sqlstate="22021") from None
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError:  # beyond 1,024 levels
        tree = _decode_deep(text)
    statements: list[Node] = tree.get("stmts", [])
    return statements


def _decode_deep(text: str) -> Node:
    """Decode a tree that nests deeper than orjson goes, on a stack large enough for all that the parser lets through.

    The parser itself stops at the stack that it was built for, some 20,000 levels, so the depth here is bounded.
    """
    decoded: list[Node] = []
    stack, limit = threading.stack_size(DEEP_STACK), sys.getrecursionlimit()
    sys.setrecursionlimit(DEEP_LEVELS)
    try:
        thread = threading.Thread(target=lambda: decoded.append(json.loads(text)))
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(stack)
    if not decoded:
        raise StatementRefused(
            "stack depth limit exceeded", hint="The statement nests too deep to be checked.", sqlstate="54001"
        )
    return decoded[0]


def _syntax_error(error: ParseError, sql: str) -> StatementRefused:
    message = str(error.args[0]) if error.args else "syntax error"
    location = error.args[1] if len(error.args) > 1 else -1
    if "stack depth limit exceeded" in message:
        return StatementRefused(message, sqlstate="54001", hint="The statement nests too deep to be parsed.")
    if message.startswith("invalid byte sequence for encoding"):
        return StatementRefused(message, sqlstate="22021")
    if message.endswith("at end of input"):  # reported without a place
        location = len(sql)
    position = location + 1 if isinstance(location, int) and location >= 0 else None
    return StatementRefused(message, sqlstate="42601", position=position)


def tagged(node: Node) -> tuple[str, Node]:
    """Split `{Tag: fields}` into its two parts."""
    ((tag, fields),) = node.items()
    return tag, fields


def unwrapped(statement: Node) -> tuple[str, Node]:
    """Return tag and fields of the statement inside EXPLAIN and PREPARE, or of the statement itself."""
    tag, fields = tagged(statement)
    while tag in {"ExplainStmt", "PrepareStmt"}:
        tag, fields = tagged(fields["query"])
    return tag, fields


def strings(nodes: list[Node]) -> list[str]:
    """Return the values of a list of String nodes; A_Star and others become `*`."""
    return [node["String"].get("sval", "") if "String" in node else "*" for node in nodes]


def constant(node: Node) -> str | bool | None:
    """Return the value of a literal as text or bool; None if the node is not a plain literal."""
    fields = node.get("A_Const")
    if fields is None or fields.get("isnull"):
        return None
    if "sval" in fields:
        return str(fields["sval"].get("sval", ""))
    if "boolval" in fields:
        return bool(fields["boolval"].get("boolval", False))
    if "ival" in fields:
        return str(fields["ival"].get("ival", 0))
    return str(fields["fval"].get("fval", "0")) if "fval" in fields else None


def walk(node: Any) -> Iterator[Node]:
    """Yield every dict below a node, itself included, without recursion, in no promised order."""
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(value for value in item.values() if isinstance(value, dict | list))
        elif isinstance(item, list):
            stack.extend(item)
