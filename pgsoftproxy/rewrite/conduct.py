"""What SQL stored in a database does to protected rows when the server runs it: removes them, or meets deleted ones.

Reads trees where it can and words where it must. Pure over a policy; must not know what is done about it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.model.context import UNCERTAIN_PATH, Context, Values, Variables
from pgsoftproxy.model.evidence import Signature
from pgsoftproxy.model.policy import Mode, Policy
from pgsoftproxy.model.routines import COMPILED, READABLE, Routine
from pgsoftproxy.rewrite.bodies import Body, read_body
from pgsoftproxy.rewrite.plpgsql import read_code
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.routines import REMOVING, is_proven
from pgsoftproxy.rewrite.scope import Use, find
from pgsoftproxy.rewrite.tree import Node, parse, walk
from pgsoftproxy.rewrite.verify import is_guarded, proves_tree

UNKNOWN = Context(Variables.at_start(Values(search_path=UNCERTAIN_PATH)))


class Deed(Enum):
    """What stored SQL does: removes rows, sees or changes deleted ones, runs a text that nobody has read."""

    REMOVES = "removes"
    MEETS = "meets"
    HIDES = "hides"


@dataclass(frozen=True, slots=True)
class Conduct:
    """One deed; `what` is the label of the table, or why nothing can be known. `certain`: it was read as a tree."""

    deed: Deed
    what: str
    certain: bool = True


def conduct_of(routine: Routine, signature: Signature | None, policy: Policy) -> tuple[Conduct, ...]:
    """Return what a routine does itself, each deed once for a table; not what those do that it calls."""
    if routine.language in COMPILED:
        return ()
    if routine.language not in READABLE:
        return (Conduct(Deed.HIDES, f"it is written in {routine.language}", certain=False),)
    if routine.body:
        trees = _trees(routine.body, routine.language, signature)
        if trees is None:
            return _by_words(read_body(routine.body, routine.language), policy)
        statements, computed = trees
    else:
        if is_proven(routine, policy) or not routine.reads:
            return ()
        statements, computed = _printed(routine), ()
        if not statements:
            return tuple(_of_reads(routine, policy))
    found = [one for tree in statements for one in conduct_of_tree(tree, policy)]
    if computed:
        found.append(Conduct(Deed.HIDES, "it runs a text that it puts together"))
        found.extend(_of_computed(computed, policy))
    return tuple(dict.fromkeys(found))


def conduct_of_rule(definition: str, policy: Policy) -> tuple[Conduct, ...]:
    """Return what the actions of a rule do, given its definition as the server prints it."""
    try:
        statements = parse(definition)
    except StatementRefused:
        return (Conduct(Deed.HIDES, "its definition cannot be read", certain=False),)
    actions = [action for one in statements for action in one["stmt"].get("RuleStmt", {}).get("actions", [])]
    return tuple(dict.fromkeys(one for action in actions for one in conduct_of_tree(action, policy)))


def conduct_of_tree(tree: Node, policy: Policy) -> Iterator[Conduct]:
    """Yield what one statement does."""
    references = find(tree, policy.names).references
    merges = {"CMD_DELETE"} & {str(node.get("commandType", "")) for node in walk(tree)}
    meets: list[str] = []
    for reference in references:
        for relation in _meant(reference.node, policy):
            removes = reference.use is Use.DELETE or (reference.use is Use.MERGE and merges)
            if (removes or "TruncateStmt" in tree) and _is_removed_from(relation, policy):
                yield Conduct(Deed.REMOVES, _label(relation, policy))
            elif _is_read(reference.use, tree) and _shows(relation, policy):
                meets.append(_label(relation, policy))
    if meets and not _is_proven(tree, policy):
        yield from (Conduct(Deed.MEETS, label) for label in meets)


def _is_read(use: Use, tree: Node) -> bool:
    """Tell whether a reference may see rows: one in a LOCK or GRANT does not, one in an INSERT by its conflict only."""
    return (
        use not in {Use.INSERT, Use.NAMED}
        or "CopyStmt" in tree
        or (use is Use.INSERT and _meets_conflict(tree))
    )


def _meets_conflict(tree: Node) -> bool:
    return any("onConflictClause" in node for node in walk(tree))


def _trees(
    body: str, language: str, signature: Signature | None
) -> tuple[tuple[Node, ...], tuple[str, ...]] | None:
    if language == "plpgsql":
        code = read_code(body, signature or Signature())
        return None if code is None else (code.statements, code.computed)
    try:
        return tuple(statement["stmt"] for statement in parse(body)), ()
    except StatementRefused:
        return None


def _printed(routine: Routine) -> tuple[Node, ...]:
    try:
        return tuple(one["stmt"] for one in parse(routine.definition)) if routine.definition else ()
    except StatementRefused:
        return ()


def _of_reads(routine: Routine, policy: Policy) -> Iterator[Conduct]:
    for schema, name in routine.reads:
        relation = policy.catalog.find(schema, name)
        if relation is not None and _shows(relation, policy):
            yield Conduct(Deed.MEETS, _label(relation, policy), certain=False)


def _by_words(body: Body, policy: Policy) -> tuple[Conduct, ...]:
    found = list(_named(body, policy))
    if body.runs_text:
        found.append(Conduct(Deed.HIDES, "it runs a text that it puts together", certain=False))
    return tuple(dict.fromkeys(found))


def _of_computed(texts: Iterable[str], policy: Policy) -> Iterator[Conduct]:
    for text in texts:
        yield from _named(read_body(f"EXECUTE {text}", "plpgsql"), policy)


def _named(body: Body, policy: Policy) -> Iterator[Conduct]:
    removes = any(word.name in REMOVING for word in body.words)
    for word in sorted(body.words, key=lambda word: (word.name, word.qualifier or "")):
        for relation in policy.names.get(word.name, ()):
            exact = policy.catalog.find(word.qualifier, word.name) if word.qualifier is not None else relation
            if exact is not None and exact is not relation:
                continue  # another schema's table; what stands before a dot may be a placeholder, as in '%I.users'
            if removes and _is_removed_from(relation, policy):
                yield Conduct(Deed.REMOVES, _label(relation, policy), certain=False)
            elif _shows(relation, policy):
                yield Conduct(Deed.MEETS, _label(relation, policy), certain=False)


def _meant(node: Node, policy: Policy) -> tuple[Relation, ...]:
    """Return the relations of the policy that a RangeVar may mean."""
    candidates = policy.names.get(node.get("relname", ""), ())
    schema = node.get("schemaname")
    return tuple(found for found in candidates if schema in {None, found.schema})


def _label(relation: Relation, policy: Policy) -> str:
    return policy.exposing.get(relation.oid, policy.destroying.get(relation.oid, relation.label))


def _shows(relation: Relation, policy: Policy) -> bool:
    if relation.oid in policy.exposing:
        return relation.definition is None or not is_guarded(relation, policy)
    protection = policy.protections.get(relation.oid)
    return protection is not None and protection.mode is Mode.ENFORCE


def _is_removed_from(relation: Relation, policy: Policy) -> bool:
    protection = policy.protections.get(relation.oid)
    return relation.oid in policy.destroying or (protection is not None and protection.mode is Mode.ENFORCE)


def _is_proven(tree: Node, policy: Policy) -> bool:
    return proves_tree(tree, Surroundings(policy, UNKNOWN))
