"""Who may look into which schema: the server passes over a schema of the search_path that a role may not use.

Values only. Must not know relations nor search_path.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

PUBLIC = ""
"""Stands among grantees for every role."""
ALL_DATA = frozenset({"pg_read_all_data", "pg_write_all_data"})
"""Roles (14) whose heirs may use every schema."""


@dataclass(frozen=True, slots=True)
class Privileges:
    """`usage` maps a schema to the roles that USAGE is granted to, `heirs` a role to all whose privileges it has.

    Every server has a superuser: without any, nothing was read, and every role may use every schema.
    """

    usage: Mapping[str, frozenset[str]] = field(default_factory=dict)
    heirs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    superusers: frozenset[str] = frozenset()

    def knows(self, role: str) -> bool:
        """Tell whether `may_use` can be asked about a role."""
        return role in self.heirs or role in self.superusers or not self.superusers

    def may_use(self, role: str, schema: str) -> bool:
        """Tell whether a role that is known may look up names in a schema."""
        if role in self.superusers or not self.superusers:
            return True
        grantees, inherited = self.usage.get(schema, frozenset()), self.heirs[role]
        return PUBLIC in grantees or not (inherited.isdisjoint(grantees) and inherited.isdisjoint(ALL_DATA))
