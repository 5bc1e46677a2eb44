"""Temporary relations that shadow protected ones: which a statement makes and drops, and how it is to name them.

Theory. The proxy knows what statements of the session itself made, not what functions made or dropped. So it names
a temporary relation as such where the client left out the schema, `users` becomes `pg_temp.users`: if it is not
there any more, the statement fails instead of meaning the protected table that it shadowed. One that the proxy has
not seen counts as the protected table, whose guards then fail for want of columns, or filter more than need be.
"""

from collections.abc import Iterable

from pgsoftproxy.model.effects import ChangesTemporary
from pgsoftproxy.rewrite.edits import EditList
from pgsoftproxy.rewrite.resolve import TEMPORARY_SCHEMA, Surroundings
from pgsoftproxy.rewrite.scope import Reference
from pgsoftproxy.rewrite.tokens import COMMA, Tokens, Uncertain
from pgsoftproxy.rewrite.tree import QUERIES, Node, strings, tagged, unwrapped

PREFIX = f"{TEMPORARY_SCHEMA}."
MAKING = {
    "CreateStmt": "relation",
    "CreateForeignTableStmt": "relation",
    "ViewStmt": "view",
    "CreateSeqStmt": "sequence",
    "CompositeTypeStmt": "typevar",
}
"""Where a statement has the name of what it makes, besides those that have an INTO."""


KINDS_DROPPED = {
    "OBJECT_TABLE": 1,
    "OBJECT_VIEW": 1,
    "OBJECT_SEQUENCE": 1,
    "OBJECT_FOREIGN_TABLE": 2,
    "OBJECT_MATVIEW": 2,
}
"""Kinds of relation that a DROP of a shadowed name could remove, with how many words name the kind."""


def made_name(statement: Node) -> Node | None:
    """Return the RangeVar of the relation that a statement makes, also inside EXPLAIN; None if it makes none."""
    tag, fields = unwrapped(statement)
    if tag == "CreateForeignTableStmt":
        fields = fields["base"]
    found = fields.get(MAKING[tag]) if tag in MAKING else None
    into = fields.get("into") if tag == "CreateTableAsStmt" else fields.get("intoClause")
    return into["rel"] if into is not None and tag in {"CreateTableAsStmt", "SelectStmt"} else found


def makes_temporary(statement: Node, surroundings: Surroundings) -> bool:
    """Tell whether a statement makes a temporary relation, and nothing else."""
    node = made_name(statement)
    if node is None:
        return False
    schema = node.get("schemaname")
    if schema is None and node.get("relpersistence") != "t":
        path = surroundings.schemas()
        return surroundings.values.path_is_certain and path[:1] == [TEMPORARY_SCHEMA]
    return schema in {None, TEMPORARY_SCHEMA}


def follow_temporary(statement: Node, surroundings: Surroundings) -> tuple[ChangesTemporary, ...]:
    """Return what a statement changes of the temporary relations whose names matter."""
    tag, fields = tagged(statement)
    if tag in QUERIES and "intoClause" not in fields:
        return ()
    if tag == "DiscardStmt":
        return (ChangesTemporary(dropped=None),) if fields["target"] == "DISCARD_TEMP" else ()
    if tag in {"DropStmt", "RenameStmt"}:
        known = surroundings.values.temporary
        dropped = known.intersection(_dropped(tag, fields)) if known else frozenset()
        return (ChangesTemporary(dropped),) if dropped else ()
    if tag in {"ExplainStmt", "PrepareStmt"} or not makes_temporary(statement, surroundings):
        return ()
    node = made_name(statement)
    assert node is not None
    if node["relname"] not in surroundings.policy.names:
        return ()
    into = fields.get("into") or fields.get("intoClause") or {}
    local = "ONCOMMIT_DROP" in {fields.get("oncommit"), into.get("onCommit")}
    return (ChangesTemporary(frozenset(), frozenset({node["relname"]}), local),)


def name_temporary(
    statement: Node, references: Iterable[Reference], surroundings: Surroundings, tokens: Tokens, first: int
) -> EditList:
    """Return the edits by which a statement names the temporary relations that it means; `first` is its first token.

    Raises Uncertain where that cannot be written.
    """
    edits = EditList()
    made = made_name(statement)
    for reference in references:
        if reference.node is not made and surroundings.means_temporary(reference.node):
            edits.insert(tokens.starts[tokens.at(reference.location)], PREFIX)
    tag, fields = tagged(statement)
    if tag == "DropStmt":
        _name_dropped(fields, surroundings, tokens, first, edits)
    return edits


def _dropped(tag: str, fields: Node) -> set[str]:
    if tag == "RenameStmt":
        if fields["renameType"] not in {"OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_SEQUENCE", "OBJECT_INDEX"}:
            return set()
        node = fields["relation"]
        return {node["relname"]} if _may_be_temporary(node.get("schemaname")) else set()
    names = (strings(item["List"]["items"]) for item in fields["objects"] if "List" in item)
    return {parts[-1] for parts in names if _may_be_temporary(parts[-2] if len(parts) > 1 else None)}


def _may_be_temporary(schema: str | None) -> bool:
    return schema is None or schema.startswith(TEMPORARY_SCHEMA)


def _name_dropped(
    fields: Node, surroundings: Surroundings, tokens: Tokens, first: int, edits: EditList
) -> None:
    """Name what a DROP drops: `DROP kind [IF EXISTS] name, ...`, of whose names the tree has no places."""
    items = [strings(item["List"]["items"]) for item in fields["objects"] if "List" in item]
    if not any(len(parts) == 1 and surroundings.means_temporary({"relname": parts[0]}) for parts in items):
        return
    words = KINDS_DROPPED.get(fields["removeType"])
    if words is None:
        return
    at = first + 1 + words + (2 if fields.get("missing_ok") else 0)
    for parts in items:
        end = tokens.qualified_end(at)
        if parts is not items[-1] and tokens.name(end + 1) != COMMA:
            raise Uncertain
        if len(parts) == 1 and surroundings.means_temporary({"relname": parts[0]}):
            edits.insert(tokens.starts[at], PREFIX)
        at = end + 2
