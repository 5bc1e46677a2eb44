"""Physical deletions that were asked for: what would be softened or refused otherwise, for metrics and logs."""

from collections.abc import Iterable

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.policy import Mode
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rules.judge_unprotected import removes
from pgsoftproxy.rewrite.rules.judge_utility import judge_utility
from pgsoftproxy.rewrite.scope import Reference
from pgsoftproxy.rewrite.tree import Node, strings, tagged

REMOVING = frozenset({"TruncateStmt", "DropStmt", "DropOwnedStmt"})


def is_hard(statement: Node, references: Iterable[Reference], surroundings: Surroundings) -> bool:
    """Tell whether a statement that may pass removes rows of a protected table physically."""
    if not surroundings.hard:
        return False
    tag, node = tagged(statement)
    if tag in REMOVING:
        try:
            judge_utility(tag, node, surroundings, strict=True)
        except StatementRefused:
            return True
        return False
    if tag == "ExplainStmt" and not any(
        item["DefElem"]["defname"] == "analyze" for item in node.get("options", ())
    ):
        return False
    return any(removes(one) and _is_protected(one, surroundings) for one in references)


def hard_tables(
    statement: Node, references: Iterable[Reference], surroundings: Surroundings
) -> tuple[str, ...]:
    """Return the labels of the tables that such a statement names; DROP SCHEMA and its like name none."""
    nodes = [one.node for one in references if removes(one) and _is_protected(one, surroundings)]
    tag, node = tagged(statement)
    if tag == "TruncateStmt":
        nodes = [item["RangeVar"] for item in node["relations"]]
    elif tag == "DropStmt" and node["removeType"] == "OBJECT_TABLE":
        nodes = [_named(strings(item["List"]["items"])) for item in node["objects"]]
    found = (surroundings.relation(one) for one in nodes)
    return tuple(dict.fromkeys(relation.label for relation in found if relation is not None))


def _named(parts: list[str]) -> Node:
    return {"relname": parts[-1], "schemaname": parts[-2] if len(parts) > 1 else None}


def _is_protected(reference: Reference, surroundings: Surroundings) -> bool:
    relation = surroundings.relation(reference.node)
    if relation is None:
        return False
    protection = surroundings.protection(relation)
    if protection is None:
        return relation.oid in surroundings.policy.destroying
    return protection.mode is Mode.ENFORCE
