"""TRUNCATE policy `soft`: delete all live rows of the tables softly, by one UPDATE that answers as the TRUNCATE.

One statement cannot truncate one table and update another, so a list that holds both kinds is refused. What the
server would refuse for its foreign keys is refused in its words.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import Catalog, ForeignKey, Relation, RelationKind
from pgsoftproxy.model.policy import Mode, Protection, Truncate
from pgsoftproxy.rewrite.predicates import deletion_values, is_live, quote_identifier
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.tree import Node
from pgsoftproxy.rewrite.work import refuse_unready

SHARED_ID = "pgsoftproxy_deletion"
"""The CTE that gives the rows of several tables one deletion_id."""


@dataclass(frozen=True, slots=True)
class Softened:
    """What is sent for a TRUNCATE, and the labels of the tables whose rows it stamps."""

    sql: str
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Target:
    """One table to be emptied: how to write its name, and whether its children stay as they are."""

    protection: Protection
    name: str
    only: bool

    @property
    def oid(self) -> int:
        return self.protection.relation.oid


def soften_truncate(statement: Node, surroundings: Surroundings) -> Softened | None:
    """Return what to send for a TRUNCATE that is configured to be soft, None if none of its tables is."""
    if surroundings.hard:
        return None
    named = [(item["RangeVar"], _relation(item["RangeVar"], surroundings)) for item in statement["relations"]]
    soft = [(node, found) for node, found in named if isinstance(found, Protection)]
    if not soft:
        return None
    cascade = statement.get("behavior") == "DROP_CASCADE"
    for node, found in named:
        if not isinstance(found, Protection):
            raise _mixed(soft[0][1], f'"{node["relname"]}"')
    if statement.get("restart_seqs"):
        raise StatementRefused(
            f'TRUNCATE RESTART IDENTITY on table "{soft[0][1].label}", whose rows stay and keep their keys',
            hint="Leave RESTART IDENTITY out: CONTINUE IDENTITY is the default.",
        )
    targets: dict[int, _Target] = {}
    for node, protection in soft:
        target = _Target(protection, _name(node), only=not node.get("inh", False))
        _refuse_only_partitioned(target)
        targets.setdefault(target.oid, target)
    catalog = surroundings.policy.catalog
    for key in _referring(targets, catalog):
        if not cascade:
            raise _referenced(key, catalog)
        child = catalog.relations[key.relation]
        reached = _soft(child, surroundings)
        if reached is None:
            raise _mixed(soft[0][1], f'"{child.label}", which refers to it')
        qualified = f"{quote_identifier(child.schema)}.{quote_identifier(child.name)}"
        # A foreign key holds for a table's partitions, and not for what inherits from it.
        only = child.kind is not RelationKind.PARTITIONED
        targets[child.oid] = _Target(reached, qualified, only)
    for target in targets.values():
        refuse_unready(surroundings, target.protection)
    return _written(list(_outermost(targets, catalog)))


def _relation(node: Node, surroundings: Surroundings) -> Protection | None:
    relation = surroundings.relation(node)
    return None if relation is None else _soft(relation, surroundings)


def _soft(relation: Relation, surroundings: Surroundings) -> Protection | None:
    protection = surroundings.policy.protections.get(relation.oid)
    if protection is None or protection.mode is Mode.OBSERVE or protection.truncate is Truncate.REFUSE:
        return None
    return protection


def _name(node: Node) -> str:
    names = [node[key] for key in ("catalogname", "schemaname", "relname") if key in node]
    return ".".join(map(quote_identifier, names))


def _referring(targets: dict[int, _Target], catalog: Catalog) -> Iterator[ForeignKey]:
    """Yield each key by which a table that is not among the targets refers to one; the targets may grow meanwhile."""
    grew = True
    while grew:
        grew = False
        emptied = {oid for target in targets.values() for oid in _family(target, catalog)}
        # A key to a partitioned table is one to each of its partitions.
        above = {oid for one in emptied for oid in catalog.ancestors(one)}
        reached = emptied | {oid for oid in above if catalog.relations[oid].kind is RelationKind.PARTITIONED}
        for key in catalog.foreign_keys:
            if (
                key.references in reached
                and key.relation not in emptied
                and key.relation in catalog.relations
            ):
                yield key
                grew = True
                break


def _family(target: _Target, catalog: Catalog) -> Iterator[int]:
    yield target.oid
    if not target.only:
        yield from (child.oid for child in catalog.descendants(target.oid))


def _outermost(targets: dict[int, _Target], catalog: Catalog) -> Iterator[_Target]:
    """Yield the targets that are not emptied together with a parent of theirs."""
    for target in targets.values():
        above = (targets.get(oid) for oid in catalog.ancestors(target.oid))
        if all(parent is None or parent.only for parent in above):
            yield target


def _written(targets: list[_Target]) -> Softened:
    sharing = sum(target.protection.deletion_id is not None for target in targets) > 1
    updates = [_update(target, sharing=sharing) for target in targets]
    parts = [f"{SHARED_ID} (id) AS MATERIALIZED (SELECT pg_catalog.gen_random_uuid())"] if sharing else []
    parts += [f"pgsoftproxy_truncate{place} AS ({update})" for place, update in enumerate(updates[:-1], 1)]
    head = f"WITH {', '.join(parts)} " if parts else ""
    return Softened(head + updates[-1], tuple(target.protection.label for target in targets))


def _update(target: _Target, *, sharing: bool) -> str:
    protection = target.protection
    values = deletion_values(replace(protection, deletion_id=None) if sharing else protection)
    if sharing and protection.deletion_id is not None:
        values += f", {quote_identifier(protection.deletion_id)} = (SELECT id FROM {SHARED_ID})"
    live = is_live(f"{target.name}.{quote_identifier(protection.column)}", protection)
    return f"UPDATE {'ONLY ' if target.only else ''}{target.name} SET {values} WHERE {live}"


def _refuse_only_partitioned(target: _Target) -> None:
    if target.only and target.protection.relation.kind is RelationKind.PARTITIONED:
        raise StatementRefused(
            "cannot truncate only a partitioned table",
            hint="Do not specify the ONLY keyword, or use TRUNCATE ONLY on the partitions directly.",
            sqlstate="42809",
        )


def _referenced(key: ForeignKey, catalog: Catalog) -> StatementRefused:
    child = catalog.relations[key.relation].name
    return StatementRefused(
        "cannot truncate a table referenced in a foreign key constraint",
        hint=f'Truncate table "{child}" at the same time, or use TRUNCATE ... CASCADE.',
    )


def _mixed(protection: Protection, other: str) -> StatementRefused:
    return StatementRefused(
        f'TRUNCATE of table "{protection.label}", whose rows are deleted softly, together with {other}',
        hint='Truncate tables with truncate = "soft" in a statement of their own. '
        "A role with hard_delete = true may, after SET pgsoftproxy.delete = 'hard'.",
    )
