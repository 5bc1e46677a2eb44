"""What a restore may reach: the tables of a policy, the links between them, the order in which they come back.

Pure; must not know SQL.
"""

from dataclasses import dataclass, field

from pgsoftproxy.errors import RestoreFailed
from pgsoftproxy.model.catalog import Relation, RelationKind
from pgsoftproxy.model.graph import parents_first
from pgsoftproxy.model.links import Link, Links, Reaction, primary_key
from pgsoftproxy.model.policy import Mode, Policy, Protection
from pgsoftproxy.model.restore import Selection

EMPTYING = {Reaction.SET_NULL, Reaction.SET_DEFAULT}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a restore may reach: the tables of a policy, and the links between them."""

    policy: Policy
    links: Links
    homes: dict[int, Protection] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "homes", homes(self.policy))

    @property
    def tables(self) -> list[Protection]:
        """Return the tables that rows are brought back in."""
        return [home for oid, home in self.homes.items() if home.relation.oid == oid]

    def home(self, relation: Relation) -> Relation:
        """Return the table that stands for a relation: of a partition, what it is part of."""
        return self.homes[relation.oid].relation

    @property
    def inner(self) -> list[Link]:
        """Return the links between two of the tables that a live row must keep to."""
        return [
            link
            for link in self.links
            if link.child.protection is not None
            and link.reaction is not Reaction.PARENT_ONLY
            and link.child.relation.oid in self.homes
            and link.parent.relation.oid in self.homes
        ]

    @property
    def cascades(self) -> list[Link]:
        """Return those of them along which a deletion goes down."""
        return [link for link in self.inner if link.reaction is Reaction.CASCADE]

    @property
    def emptying(self) -> list[Link]:
        """Return the links that a deletion empties; the journal knows what they were."""
        return [link for link in self.links if link.reaction in EMPTYING]

    def groups(self) -> list[list[Protection]]:
        """Return the tables in the order in which they come back, those of one cycle together."""
        edges: dict[int, list[int]] = {protection.relation.oid: [] for protection in self.tables}
        for link in self.inner:
            edges[self.home(link.child.relation).oid].append(self.home(link.parent.relation).oid)
        return [[self.homes[oid] for oid in group] for group in parents_first(edges)]

    def asked_tables(self, selection: Selection) -> list[Protection]:
        """Return the tables that a selection speaks of. Raises RestoreFailed if it cannot be meant."""
        given = (selection.key, selection.where, selection.deletions, selection.since, selection.until)
        if not any(given):
            raise RestoreFailed(
                "say which rows: by a deletion id, a key, a predicate or the time of deletion"
            )
        if selection.table is None:
            if selection.key or selection.where is not None:
                raise RestoreFailed("a key or a predicate needs a table")
            return self.tables
        schema, dot, name = selection.table.partition(".")
        relation = self.policy.catalog.find(*((schema, name) if dot else ("public", schema)))
        protection = self.policy.protections.get(relation.oid) if relation is not None else None
        if protection is None or protection.relation.oid not in self.homes:
            raise RestoreFailed(f'table "{selection.table}" is not protected')
        columns = primary_key(protection.relation)
        if selection.key and len(selection.key) != len(columns):
            names = ", ".join(column.name for column in columns)
            raise RestoreFailed(
                f'the primary key of table "{protection.label}" is ({names})'
                if columns
                else f'table "{protection.label}" has no primary key: choose its rows with a predicate'
            )
        return [protection]


def homes(policy: Policy) -> dict[int, Protection]:
    """Map each enforced table to the one that is written in its place: of partitions, what they are parts of."""
    found: dict[int, Protection] = {}
    catalog = policy.catalog
    for oid, protection in policy.protections.items():
        if protection.mode is not Mode.ENFORCE or protection.relation.kind is RelationKind.FOREIGN:
            continue
        home = protection
        above = catalog.ancestors(oid) if protection.relation.is_partition else []
        for parent in above:
            if parent in policy.protections and catalog.relations[parent].kind is RelationKind.PARTITIONED:
                home = policy.protections[parent]
        found[oid] = home
    return found
