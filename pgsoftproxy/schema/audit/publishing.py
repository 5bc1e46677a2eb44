"""Publications that send deleted rows to their subscribers, and the row filters that keep them in. Pure."""

from collections import defaultdict
from collections.abc import Iterator

from pgsoftproxy.db.ddl import is_live_bare, name_of
from pgsoftproxy.model.catalog import Relation, RelationKind, UniqueIndex
from pgsoftproxy.model.evidence import Member, Publication
from pgsoftproxy.model.policy import Mode, Protection
from pgsoftproxy.rewrite.predicates import quote_identifier
from pgsoftproxy.rewrite.rules.live_index import is_live_only
from pgsoftproxy.schema.audit.finding import By, Found, Mend, ObjectKind, Subject
from pgsoftproxy.schema.audit.ground import OURS, Ground

BY_HAND = Mend("publish the tables one by one, with a row filter on live rows (PostgreSQL 15)")


def publication_leaks(ground: Ground) -> Iterator[Found]:
    """Yield publications that send deleted rows of protected tables to their subscribers."""
    sent: dict[str, list[Relation]] = defaultdict(list)
    for published in ground.evidence.published:
        protection = _enforced(published.relation, ground)
        if protection is not None and not _keeps_in(published.row_filter, protection):
            sent[published.publication].append(protection.relation)
    known = {publication.name: publication for publication in ground.evidence.publications}
    for name, relations in sent.items():
        listed = ", ".join(f'"{relation.label}"' for relation in relations)
        why = f"subscribers get deleted rows of {listed}: a soft delete reaches them as an UPDATE"
        mend = _filtered(known[name], ground) if name in known else None
        yield Found(Subject(ObjectKind.PUBLICATION, name), why, mend or BY_HAND)


def _filtered(publication: Publication, ground: Ground) -> Mend | None:
    """Return the SQL that publishes the same tables one by one, protected ones with a filter."""
    items: list[str] = []
    before: list[str] = []
    via_root = publication.via_root
    for member in _members(publication, ground):
        relation = ground.catalog.relations[member.relation]
        protection = _enforced(member.relation, ground)
        conditions = [f"({member.row_filter})"] if member.row_filter else []
        if protection is not None and not _keeps_in(member.row_filter, protection):
            if _is_listed_by_column(member.relation, ground):
                return None  # no such list, in whatever publication, covers the replica identity of a filter
            conditions.insert(0, is_live_bare(protection))
            before.extend(_identified(relation, ground))
            via_root = via_root or relation.kind is RelationKind.PARTITIONED
        columns = (
            f" ({', '.join(quote_identifier(name) for name in member.columns)})" if member.columns else ""
        )
        where = f" WHERE ({' AND '.join(conditions)})" if conditions else ""
        # Children of a table are members of their own; without ONLY they would be there twice.
        only = "ONLY " if relation.kind is RelationKind.TABLE and any(_below(relation, ground)) else ""
        items.append(f"{only}{name_of(relation)}{columns}{where}")
    return Mend("\n".join([*before, *_published(publication, items, via_root=via_root)]), By.SQL)


def _published(publication: Publication, items: list[str], *, via_root: bool) -> Iterator[str]:
    name, listed = quote_identifier(publication.name), ", ".join(items)
    root = f"publish_via_partition_root = {str(via_root).lower()}"
    if publication.every_table:  # nothing else makes one of those into a list
        yield "BEGIN;"
        yield f"DROP PUBLICATION {name};"
        yield f"CREATE PUBLICATION {name} FOR TABLE {listed} WITH (publish = '{publication.publish}', {root});"
        yield "COMMIT;"
        return
    if via_root and not publication.via_root:  # a partitioned table can have a filter only so
        yield f"ALTER PUBLICATION {name} SET ({root});"
    yield f"ALTER PUBLICATION {name} SET TABLE {listed};"


def _members(publication: Publication, ground: Ground) -> list[Member]:
    """Return each table with what it was given; partitions that come by their table are that table's."""
    known = {member.relation: member for member in publication.members}
    if publication.every_table or publication.schemas:
        for published in ground.evidence.published:
            relation = ground.catalog.relations[published.relation]
            if published.publication != publication.name or relation.schema == OURS:
                continue
            above = [oid for oid in ground.catalog.ancestors(relation.oid) if relation.is_partition]
            if not any(oid in publication.given for oid in (relation.oid, *above)):
                top = above[-1] if above else relation.oid
                known.setdefault(top, Member(top))
    return sorted(known.values(), key=lambda member: ground.catalog.relations[member.relation].label)


def _identified(relation: Relation, ground: Ground) -> Iterator[str]:
    """Yield what lets a filter know the old row's column: without it an UPDATE of a published table fails."""
    for one in (relation, *_below(relation, ground)):
        if one.kind is RelationKind.TABLE:
            yield f"ALTER TABLE {name_of(one)} REPLICA IDENTITY FULL;"


def _is_listed_by_column(oid: int, ground: Ground) -> bool:
    members = (member for publication in ground.evidence.publications for member in publication.members)
    return any(member.columns and member.relation == oid for member in members)


def _below(relation: Relation, ground: Ground) -> Iterator[Relation]:
    return ground.catalog.descendants(relation.oid)


def _enforced(oid: int, ground: Ground) -> Protection | None:
    protection = ground.policy.protections.get(oid)
    return protection if protection is not None and protection.mode is Mode.ENFORCE else None


def _keeps_in(row_filter: str | None, protection: Protection) -> bool:
    return is_live_only(UniqueIndex("", (), row_filter), protection)
