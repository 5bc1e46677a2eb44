"""Physical deletions that were asked for: what would be softened or refused otherwise, for metrics and logs."""

from collections.abc import Iterable

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.policy import Mode
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rules.judge_unprotected import removes
from pgsoftproxy.rewrite.rules.judge_utility import judge_utility
from pgsoftproxy.rewrite.scope import Reference
from pgsoftproxy.rewrite.tree import Node, tagged

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


def _is_protected(reference: Reference, surroundings: Surroundings) -> bool:
    relation = surroundings.relation(reference.node)
    if relation is None:
        return False
    protection = surroundings.protection(relation)
    if protection is None:
        return relation.oid in surroundings.policy.destroying
    return protection.mode is Mode.ENFORCE
