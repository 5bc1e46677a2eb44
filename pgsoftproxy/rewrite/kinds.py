"""Which kind a statement is by the tag of its tree, and in which kinds a query is rewritten. Tables only."""

from pgsoftproxy.rewrite.plan import Kind

KINDS = {
    "SelectStmt": Kind.SELECT,
    "InsertStmt": Kind.INSERT,
    "UpdateStmt": Kind.UPDATE,
    "DeleteStmt": Kind.DELETE,
    "MergeStmt": Kind.MERGE,
    "CopyStmt": Kind.COPY,
    "TruncateStmt": Kind.TRUNCATE,
    "TransactionStmt": Kind.TRANSACTION,
    "VariableSetStmt": Kind.SET,
    "PrepareStmt": Kind.PREPARE,
    "ExecuteStmt": Kind.EXECUTE,
    "ExplainStmt": Kind.EXPLAIN,
    "DeclareCursorStmt": Kind.CURSOR,
    "FetchStmt": Kind.CURSOR,
}
WRAPPERS = frozenset(
    "PrepareStmt DeclareCursorStmt ExplainStmt CreateTableAsStmt CopyStmt CallStmt ViewStmt".split()
)
"""Statements besides the queries themselves that a query may stand in and be rewritten."""
MAKING = frozenset({"CreateTableAsStmt", "ViewStmt", "CreateFunctionStmt"})
"""Those of them that change the catalog."""
