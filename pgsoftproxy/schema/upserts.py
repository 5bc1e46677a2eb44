"""Which stored functions would fail once a unique key counts live rows only: those that upsert by the full one. Pure.

The proxy puts the index's predicate into the ON CONFLICT of what passes through it; nobody does so inside the server.
"""

import re

from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.model.present import IndexState, UpsertingRoutine
from pgsoftproxy.rewrite.bodies import read_body

CLAUSE = re.compile(
    r"on\s+conflict\s*(?:\((?P<target>[^;]*?)\)(?P<where>\s*where\b[^;]*?)?|on\s+constraint\s+(?P<name>[^;]*?))\s+do\b",
    re.IGNORECASE,
)


def upserts_by(routine: UpsertingRoutine, relation: Relation, index: IndexState, column: str) -> bool:
    """Tell whether a routine infers the index as it is; one whose clause names the deletion column does not need that.

    By its words: rather too often than too seldom.
    """
    words = {word.name for word in read_body(routine.body, "plpgsql").words}
    if relation.name not in words:
        return False
    return any(_infers(clause, index, column) for clause in CLAUSE.finditer(routine.body))


def _infers(clause: re.Match[str], index: IndexState, column: str) -> bool:
    if clause["name"] is not None:
        return clause["name"].strip('"').lower() == index.name.lower()
    if column in (clause["where"] or ""):
        return False
    named = set(re.findall(r"\w+", clause["target"].lower()))
    return all(name is None or set(re.findall(r"\w+", name.lower())) <= named for name in index.columns)
