"""References of relations that are not protected, but lead to rows that are: views, parents, statistics, cascades."""

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.model.context import EVERYTHING
from pgsoftproxy.model.policy import SETTINGS, Mode
from pgsoftproxy.model.reach import STATISTICS
from pgsoftproxy.model.statements import StatementClass
from pgsoftproxy.rewrite.plan import Warned
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rules.apply_choice import apply_choice
from pgsoftproxy.rewrite.scope import TOAST, Reference, Use
from pgsoftproxy.rewrite.verify import writes_as_it_stands


def judge_unprotected(tag: str, reference: Reference, relation: Relation, surroundings: Surroundings) -> None:
    """Refuse what would uncover or physically remove rows of a protected table through another relation.

    `tag` is that of the statement as a whole.
    """
    policy = surroundings.policy
    label = policy.exposing.get(relation.oid)
    if label is not None and not _is_harmless(tag, reference, relation):
        kind = "view" if relation.definition is not None else "table"
        if kind == "view" and writes_as_it_stands(
            reference.owner_tag, reference.owner, relation, surroundings
        ):
            return
        raise StatementRefused(
            f'{kind} "{relation.label}" shows rows of protected table "{label}"',
            hint=f'Query "{label}" itself, or protect "{relation.label}" too.'
            if kind == "table"
            else f'Query "{label}" itself.',
        )
    label = policy.destroying.get(relation.oid)
    if label is not None and removes(reference) and not surroundings.hard:
        raise StatementRefused(
            f'DELETE on "{relation.label}" would physically remove rows of protected table "{label}" '
            "by ON DELETE CASCADE",
            hint=f'Protect "{relation.label}" too, or let a role with hard_delete = true delete after '
            "SET pgsoftproxy.delete = 'hard'.",
        )


def removes(reference: Reference) -> bool:
    """Tell whether a reference is one whose rows a DELETE, or a MERGE with such an action, removes."""
    if reference.use is not Use.MERGE:
        return reference.use is Use.DELETE
    clauses = (item["MergeWhenClause"] for item in reference.owner["mergeWhenClauses"])
    return any(clause["commandType"] == "CMD_DELETE" for clause in clauses)


def _is_harmless(tag: str, reference: Reference, relation: Relation) -> bool:
    if relation.definition is not None:
        return reference.use is Use.NAMED and tag != "CopyStmt"
    if reference.use is Use.INSERT:
        return "onConflictClause" not in reference.owner
    if reference.use is Use.NAMED:
        # COPY of a parent sends or takes its own rows only; a partitioned one cannot be copied out.
        return True
    return reference.only


def judge_system(reference: Reference, surroundings: Surroundings) -> tuple[Warned, ...]:
    """Judge a reference whose name may be that of a relation of the server. Raises StatementRefused."""
    node = reference.node
    if node["relname"].startswith(TOAST):
        return _judge_toast(reference, surroundings)
    if node.get("schemaname", "pg_catalog") != "pg_catalog":
        return ()
    if node["relname"] == SETTINGS and reference.use not in {Use.READ, Use.NAMED}:
        raise StatementRefused("settings cannot be changed through pg_settings", hint="Use SET.")
    if node["relname"] not in STATISTICS or surroundings.values.visibility == EVERYTHING:
        return ()
    return apply_choice(
        StatementClass.STATISTICS,
        surroundings,
        f'"{node["relname"]}" shows values of deleted rows of protected tables',
        "A role that may see all rows may read it after SET pgsoftproxy.visibility = 'all'.",
    )


def _judge_toast(reference: Reference, surroundings: Surroundings) -> tuple[Warned, ...]:
    if reference.use is Use.NAMED or not surroundings.policy.hides:
        return ()
    if surroundings.values.visibility == EVERYTHING and reference.use is Use.READ:
        return ()
    raise StatementRefused(
        f'"{reference.node["relname"]}" may hold long values of deleted rows of a protected table',
        hint="Query the table itself.",
    )


def judge_inside_utility(tag: str, reference: Reference, surroundings: Surroundings) -> tuple[Warned, ...]:
    """Judge a reference of a utility statement, in which nothing can be rewritten. Raises StatementRefused."""
    if reference.use is Use.NAMED:
        return ()
    relation = surroundings.relation(reference.node)
    surroundings.require_read(reference.node["relname"], relation)
    if relation is None:
        return judge_system(reference, surroundings)
    protection = surroundings.protection(relation)
    if protection is not None and protection.mode is Mode.OBSERVE:
        return ()
    if protection is None and relation.oid not in surroundings.policy.exposing:
        return ()
    label = protection.label if protection is not None else relation.label
    raise StatementRefused(
        f'{tag.removesuffix("Stmt")} over protected table "{label}" is not supported by the proxy',
        hint="Run it on a direct connection, where deleted rows are visible.",
    )
