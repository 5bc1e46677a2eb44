"""What deleting a row softly does to the rows that refer to it: each foreign key, with the policy's word on it.

Values and pure functions over a policy; must not know SQL. `db.triggers` makes a database act on links.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from pgsoftproxy.model.catalog import TABLES, Catalog, Column, ForeignKey, KeyAction, Relation
from pgsoftproxy.model.policy import Mode, Policy, Problem, Protection, Relations

EQUALS = ("pg_catalog", "=")


def short_name(name: str, label: str) -> str:
    """Return a name of at most 41 plain characters that differs for each label."""
    readable = "".join(char if char.isascii() and char.isalnum() else "_" for char in name.lower())
    return f"{readable[:32]}_{hashlib.sha256(label.encode()).hexdigest()[:8]}"


class Reaction(Enum):
    """What happens to the rows that refer to a row when it is deleted softly."""

    CASCADE = "cascade"
    RESTRICT = "restrict"
    NO_ACTION = "no_action"
    SET_NULL = "set_null"
    SET_DEFAULT = "set_default"
    PARENT_ONLY = "parent_only"


class Unprotected(Enum):
    """What a cascade does to rows of a table that is not protected."""

    KEEP = "keep"
    HARD = "hard"


REACTIONS = {
    KeyAction.CASCADE: Reaction.CASCADE,
    KeyAction.RESTRICT: Reaction.RESTRICT,
    KeyAction.NO_ACTION: Reaction.NO_ACTION,
    KeyAction.SET_NULL: Reaction.SET_NULL,
    KeyAction.SET_DEFAULT: Reaction.SET_DEFAULT,
}


@dataclass(frozen=True, slots=True)
class KeyRule:
    """One `[keys."schema.table.name"]` of the configuration: a word on a foreign key, or a key that it declares.

    `on_delete` None mirrors the key's own action. With `references` the key is a declared one: `columns` of the
    table refer to `referenced` of that table (its primary key if empty), only in rows where `type_column` has
    `type_value`, if these are given.
    """

    table: str
    name: str
    on_delete: Reaction | None = None
    unprotected: Unprotected = Unprotected.KEEP
    columns: tuple[str, ...] = ()
    references: str | None = None
    referenced: tuple[str, ...] = ()
    type_column: str | None = None
    type_value: str | None = None
    database: str | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link: a table, and its protection if it is under an enforced policy."""

    relation: Relation
    protection: Protection | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A referencing column, the column it refers to, and the operator that compares the latter with it."""

    column: str
    referenced: str
    operator: tuple[str, str] = EQUALS


@dataclass(frozen=True, slots=True)
class Link:
    """One way in which rows of `child` refer to rows of the protected table `parent`.

    `emptied` are the columns that SET NULL and SET DEFAULT change. `declared`: the server knows no such key.
    """

    name: str
    child: End
    parent: End
    pairs: tuple[Pair, ...]
    reaction: Reaction
    emptied: tuple[str, ...] = ()
    unprotected: Unprotected = Unprotected.KEEP
    deferrable: bool = False
    deferred: bool = False
    declared: bool = False
    type_column: str | None = None
    type_value: str | None = None

    @property
    def is_self_reference(self) -> bool:
        """Tell whether both ends are the same table."""
        return self.child.relation.oid == self.parent.relation.oid

    @property
    def acts(self) -> bool:
        """Tell whether rows of the child may be changed."""
        if self.reaction is Reaction.CASCADE:
            return self.child.protection is not None or self.unprotected is Unprotected.HARD
        return self.reaction in {Reaction.SET_NULL, Reaction.SET_DEFAULT}

    @property
    def checks(self) -> bool:
        """Tell whether rows of the child may stop the deletion."""
        return self.reaction in {Reaction.RESTRICT, Reaction.NO_ACTION, Reaction.SET_DEFAULT}

    @property
    def only_checks(self) -> bool:
        """Tell whether rows of the child may stop the deletion, and nothing else happens to them."""
        return self.reaction in {Reaction.RESTRICT, Reaction.NO_ACTION}

    @property
    def key(self) -> str:
        """Return a name for what belongs to this link alone: readable, and short enough for any prefix."""
        return short_name(self.name, self.label)

    @property
    def waits(self) -> bool:
        """Tell whether the check of this link can be put off to the end of the transaction."""
        return self.deferrable and self.reaction is Reaction.NO_ACTION

    @property
    def label(self) -> str:
        """Return `schema.table.name`, as the configuration names it."""
        return f"{self.child.relation.label}.{self.name}"


@dataclass(frozen=True, slots=True)
class Links:
    """All links of one database, by the oid of the parent, in the order in which the server's own triggers fire.

    Rows of one partition tree or inheritance tree may be deleted under several names: `tops` maps each table of one
    to the table that stands for it, `by_top` has the links towards any of its tables.
    """

    by_parent: Mapping[int, tuple[Link, ...]] = field(default_factory=dict)
    by_top: Mapping[int, tuple[Link, ...]] = field(default_factory=dict)
    tops: Mapping[int, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Link]:
        for links in self.by_parent.values():
            yield from links

    def is_tangled(self, root: int) -> bool:
        """Tell whether deleting rows of a table may check for rows that the same deletion takes away or moves."""
        _, touched, checked = self._reach(root)
        return bool(touched & checked)

    def taken_singly(self) -> frozenset[int]:
        """Return the tables whose rows are taken one by one in some deletion: a tangled one, or one below."""
        roots = [top for top in self.by_top if self.is_tangled(top)]
        reached = {top for root in roots for top in self._reach(root)[0]}
        return frozenset(oid for oid in self.by_parent if self._top(oid) in reached)

    def towards(self, parents: Collection[int]) -> tuple[Link, ...]:
        """Return the links towards some tables of one tree."""
        tops = {self._top(oid) for oid in parents}
        return tuple(link for top in tops for link in self.by_top[top] if link.parent.relation.oid in parents)

    def _top(self, oid: int) -> int:
        return self.tops.get(oid, oid)

    def _reach(self, root: int) -> tuple[set[int], set[int], set[int]]:
        """Return the trees that a deletion goes down to, those that it changes, and those that it checks."""
        reached: set[int] = set()
        touched: set[int] = set()
        checked: set[int] = set()
        todo = [self._top(root)]
        while todo:
            oid = todo.pop()
            if oid in reached:
                continue
            reached.add(oid)
            for link in self.by_top.get(oid, ()):
                child = self._top(link.child.relation.oid)
                if link.checks:
                    checked.add(child)
                if link.acts:
                    touched.add(child)
                if link.reaction is Reaction.CASCADE and link.child.protection is not None:
                    todo.append(child)
        return reached, touched, checked


def find_links(policy: Policy, rules: Iterable[KeyRule] = ()) -> tuple[Links, tuple[Problem, ...]]:
    """Return the links towards enforced tables, and what the catalog lacks for the rules."""
    draft = _Draft(policy)
    mine = [rule for rule in rules if rule.database in {None, policy.catalog.database}]
    words = {(rule.table, rule.name): rule for rule in mine if rule.references is None}
    for key in policy.catalog.foreign_keys:
        child = policy.catalog.relations[key.relation]
        draft.add(_from_key(key, words.pop((child.label, key.name), None), draft))
    for rule in words.values():
        draft.problem(rule, f'table "{rule.table}" has no foreign key "{rule.name}"')
    for rule in mine:
        if rule.references is not None:
            draft.add(_declared(rule, draft))
        elif rule.columns or rule.referenced or rule.type_column or rule.type_value is not None:
            draft.problem(rule, f'key "{rule.name}" of table "{rule.table}" is declared without "references"')
    return draft.done(), tuple(draft.problems)


class _Draft:
    """The links found so far."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.links: list[Link] = []
        self.problems: list[Problem] = []

    @property
    def catalog(self) -> Catalog:
        return self.policy.catalog

    def end(self, relation: Relation) -> End:
        protection = self.policy.protections.get(relation.oid)
        enforced = protection is not None and protection.mode is Mode.ENFORCE
        return End(relation, protection if enforced else None)

    def add(self, link: Link | None) -> None:
        protection = link.parent.protection if link is not None else None
        if link is not None and protection is not None and protection.relations is Relations.REQUIRE:
            self.links.append(link)

    def done(self) -> Links:
        tops = _tops(self.catalog)
        by_parent: dict[int, tuple[Link, ...]] = {}
        by_top: dict[int, tuple[Link, ...]] = {}
        for link in self.links:
            oid = link.parent.relation.oid
            by_parent[oid] = (*by_parent.get(oid, ()), link)
            top = tops.get(oid, oid)
            by_top[top] = (*by_top.get(top, ()), link)
        return Links(by_parent, by_top, tops)

    def problem(self, rule: KeyRule, message: str) -> None:
        self.problems.append(Problem(rule.origin, message))


