"""Turn a name into what the policy says of the relation it means, by the server's rules of name resolution.

Pure. Where the search_path could not be followed a name counts as the protected relation it may be: an error
is safe, a leak is not.
"""

from dataclasses import dataclass, field

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import Column, Relation
from pgsoftproxy.model.context import UNKNOWN_USER, Context, DeleteMode, Values, VisibilityMode
from pgsoftproxy.model.policy import Policy, Protection
from pgsoftproxy.model.privileges import Privileges
from pgsoftproxy.rewrite.tree import Node

TEMPORARY_SCHEMA = "pg_temp"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that a statement's meaning depends on: the policy and the context it is planned in.

    `foreseen` holds names of relations whose changes the policy knows although nobody has read them.
    `sent`: it is about to be sent, so that no name in it may rely on a temporary relation that it does not name as
    one; it could be gone.
    """

    policy: Policy
    context: Context
    foreseen: frozenset[str] = frozenset()
    sent: bool = False
    values: Values = field(init=False, repr=False, compare=False)
    """The tracked variables' values in effect."""
    _named: dict[tuple[str, str | None], Relation | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """What names are known to mean here; all that this depends on is immutable."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", self.context.values)

    def about_to_be_sent(self) -> "Surroundings":
        """Return the surroundings of a text that is to go out."""
        if not self.values.temporary:
            return self
        return Surroundings(self.policy, self.context, self.foreseen, sent=True)

    @property
    def may_restore(self) -> bool:
        """Tell whether the role may change deleted rows that it sees."""
        return self.context.grant.restore

    @property
    def hard(self) -> bool:
        """Tell whether physical deletion was asked for (whether the role may was checked when it asked)."""
        return self.values.delete is DeleteMode.HARD

    def visibility(self, protection: Protection) -> VisibilityMode:
        """Return the visibility in effect for one table."""
        return self.values.visibility.of(protection.relation.schema, protection.relation.name)

    def relation(self, node: Node) -> Relation | None:
        """Return the relation that a RangeVar names, if it is one that the policy knows of."""
        key = node["relname"], node.get("schemaname")
        if key not in self._named:
            self._named[key] = self.named(*key)
        return self._named[key]

    def named(self, name: str, schema: str | None) -> Relation | None:
        """Return the relation of the policy that a name means, None if it is none of them.

        Raises StatementRefused where it may be several and they differ.
        """
        candidates = self.policy.names.get(name)
        if not candidates:
            return None
        if schema is not None:
            return next((relation for relation in candidates if relation.schema == schema), None)
        values = self.values
        if not values.path_is_certain:
            return self._any(candidates)
        if name in values.temporary and self.means_temporary({"relname": name}):
            return self._any(candidates) if self.sent else None
        privileges = self._privileges
        found = self._first(self.schemas(), name, privileges)
        if values.stale or privileges is None:
            return self._still(found, candidates)
        return found if found in candidates else None

    def _still(self, found: Relation | None, candidates: tuple[Relation, ...]) -> Relation | None:
        """Return what a name means once the open transaction has changed relations; `found` is what it meant before.

        A protected table is not dropped, renamed or moved; what stood before it in the path may have been. So it is
        where it is not known which schemas the user may look into.
        """
        if found is not None and found.oid in self.policy.protections:
            return found
        visible = tuple(relation for relation in candidates if relation.schema in self.schemas())
        return self._any(visible) if visible else None

    def require_read(self, name: str, relation: Relation | None) -> None:
        """Raise StatementRefused where a name may mean a protected table by now, while `relation` is none."""
        values = self.values
        if not values.stale or name not in values.touched or name in self.foreseen:
            return
        if relation is None or relation.oid not in self.policy.protections:
            raise StatementRefused(
                f'relation "{name}" may have become a protected table by a statement before this one',
                hint="Send what follows DDL as a text of its own, in an explicit transaction under READ COMMITTED.",
            )

    def schemas(self) -> list[str]:
        """Return the schemas of the search_path, `$user` expanded."""
        values = self.values
        return [values.user if entry == "$user" else entry for entry in values.search_path.schemas]

    def means_temporary(self, node: Node) -> bool:
        """Tell whether a RangeVar without a schema means a temporary relation of the session that is known."""
        values = self.values
        if node["relname"] not in values.temporary or "schemaname" in node or not values.path_is_certain:
            return False
        schemas = self.schemas()
        if TEMPORARY_SCHEMA not in schemas:  # it is searched first then
            return True
        before = schemas[: schemas.index(TEMPORARY_SCHEMA)]
        found = self._first(before, node["relname"], self._privileges)
        return not (before and values.stale) and found is None

    def in_catalog(self, node: Node) -> Relation | None:
        """Return the relation that a RangeVar means, protected or not; None if that is not known for sure."""
        catalog = self.policy.catalog
        if "schemaname" in node:
            return catalog.find(node["schemaname"], node["relname"])
        if not self.values.path_is_certain or self.means_temporary(node):
            return None
        return self._first(self.schemas(), node["relname"], self._privileges)

    def _first(self, schemas: list[str], name: str, privileges: Privileges | None) -> Relation | None:
        """Return the first relation of that name; the server passes over schemas without USAGE for the user."""
        user, find = self.values.user, self.policy.catalog.find
        for schema in schemas:
            relation = find(schema, name)
            if relation is not None and (privileges is None or privileges.may_use(user, schema)):
                return relation
        return None

    @property
    def _privileges(self) -> Privileges | None:
        """Return the privileges if they tell what the user may do."""
        user, privileges = self.values.user, self.policy.catalog.privileges
        return privileges if user != UNKNOWN_USER and privileges.knows(user) else None

    def columns_of(self, protection: Protection) -> tuple[Column, ...]:
        """Return a table's columns in their order; raises StatementRefused where that may not be so any more."""
        if self.values.stale:
            raise StatementRefused(
                f'the columns of protected table "{protection.label}" are not known '
                "while the open transaction has changed relations",
                hint="Commit first, or name the columns.",
            )
        return protection.relation.columns

    def _any(self, candidates: tuple[Relation, ...]) -> Relation:
        if len(candidates) > 1:
            raise StatementRefused(
                f'relation name "{candidates[0].name}" is ambiguous while the search_path or the catalog is not known',
                hint=f'Write the schema, as in "{candidates[0].label}".',
            )
        return candidates[0]

    def protection(self, relation: Relation) -> Protection | None:
        """Return the protection of a relation; raises StatementRefused where the table lost its column."""
        reason = self.policy.broken.get(relation.oid)
        if reason is not None:
            raise StatementRefused(
                f'table "{relation.label}" is configured as protected but cannot be: {reason}',
                hint="Mend the table or the configuration; `pgsoftproxy check-config` lists what is wrong.",
            )
        return self.policy.protections.get(relation.oid)
