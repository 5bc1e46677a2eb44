"""Tables themselves: what they lack, what is not configured, whose name they share, what deleted rows cost. Pure."""

import json
from collections.abc import Iterator

from pgsoftproxy.db.ddl import name_of
from pgsoftproxy.model.catalog import Relation, RelationKind
from pgsoftproxy.model.policy import ColumnKind
from pgsoftproxy.model.steps import Kind
from pgsoftproxy.rewrite.predicates import quote_identifier
from pgsoftproxy.rewrite.verify import is_guarded
from pgsoftproxy.schema.audit.figures import estimate
from pgsoftproxy.schema.audit.finding import By, Found, Mend, ObjectKind, Subject
from pgsoftproxy.schema.audit.ground import OURS, Ground, about, mend_of
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
        mend = ground.mend(f"column:{label}:{column.name}") or Mend("add it")
        yield about(column.relation, why, mend)


def rule_unmet(ground: Ground) -> Iterator[Found]:
    """Yield what else the database lacks for the configuration, with the place where it is written."""
    for problem in ground.problems:
        if not any(
            f'"{label}"' in problem.message
            for column in ground.missing
            for label in _labels(column.relation, ground)
        ):
            subject = Subject(ObjectKind.CONFIGURATION, problem.origin or ground.catalog.database)
            mend = Mend("mend the table, or the section of the configuration")
            yield Found(subject, problem.message, mend, problem.origin)


def index_missing(ground: Ground) -> Iterator[Found]:
    """Yield the indexes by which deleted rows, and rows that refer to deleted ones, are found."""
    unusable = {column.relation.label for column in ground.missing}
    for step in ground.steps:
        if (
            step.kind is Kind.INDEX
            and step.table not in unusable
            and not step.id.startswith(f"index:{step.table}:{KEY_INDEX}")
        ):
            yield Found(
                Subject(ObjectKind.TABLE, step.table), f"no {step.title}: {step.why}", mend_of([step])
            )


def name_ambiguous(ground: Ground) -> Iterator[Found]:
    """Yield unprotected relations that have the name of a protected table in another schema."""
    protected = {protection.relation.name: protection.label for protection in ground.protections()}
    for relation in ground.catalog.relations.values():
        label = protected.get(relation.name)
        guarded = relation.kind is RelationKind.VIEW and is_guarded(relation, ground.policy)
        if label is not None and not (guarded or ground.is_protected(relation) or relation.schema == OURS):
            why = f'without a schema its name may mean it or "{label}", by search_path: one shows what the other hides'
            yield about(relation, why, _renamed(relation))


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
            mend = f'[tables."{relation.label}"]\ncolumn = {json.dumps(name)}'
            yield about(relation, why, Mend(mend, By.CONFIGURATION))


def mostly_deleted(ground: Ground) -> Iterator[Found]:
    """Yield tables most of whose rows are deleted ones."""
    for protection in ground.protections():
        figures = estimate(protection, ground.state, ground.evidence)
        share = figures.deleted_share
        if share is not None and share >= MOSTLY and (figures.deleted or 0) >= MOST_ROWS:
            why = (
                f"{share:.0%} of its {figures.rows:,} rows are deleted: whatever scans it reads them in vain"
            )
            yield about(protection.relation, why, Mend("purge what is old enough"))


def bloated(ground: Ground) -> Iterator[Found]:
    """Yield tables most of whose pages no row needs."""
    for protection in ground.protections():
        figures = estimate(protection, ground.state, ground.evidence)
        pages = ground.evidence.storage[protection.relation.oid].pages if figures.bloat is not None else 0
        if figures.bloat is not None and figures.bloat >= BLOATED and pages >= MANY_PAGES:
            why = f"{figures.bloat:.0%} of its {pages:,} pages would not be needed"
            mend = f"VACUUM (FULL, ANALYZE) {name_of(protection.relation)};  -- locks it; pg_repack does not"
            yield about(protection.relation, why, Mend(mend, By.SQL))


def _renamed(relation: Relation) -> Mend:
    """Return the SQL that gives a relation a name of its own, after its schema."""
    kind = {RelationKind.VIEW: "VIEW", RelationKind.MATVIEW: "MATERIALIZED VIEW"}.get(relation.kind, "TABLE")
    name = quote_identifier(f"{relation.schema}_{relation.name}")
    return Mend(f"ALTER {kind} {name_of(relation)} RENAME TO {name};", By.SQL)


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