def _tops(catalog: Catalog) -> dict[int, int]:
    """Map the tables that have parents, and these, to the one that stands for all that hang together."""
    tops: dict[int, int] = {}
    for relation in catalog.relations.values():
        if relation.oid not in tops and relation.parents:
            whole = catalog.tree(relation.oid)
            tops.update(dict.fromkeys(whole, min(whole)))
    return tops


def _from_key(key: ForeignKey, word: KeyRule | None, draft: _Draft) -> Link:
    relations = draft.catalog.relations
    reaction = REACTIONS[key.on_delete]
    operators = key.operators or (EQUALS,) * len(key.columns)
    pairs = zip(key.columns, key.referenced_columns, operators, strict=True)
    return Link(
        key.name,
        draft.end(relations[key.relation]),
        draft.end(relations[key.references]),
        tuple(Pair(*pair) for pair in pairs),
        word.on_delete if word and word.on_delete else reaction,
        key.emptied or key.columns,
        word.unprotected if word else Unprotected.KEEP,
        key.deferrable,
        key.deferred,
    )


def _declared(rule: KeyRule, draft: _Draft) -> Link | None:
    child, parent = _table(rule.table, draft), _table(rule.references or "", draft)
    if child is None or parent is None:
        missing = rule.table if child is None else rule.references
        draft.problem(rule, f'table "{missing}" does not exist in database "{draft.catalog.database}"')
        return None
    referenced = rule.referenced or _primary_key(parent)
    lacking = [name for name in _named(rule) if child.column(name) is None]
    lacking += [name for name in referenced if parent.column(name) is None]
    if (rule.type_column is None) != (rule.type_value is None):
        draft.problem(
            rule, f'key "{rule.name}" of table "{rule.table}" needs type_column and type_value, or neither'
        )
        return None
    if lacking or not referenced or len(referenced) != len(rule.columns):
        count = len(referenced)
        what = (
            f'has no column "{lacking[0]}"' if lacking else f"needs as many columns as it refers to ({count})"
        )
        draft.problem(rule, f'key "{rule.name}" of table "{rule.table}" {what}')
        return None
    return Link(
        rule.name,
        draft.end(child),
        draft.end(parent),
        tuple(Pair(*pair) for pair in zip(rule.columns, referenced, strict=True)),
        rule.on_delete or Reaction.NO_ACTION,
        rule.columns,
        rule.unprotected,
        declared=True,
        type_column=rule.type_column,
        type_value=rule.type_value,
    )


def _named(rule: KeyRule) -> list[str]:
    return [*rule.columns, *([rule.type_column] if rule.type_column else [])]


def _table(label: str, draft: _Draft) -> Relation | None:
    schema, _, name = label.partition(".")
    relation = draft.catalog.find(schema, name)
    return relation if relation is not None and relation.kind in TABLES else None


def _primary_key(relation: Relation) -> tuple[str, ...]:
    for index in relation.unique_indexes:
        if index.primary:
            return tuple(column for column in index.columns if column is not None)
    return ()


def primary_key(relation: Relation) -> tuple[Column, ...]:
    """Return the columns of a table's primary key; none if it has none."""
    return tuple(column for name in _primary_key(relation) if (column := relation.column(name)) is not None)
