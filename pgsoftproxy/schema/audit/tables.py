"""Tables themselves: what they lack, what is not configured, whose name they share, what deleted rows cost. Pure."""

from collections.abc import Iterator

from pgsoftproxy.model.catalog import Relation, RelationKind
from pgsoftproxy.model.policy import ColumnKind
from pgsoftproxy.model.steps import Kind
from pgsoftproxy.rewrite.verify import is_guarded
from pgsoftproxy.schema.audit.figures import estimate
from pgsoftproxy.schema.audit.finding import Found, ObjectKind, Subject
from pgsoftproxy.schema.audit.ground import OURS, Ground, about, sql_of
from pgsoftproxy.schema.audit.removing import KEY_INDEX

COLUMNS = frozenset(
    """archived_at date_deleted deleted deleted_at deleted_on deletedat deletion_date deletion_time destroyed_at
    discarded_at erased_at is_deleted is_removed isdeleted removed removed_at soft_deleted soft_deleted_at trashed
    trashed_at""".split()
)
"""Names of columns, in small letters, by which libraries and people mark deleted rows."""
MOSTLY = 0.5
MOST_ROWS = 1000
BLOATED = 0.5
MANY_PAGES = 1280
"""10 MB: below that the share of empty pages says nothing."""


def column_missing(ground: Ground) -> Iterator[Found]:
    """Yield tables that lack a column which the configuration names."""
    for column in ground.missing:
        label = column.relation.label
        why = (
            f'it has no column "{column.name}": no row can be deleted softly, and the proxy refuses the table'
        )
        yield about(column.relation, why, ground.mend(f"column:{label}:{column.name}"))


def rule_unmet(ground: Ground) -> Iterator[Found]:
    """Yield what else the database lacks for the configuration, with the place where it is written."""
    for problem in ground.problems:
        if not any(
            f'"{label}"' in problem.message
            for column in ground.missing
            for label in _labels(column.relation, ground)
        ):
            subject = Subject(ObjectKind.CONFIGURATION, problem.origin or ground.catalog.database)
            mend = "mend the table or the configuration"
            yield Found(subject, problem.message, mend, is_sql=False, origin=problem.origin)


def index_missing(ground: Ground) -> Iterator[Found]:
    """Yield the indexes by which deleted rows, and rows that refer to deleted ones, are found."""
    unusable = {column.relation.label for column in ground.missing}
    for step in ground.steps:
        if (
            step.kind is Kind.INDEX
            and step.table not in unusable
            and not step.id.startswith(f"index:{step.table}:{KEY_INDEX}")
        ):
            yield Found(Subject(ObjectKind.TABLE, step.table), f"no {step.title}: {step.why}", sql_of([step]))


def name_ambiguous(ground: Ground) -> Iterator[Found]:
    """Yield unprotected relations that have the name of a protected table in another schema."""
    protected = {protection.relation.name: protection.label for protection in ground.protections()}
    for relation in ground.catalog.relations.values():
        label = protected.get(relation.name)
        guarded = relation.kind is RelationKind.VIEW and is_guarded(relation, ground.policy)
        if label is not None and not (guarded or ground.is_protected(relation) or relation.schema == OURS):
            why = f'without a schema its name may mean it or "{label}", by search_path: one shows what the other hides'
            mend = f'rename one of them, or protect both: [tables."*.{relation.name}"]'
            yield about(relation, why, mend, is_sql=False)


def table_unconfigured(ground: Ground) -> Iterator[Found]:
    """Yield tables with a column that marks deleted rows, as it seems, under no rule."""
    names = COLUMNS | {rule.column.lower() for rule in ground.wanted.rules}
    for relation in ground.catalog.relations.values():
        plain = relation.kind in {RelationKind.TABLE, RelationKind.PARTITIONED} and not relation.is_partition
        if not plain or relation.schema == OURS or ground.is_protected(relation):
            continue
        name = _deletion_column(relation, names)
        if name is not None:
            why = f'it has a column "{name}", but the configuration does not protect it: a DELETE removes its rows'
            mend = f'[tables."{relation.label}"]\ncolumn = "{name}"'
            yield about(relation, why, mend, is_sql=False)


def mostly_deleted(ground: Ground) -> Iterator[Found]:
    """Yield tables most of whose rows are deleted ones."""
    for protection in ground.protections():
        figures = estimate(protection, ground.state, ground.evidence)
        share = figures.deleted_share
        if share is not None and share >= MOSTLY and (figures.deleted or 0) >= MOST_ROWS:
            why = (
                f"{share:.0%} of its {figures.rows:,} rows are deleted: whatever scans it reads them in vain"
            )
            yield about(protection.relation, why, "purge what is old enough", is_sql=False)


def bloated(ground: Ground) -> Iterator[Found]:
    """Yield tables most of whose pages no row needs."""
    for protection in ground.protections():
        figures = estimate(protection, ground.state, ground.evidence)
        pages = ground.evidence.storage[protection.relation.oid].pages if figures.bloat is not None else 0
        if figures.bloat is not None and figures.bloat >= BLOATED and pages >= MANY_PAGES:
            why = f"{figures.bloat:.0%} of its {pages:,} pages would not be needed"
            mend = "VACUUM it; VACUUM FULL, under a lock, or pg_repack give the pages back"
            yield about(protection.relation, why, mend, is_sql=False)


def _labels(relation: Relation, ground: Ground) -> Iterator[str]:
    yield relation.label
    yield from (child.label for child in ground.catalog.descendants(relation.oid))


def _deletion_column(relation: Relation, names: frozenset[str]) -> str | None:
    for column in relation.columns:
        kind = ColumnKind.of(column.type_name) if column.name.lower() in names else None
        may_be_live = kind is ColumnKind.BOOLEAN or not column.not_null
        if kind is not None and may_be_live and not column.generated:
            return column.name
    return None
