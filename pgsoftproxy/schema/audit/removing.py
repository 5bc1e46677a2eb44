"""What can remove protected rows for good: cascades, missing guards, roles. Pure."""

from collections.abc import Iterator

from pgsoftproxy.db.owner_ddl import give_away
from pgsoftproxy.db.readiness import is_current
from pgsoftproxy.db.triggers import definitions
from pgsoftproxy.model.catalog import TABLES, Catalog, Relation
from pgsoftproxy.model.links import Reaction, Unprotected
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.schema.audit.finding import By, Found, Mend, ObjectKind, Subject
from pgsoftproxy.schema.audit.ground import OURS, Ground, about

SCHEMA_ID, FUNCTIONS_ID = "schema:pgsoftproxy", "function:pgsoftproxy"
KEY_INDEX = "pgsoftproxy_key_"
"""How the name of the index begins by which deletions and new children wait for each other."""
MIGRATE = Mend("pgsoftproxy migrate")
GUARDS = ("pgsoftproxy_keep", "pgsoftproxy_keep_all")


def cascade_destroys(ground: Ground) -> Iterator[Found]:
    """Yield unprotected tables from which a DELETE would cascade into protected rows that no guard keeps."""
    for oid, label in ground.policy.destroying.items():
        relation = ground.catalog.relations[oid]
        if relation.schema != OURS and relation.kind in TABLES:  # views over it are only ways to it
            why = f'a DELETE on it removes rows of "{label}" for good, by ON DELETE CASCADE'
            yield about(relation, why, _equipment(ground, f"trigger:{label}"))


def guard_missing(ground: Ground) -> Iterator[Found]:
    """Yield protected tables without the triggers that stop a physical DELETE or TRUNCATE."""
    lacking: dict[str, tuple[Relation, list[str]]] = {}
    for definition in definitions(ground.policy, ground.links):
        relation = definition.relation
        if relation is None or definition.name not in GUARDS or is_current(definition, ground.catalog):
            continue
        lacking.setdefault(relation.label, (relation, []))[1].append(definition.name)
    for label, (relation, names) in sorted(lacking.items()):
        events = " and ".join("DELETE" if name == GUARDS[0] else "TRUNCATE" for name in names)
        why = f"a {events} on a direct connection removes its rows for good"
        yield about(relation, why, _equipment(ground, f"trigger:{label}"))


def links_missing(ground: Ground) -> Iterator[Found]:
    """Yield protected tables on whose foreign keys the database does not act when rows are deleted softly."""
    lacking = [one for one in definitions(ground.policy, ground.links) if not is_current(one, ground.catalog)]
    for oid, lacks in ground.policy.unready.items():
        relation = ground.catalog.relations[oid]
        if relation.is_partition or lacks.strip('"') in GUARDS:
            continue  # the parent says it, or `guard_missing` does
        on = {one.relation.label for one in lacking if one.relation and (not one.of or oid in one.of)}
        indexes = [
            step.id for step in ground.steps if step.id.startswith(f"index:{relation.label}:{KEY_INDEX}")
        ]
        why = f"deleting from it through the proxy is refused until {lacks} is there: rows refer to it"
        yield about(relation, why, _equipment(ground, *indexes, *(f"trigger:{label}" for label in on)))


def child_outlives(ground: Ground) -> Iterator[Found]:
    """Yield foreign keys by which unprotected rows stay behind when the row they would go with is deleted softly."""
    for link in ground.links:
        kept = link.unprotected is Unprotected.KEEP and link.child.protection is None
        if link.reaction is Reaction.CASCADE and kept and link.child.relation.oid not in ground.policy.broken:
            parent = link.parent.relation.label
            why = f'when a row of "{parent}" is deleted softly, rows that refer to it stay; a DELETE would take them'
            mend = (
                f'[keys."{link.label}"]\n'
                f'unprotected = "hard"  # its rows are removed; or protect "{link.child.relation.label}" too'
            )
            yield Found(Subject(ObjectKind.CONSTRAINT, link.label), why, Mend(mend, By.CONFIGURATION))


def role_may_delete(ground: Ground) -> Iterator[Found]:
    """Yield the roles that hold DELETE or TRUNCATE on protected tables without a grant of the configuration."""
    may = {name for name, grant in ground.policy.grants.items() if grant.hard_delete}
    for protection in ground.protections():
        held: dict[str, set[str]] = {}
        for grant in ground.state.table(protection.relation.oid).grants:
            if grant.role not in may:
                held.setdefault(grant.role, set()).add(grant.privilege)
        for role, privileges in held.items():
            name = role or "PUBLIC"
            listed = " and ".join(sorted(privileges))
            why = f'"{name}" holds {listed} on "{protection.label}"; through the proxy a DELETE needs UPDATE only'
            mend = ground.mend(f"revoke:{protection.label}:{role}")
            yield Found(Subject(ObjectKind.ROLE, f"{name} on {protection.label}"), why, mend or MIGRATE)


def role_owns(ground: Ground) -> Iterator[Found]:
    """Yield the roles that can log in and have the rights of a protected table's owner."""
    found: dict[str, list[Protection]] = {}
    for protection in ground.protections():
        owner = ground.state.table(protection.relation.oid).owner
        for role in sorted(ground.evidence.logins):
            if _acts_as(role, owner, ground.catalog) and not ground.policy.grant(role).hard_delete:
                found.setdefault(role, []).append(protection)
    for role, owned in found.items():
        listed = ", ".join(f'"{protection.label}"' for protection in owned)
        why = f"it can log in and owns {listed}, itself or as a member: it may drop guards and tables"
        mend = "\n".join(text for one in owned for text in give_away(one.relation, role))
        yield Found(Subject(ObjectKind.ROLE, role), why, Mend(mend, By.SQL))


def _acts_as(role: str, owner: str, catalog: Catalog) -> bool:
    privileges = catalog.privileges
    if role in privileges.superusers:
        return False  # may do anything, whoever owns what
    return role == owner or owner in privileges.heirs.get(role, ())


def _equipment(ground: Ground, *ids: str) -> Mend:
    """Return the steps, after schema and functions of ours where these are missing."""
    return ground.mend(SCHEMA_ID, FUNCTIONS_ID, *ids) or MIGRATE
