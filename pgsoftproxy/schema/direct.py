"""What direct connections may be given on request: row-level security, views of live rows. Pure."""

from collections.abc import Iterator

from pgsoftproxy.db import policy_ddl as ddl
from pgsoftproxy.model.context import Grant
from pgsoftproxy.model.links import short_name
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.model.steps import Kind, Remark, Statement, Step
from pgsoftproxy.schema.scene import Scene

BIGGEST_NAME = 63


def row_security_steps(scene: Scene) -> Iterator[Step]:
    """Yield what hides deleted rows from roles that do not own the table, table by table."""
    always = Grant().visibility
    seers = [
        name
        for name, grant in scene.policy.grants.items()
        if grant.visibility > always and name in scene.state.roles
    ]
    for protection in scene.protections():
        relation = protection.relation
        known = scene.state.table(relation.oid)
        wanted = ddl.live_policies(protection, seers)
        if known.policies.get(ddl.LIVE) == ddl.mark_of(wanted[:-1]) and known.row_security:
            continue
        if _is_off_on_purpose(scene, protection):
            continue
        down = [ddl.drop_policy(relation, name) for name in (ddl.CHANGE, ddl.LIVE, ddl.EVERY)]
        up = [ddl.drop_policy(relation, name) for name in (ddl.CHANGE, ddl.LIVE) if name in known.policies]
        if not known.row_security:
            up.append(ddl.row_security(relation, on=True))
            down.append(ddl.row_security(relation, on=False))
            if ddl.EVERY not in known.policies:
                up.append(ddl.let_everything(relation))
        yield Step(
            f"rls:{relation.label}",
            Kind.RLS,
            "row-level security: deleted rows are hidden, deleting softly works",
            relation.label,
            (*up, *wanted),
            tuple(down),
            "for connections that bypass the proxy; not for the owner, superusers and BYPASSRLS",
        )


def row_security_remarks(scene: Scene) -> Iterator[Remark]:
    """Yield the tables whose row security is left as it is."""
    for protection in scene.protections():
        if _is_off_on_purpose(scene, protection):
            yield Remark(protection.label, "has policies but row-level security is off, and stays so")


def _is_off_on_purpose(scene: Scene, protection: Protection) -> bool:
    known = scene.state.table(protection.relation.oid)
    theirs = [name for name in known.policies if name not in {ddl.EVERY, ddl.LIVE, ddl.CHANGE}]
    return bool(theirs) and not known.row_security


def view_steps(scene: Scene) -> Iterator[Step]:
    """Yield a view of live rows for each table that is not a partition."""
    for protection in _viewed(scene):
        relation = protection.relation
        name = view_name(protection)
        made = ddl.live_view(protection, name, scene.catalog.server_version)
        known = scene.state.views.get((relation.schema, name))
        if known == ddl.mark_of(made[:1]) or _is_taken(scene, protection):
            continue
        up: tuple[Statement, ...] = made
        if known is not None:  # its columns or its table have changed
            up = (ddl.drop_view(relation.schema, name), *made)
        yield Step(
            f"view:{relation.label}",
            Kind.VIEW,
            f'view "{name}" of live rows',
            relation.label,
            up,
            (ddl.drop_view(relation.schema, name),),
            "for tools that bypass the proxy",
        )


def view_remarks(scene: Scene) -> Iterator[Remark]:
    """Yield the tables whose view's name is taken."""
    for protection in _viewed(scene):
        if _is_taken(scene, protection):
            yield Remark(protection.label, f'the name "{view_name(protection)}" is taken')


def view_name(protection: Protection) -> str:
    """Return the name of the view of a table."""
    name = f"live_{protection.relation.name}"
    if len(name.encode()) > BIGGEST_NAME:
        return f"live_{short_name(protection.relation.name, protection.label)}"
    return name


def _viewed(scene: Scene) -> Iterator[Protection]:
    return (protection for protection in scene.protections() if not protection.relation.is_partition)


def _is_taken(scene: Scene, protection: Protection) -> bool:
    place = protection.relation.schema, view_name(protection)
    ours = (scene.state.views.get(place) or "").startswith(ddl.MARK)
    return scene.catalog.find(*place) is not None and not ours
