"""Refuse what can read or remove rows without naming them where the rewriter can see: text run as SQL."""

from collections.abc import Collection

from pglast.parser import ParseError, scan

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.rewrite.tree import Node, strings, walk

_XML = ("table_to_xml", "schema_to_xml", "database_to_xml", "query_to_xml")
_XML_SUFFIXES = ("", "schema", "_and_xmlschema")
OPAQUE = frozenset(
    {f"{name}{suffix}" for name in _XML for suffix in _XML_SUFFIXES}
    | {"ts_stat", "dblink", "dblink_exec", "dblink_open", "dblink_send_query", "xpath_table", "connectby"}
    | {"crosstab", "crosstab2", "crosstab3", "crosstab4", "crosstabn", "cursor_to_xml"}
)
"""Functions that run SQL given as text, or read tables given by name."""


def refuse_opaque_calls(calls: list[Node]) -> None:
    """Refuse calls of functions that run SQL from text or read tables by name."""
    for call in calls:
        names = strings(call["funcname"])
        if names[-1] in OPAQUE or (names[-1] == "ts_rewrite" and len(call.get("args", [])) == 2):
            raise StatementRefused(
                f'function "{names[-1]}" reads what the proxy cannot see',
                hint="Write the query itself instead of passing it as text or by a table's name.",
            )


def refuse_opaque_bodies(statement: Node, names: Collection[str]) -> None:
    """Refuse a DO block or routine whose body names a relation of the policy."""
    for node in walk(statement):
        element = node.get("DefElem")
        if element is None or element.get("defname") != "as":
            continue
        for child in walk(element.get("arg", {})):
            body = child.get("String", {}).get("sval", "")
            name = _named_in(body, names)
            if name is not None:
                raise StatementRefused(
                    f'the body of a routine or DO block names "{name}", which is protected',
                    hint="Its statements would run inside the server, past the proxy; send them one by one.",
                )


def _named_in(body: str, names: Collection[str]) -> str | None:
    try:
        tokens = scan(body)
    except ParseError:
        lowered = body.lower()
        return next((name for name in names if name.lower() in lowered), None)
    for token in tokens:
        text = body[token.start : token.end + 1]
        if token.name == "SCONST" and len(text) < len(body):
            inner = _named_in(text.strip("'$"), names)
            if inner is not None:
                return inner
        word = text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()
        if word in names:
            return word
    return None
