"""DDL that computes with every row of a protected table: its errors would quote the values of deleted ones."""

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.policy import Mode
from pgsoftproxy.rewrite.plan import ErrorTranslation
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.tree import Node, walk

COMPUTING = frozenset(
    "AlterTableStmt IndexStmt CreateStatsStmt VacuumStmt ReindexStmt ClusterStmt RefreshMatViewStmt".split()
)
DATA_EXCEPTION = "22"
"""The class of errors that say which value they are about."""


def withhold_values(tag: str, statement: Node, surroundings: Surroundings) -> tuple[ErrorTranslation, ...]:
    """Return what is told in place of such an error; nothing where the statement names no protected table."""
    policy = surroundings.policy
    if tag not in COMPUTING or not policy.hides:
        return ()
    named = {node["relname"] for node in walk(statement) if "relname" in node}
    hidden = [one for one in policy.protections.values() if one.mode is Mode.ENFORCE]
    labels = [one.label for one in hidden if not named or one.relation.name in named]
    labels += [label for oid, label in policy.exposing.items() if policy.catalog.relations[oid].name in named]
    if not labels:
        return ()
    message = (
        f'a value of protected table "{labels[0]}" does not fit; it is not shown, for its row may be deleted'
    )
    hint = "Run the statement on a direct connection to see the value."
    return (ErrorTranslation(DATA_EXCEPTION, "", Refusal("22000", message, hint)),)
