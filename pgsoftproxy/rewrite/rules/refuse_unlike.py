"""Definitions that the server keeps: what is stored must hold for whoever uses it later, so for live rows only."""

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.rewrite.plan import StatementPlan
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.tree import Node, unwrapped

STORED = {
    "ViewStmt": "a view",
    "CreateTableAsStmt": "a materialized view",
    "CreateFunctionStmt": "a function or procedure",
}


def refuse_unlike(statement: Node, plan: StatementPlan, surroundings: Surroundings) -> None:
    """Refuse to store a definition that was rewritten for another visibility, or would need the proxy's help later.

    A session that sees more than live rows would leave what it sees to all others.
    """
    tag, fields = unwrapped(statement)
    if tag not in STORED or (tag == "CreateTableAsStmt" and fields.get("objtype") != "OBJECT_MATVIEW"):
        return
    if not plan.guarded and plan.bypass is None:
        return
    table = f'protected table "{plan.guarded[0]}"' if plan.guarded else "protected tables"
    if plan.bypass is not None or surroundings.hard:
        raise StatementRefused(
            f"{STORED[tag]} over {table} can only be created while live rows are seen and deleted softly",
            hint="SET pgsoftproxy.visibility = 'live' and pgsoftproxy.delete = 'soft' first, "
            "or create it on a direct connection.",
        )
    if plan.translations:
        raise StatementRefused(
            f"{STORED[tag]} with ON CONFLICT on {table} cannot be rewritten",
            hint="A deleted row may hold the key; create the partial unique index on live rows first.",
        )
