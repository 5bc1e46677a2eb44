"""What the planners of steps look at: the policy as it will be, its links, what the database has. Values only."""

from collections.abc import Iterator
from dataclasses import dataclass

from pgsoftproxy.model.catalog import Catalog, Relation, RelationKind
from pgsoftproxy.model.links import Links
from pgsoftproxy.model.policy import Mode, Policy, Protection
from pgsoftproxy.model.present import SchemaState

INDEXED_ROWS_PER_SECOND = 400_000
INDEXED_BYTES_PER_SECOND = 100_000_000
"""What an index is built at, roughly, on hardware that is not the newest; it only has to tell seconds from hours."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One database as it will be once the missing columns are there."""

    policy: Policy
    links: Links
    state: SchemaState

    @property
    def catalog(self) -> Catalog:
        """Return the catalog that the policy was compiled against."""
        return self.policy.catalog

    def protections(self) -> Iterator[Protection]:
        """Yield what is enforced on tables of this server, by name."""
        for protection in sorted(self.policy.protections.values(), key=lambda found: found.label):
            if protection.mode is Mode.ENFORCE and protection.relation.kind is not RelationKind.FOREIGN:
                yield protection

    def partitions(self, relation: Relation) -> Iterator[Relation]:
        """Yield the direct partitions of a partitioned table, by name."""
        children = (
            child for child in self.catalog.descendants(relation.oid) if relation.oid in child.parents
        )
        yield from sorted(children, key=lambda child: child.label)

    def rows(self, relation: Relation) -> int:
        """Return the estimated rows of a table and its partitions."""
        return sum(self.state.table(oid).rows for oid in self._family(relation))

    def index_seconds(self, relation: Relation) -> float:
        """Return the estimated time to build one index of a table and its partitions while it is written to."""
        size = sum(self.state.table(oid).size for oid in self._family(relation))
        return 2 * size / INDEXED_BYTES_PER_SECOND + self.rows(relation) / INDEXED_ROWS_PER_SECOND

    def _family(self, relation: Relation) -> list[int]:
        if relation.kind is not RelationKind.PARTITIONED:
            return [relation.oid]
        return [relation.oid, *(child.oid for child in self.catalog.descendants(relation.oid))]
