"""DDL after which a name may lead to protected rows that led elsewhere, or nowhere, before.

Harmless once the catalog is read again. Where that cannot be done (above READ COMMITTED the transaction's snapshot
may be older), nothing that depends on names may follow in the same transaction.
"""

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.rewrite.bodies import definition_of
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.routines import findings_of
from pgsoftproxy.rewrite.tree import Node, strings, walk

LINKING = frozenset({"AT_AddInherit", "AT_AttachPartition"})
CASCADE = "c"
"""confdeltype, as the parser gives it."""


def find_uncovering(tag: str, statement: Node, surroundings: Surroundings) -> bool:
    """Tell whether a statement may give another name, a parent or a cascade to what leads to protected rows."""
    policy = surroundings.policy
    match tag:
        case "RenameStmt" | "AlterObjectSchemaStmt":
            return _renames(statement, policy)
        case "AlterTableStmt":
            return _links(statement, policy)
        case "DoStmt":
            bodies = (text for _, text in definition_of(statement))
            return policy.hides and any(text is None or "alter" in text.lower() for text in bodies)
        case _:
            return False


def refuse_uncovered(surroundings: Surroundings) -> None:
    """Refuse what depends on the meaning of names while that may have changed so."""
    if surroundings.values.stale and surroundings.values.uncovered:
        raise StatementRefused(
            "names may lead to protected tables that the proxy does not know of "
            "while the open transaction has renamed, moved or linked relations or functions",
            hint="Commit first, or use READ COMMITTED, where the proxy can read the catalog inside a transaction.",
        )


def _renames(statement: Node, policy: Policy) -> bool:
    kind = statement.get("renameType", statement.get("objectType"))
    if kind == "OBJECT_SCHEMA":
        schema = statement["subname"]
        routines = (routine for routine in policy.catalog.routines.values() if routine.schema == schema)
        return any(
            _leads(relation, policy) for relation in _known(policy) if relation.schema == schema
        ) or any(findings_of(routine, policy) for routine in routines)
    if "relation" in statement:
        return any(_leads(one, policy) for one in policy.names.get(statement["relation"]["relname"], ()))
    names = [strings(node["objname"]) for node in walk(statement) if "objname" in node]
    return kind == "OBJECT_EXTENSION" or any(
        findings_of(routine, policy)
        for name in names
        for routine in policy.catalog.routines_by_name.get(name[-1], ())
    )


def _known(policy: Policy) -> list[Relation]:
    return [relation for relations in policy.names.values() for relation in relations]


def _leads(relation: Relation, policy: Policy) -> bool:
    """Tell whether a relation is not protected itself, so that it may be renamed, but leads to protected rows."""
    return relation.oid not in policy.protections


def _links(statement: Node, policy: Policy) -> bool:
    names = {node["relname"] for node in walk(statement) if "relname" in node}
    if not names & policy.names.keys():
        return False
    commands = {item["AlterTableCmd"].get("subtype") for item in statement["cmds"]}
    return bool(commands & LINKING) or any(node.get("fk_del_action") == CASCADE for node in walk(statement))
