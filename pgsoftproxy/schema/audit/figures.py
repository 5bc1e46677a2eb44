"""How many rows of a table are deleted and how much of it is bloat: counted, or estimated from statistics. Pure.

Bloat is the share of pages that rows of the average width would not need, packed to the fill factor: a header of 24
bytes and a pointer of 4 each, a page of 8 kB with a header of 24. Padding is not known, so that it is an upper bound.
"""

from collections.abc import Mapping
from math import ceil, floor

from pgsoftproxy.model.evidence import ColumnStatistics, Evidence, Storage
from pgsoftproxy.model.policy import ColumnKind, Protection
from pgsoftproxy.model.present import SchemaState
from pgsoftproxy.schema.audit.finding import TableFigures

PAGE = 8192
PAGE_HEADER = 24
ROW_HEADER = 28


def estimate(protection: Protection, state: SchemaState, evidence: Evidence) -> TableFigures:
    """Return the figures of one table."""
    oid = protection.relation.oid
    storage = evidence.storage.get(oid, Storage())
    statistics = evidence.statistics.get(oid, {})
    counted = evidence.counts.get(oid)
    bloat = _bloat(protection, storage, statistics)
    size = state.table(oid).size
    if counted is not None:
        return TableFigures(protection.label, counted.rows, counted.deleted, size, bloat, counted=True)
    if storage.rows < 0:
        return TableFigures(protection.label, bytes=size)
    share = _deleted_share(protection, statistics)
    deleted = None if share is None else round(storage.rows * share)
    return TableFigures(protection.label, round(storage.rows), deleted, size, bloat)


def _deleted_share(protection: Protection, statistics: Mapping[str, ColumnStatistics]) -> float | None:
    column = statistics.get(protection.column)
    if column is None:
        return None
    if protection.kind is ColumnKind.BOOLEAN:
        return column.true
    return 1.0 - column.null_share


def _bloat(
    protection: Protection, storage: Storage, statistics: Mapping[str, ColumnStatistics]
) -> float | None:
    names = [column.name for column in protection.relation.columns if not column.generated]
    if storage.rows <= 0 or not storage.pages or any(name not in statistics for name in names):
        return None
    width = ROW_HEADER + sum(statistics[name].width * (1 - statistics[name].null_share) for name in names)
    in_page = max(1, floor((PAGE - PAGE_HEADER) * storage.fill / 100 / width))
    return max(0.0, 1 - ceil(storage.rows / in_page) / storage.pages)
