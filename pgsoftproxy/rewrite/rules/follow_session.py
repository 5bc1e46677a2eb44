"""Transaction control, PREPARE, DISCARD and their like: the effects that the session must follow."""

from pgsoftproxy.model.effects import (
    Deallocates,
    DiscardsAll,
    Effect,
    Transaction,
    TransactionVerb,
)
from pgsoftproxy.rewrite.tree import Node

_VERBS = {
    "TRANS_STMT_BEGIN": TransactionVerb.BEGIN,
    "TRANS_STMT_START": TransactionVerb.BEGIN,
    "TRANS_STMT_COMMIT": TransactionVerb.COMMIT,
    "TRANS_STMT_ROLLBACK": TransactionVerb.ROLLBACK,
    "TRANS_STMT_SAVEPOINT": TransactionVerb.SAVEPOINT,
    "TRANS_STMT_RELEASE": TransactionVerb.RELEASE,
    "TRANS_STMT_ROLLBACK_TO": TransactionVerb.ROLLBACK_TO,
    # The prepared transaction leaves the session, but its SETs stay, as after a COMMIT.
    "TRANS_STMT_PREPARE": TransactionVerb.COMMIT,
}


def follow_session(tag: str, statement: Node) -> tuple[Effect, ...]:
    """Return the effects of a statement that changes the session's own state, but for the names of `executed_name`."""
    if tag == "TransactionStmt":
        verb = _VERBS.get(statement["kind"])
        if verb is None:  # COMMIT PREPARED, ROLLBACK PREPARED: another transaction's
            return ()
        return (Transaction(verb, statement.get("savepoint_name", ""), bool(statement.get("chain"))),)
    if tag == "DiscardStmt":
        return (DiscardsAll(), Deallocates(None)) if statement["target"] == "DISCARD_ALL" else ()
    if tag == "DeallocateStmt":
        return (Deallocates(None if statement.get("isall") else statement["name"]),)
    return ()


def executed_name(tag: str, statement: Node) -> str | None:
    """Return the name of the prepared statement that a statement executes, through EXPLAIN and CREATE TABLE AS."""
    while tag in {"ExplainStmt", "CreateTableAsStmt"}:
        ((tag, statement),) = statement["query"].items()
    return statement["name"] if tag == "ExecuteStmt" else None
