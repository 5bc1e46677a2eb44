"""Assignments to a deletion column: an application's own soft deletes, which pass and are counted."""

from collections.abc import Iterator

from pgsoftproxy.model.policy import Protection
from pgsoftproxy.rewrite.scope import Reference, Use
from pgsoftproxy.rewrite.tree import Node, constant
from pgsoftproxy.rewrite.work import Work


def note_by_hand(work: Work, reference: Reference, protection: Protection) -> None:
    """Note a statement that sets the deletion column to what may delete: not to a plain NULL, false or DEFAULT."""
    if reference.use is Use.READ:
        return
    targets = (item["ResTarget"] for item in _assignments(reference))
    deletes = any(one.get("name") == protection.column and _may_delete(one["val"]) for one in targets)
    if deletes and protection.label not in work.by_hand:
        work.by_hand.append(protection.label)


def _assignments(reference: Reference) -> Iterator[Node]:
    owner = reference.owner
    match reference.use:
        case Use.UPDATE:
            yield from owner["targetList"]
        case Use.INSERT:
            yield from owner.get("onConflictClause", {}).get("targetList", [])
        case Use.MERGE:
            for item in owner["mergeWhenClauses"]:
                clause = item["MergeWhenClause"]
                if clause["commandType"] == "CMD_UPDATE":
                    yield from clause["targetList"]
        case _:
            pass


def _may_delete(value: Node) -> bool:
    is_null = value.get("A_Const", {}).get("isnull", False)
    return not is_null and constant(value) is not False and "SetToDefault" not in value
