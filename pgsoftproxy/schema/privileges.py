"""Who may remove rows past the proxy: roles that hold DELETE or TRUNCATE on protected tables. Pure."""

from collections.abc import Iterator

from pgsoftproxy.db import ddl
from pgsoftproxy.model.present import GrantState
from pgsoftproxy.model.steps import Kind, Step
from pgsoftproxy.schema.scene import Scene


def revoke_steps(scene: Scene) -> Iterator[Step]:
    """Yield a REVOKE for each role that may remove rows and is not named as one that may delete hard."""
    may = {name for name, grant in scene.policy.grants.items() if grant.hard_delete}
    for protection in scene.protections():
        relation = protection.relation
        held: dict[str, list[GrantState]] = {}
        for grant in scene.state.table(relation.oid).grants:
            if grant.role not in may:
                held.setdefault(grant.role, []).append(grant)
        for role, grants in held.items():
            privileges = sorted({grant.privilege for grant in grants})
            yield Step(
                f"revoke:{relation.label}:{role}",
                Kind.REVOKE,
                f"revoke {', '.join(privileges)} from {role or 'PUBLIC'}",
                relation.label,
                (ddl.revoke(relation, privileges, role),),
                tuple(
                    ddl.grant(relation, [grant.privilege], role, grantable=grant.grantable)
                    for grant in grants
                ),
                "a soft delete is an UPDATE; nobody else needs to remove rows",
            )
