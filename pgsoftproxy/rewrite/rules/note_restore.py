"""Calls of `pgsoftproxy.restore`: which deletion a text names, for the audit log."""

import re
from collections.abc import Iterable

from pgsoftproxy.rewrite.tree import Node, constant, strings

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def named_deletion(calls: Iterable[Node]) -> str:
    """Return the id of the deletion that a call of the restoring function names; empty if the text does not tell."""
    for call in calls:
        if strings(call["funcname"])[-1] != "restore":
            continue
        for argument in call.get("args", ()):
            value = argument.get("NamedArgExpr", {}).get("arg", argument)
            text = constant(value.get("TypeCast", {}).get("arg", value))
            if isinstance(text, str) and _ID.fullmatch(text):
                return text.lower()
    return ""
