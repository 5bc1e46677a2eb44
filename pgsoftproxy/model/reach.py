"""Which other relations lead to the rows of hidden ones: by reading them, or by deleting from them.

Pure functions over a catalog; `hidden` maps oids to the labels that messages name. Knows no configuration.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pgsoftproxy.model.catalog import TABLES, VIEWS, Catalog, KeyAction, Relation, RelationKind
from pgsoftproxy.model.routines import OPAQUE

STATISTICS = frozenset(
    {"pg_stats", "pg_stats_ext", "pg_stats_ext_exprs", "pg_statistic", "pg_statistic_ext_data"}
)
"""Relations of pg_catalog whose histograms hold values of rows, deleted ones included."""
_STATISTICS = re.compile(rf"\b({'|'.join(sorted(STATISTICS))})\b")
_OPAQUE_CALL = re.compile(rf"\b({'|'.join(sorted(OPAQUE))})\(")
"""As definitions are printed: without a blank before the parenthesis."""


def exposing(hidden: Mapping[int, str], catalog: Catalog) -> dict[int, str]:
    """Map each view, matview and parent through which rows of a hidden relation can be read to its label.

    Views of the server's own statistics are among them: histograms hold values of rows.
    """
    found: dict[int, str] = {}
    for relation in catalog.relations.values() if hidden else ():
        named = names_statistics(relation.definition or "")
        if named is not None:
            found[relation.oid] = f"pg_catalog.{named}"
    grew = True
    while grew:
        grew = False
        for relation in catalog.relations.values():
            if relation.oid in found or relation.oid in hidden:
                continue
            label = _first_label(_read_through(relation, catalog), hidden, found)
            if label is not None:
                found[relation.oid] = label
                grew = True
    return found


def names_statistics(definition: str) -> str | None:
    """Return which of the server's statistics a definition names, if it does."""
    found = _STATISTICS.search(definition)
    return None if found is None else found[1]


def destroying(hidden: Mapping[int, str], catalog: Catalog) -> dict[int, str]:
    """Map each relation that is not hidden, but a DELETE on which cascades into a hidden one, to its label.

    A DELETE on a table is one on its partitions and children too, so that their keys count as its own, and a
    key that references a partitioned table removes rows when its partition is named. One on a simple view is one
    on the table that it reads.
    """
    found: dict[int, str] = {}
    cascades = [key for key in catalog.foreign_keys if key.on_delete is KeyAction.CASCADE]
    grew = True
    while grew:
        grew = False
        for key in cascades:
            label = _first_label(_family(key.relation, catalog), hidden, found)
            if label is None:
                continue
            for oid in (*_family(key.references, catalog), *catalog.ancestors(key.references)):
                if oid not in found and oid not in hidden:
                    found[oid] = label
                    grew = True
    through = exposing(found, catalog).items()
    found.update((oid, label) for oid, label in through if catalog.relations[oid].kind is RelationKind.VIEW)
    return found


@dataclass(frozen=True, slots=True)
class ViewCalls:
    """The routines that reading a view calls, by oid, and a function of OPAQUE if its definition holds one."""

    routines: tuple[int, ...]
    runs_text: str | None = None


def calling(catalog: Catalog) -> dict[int, ViewCalls]:
    """Map each view that calls routines, itself or through views that it reads, to these."""
    own: dict[int, ViewCalls] = {}
    for relation in catalog.relations.values():
        if relation.kind in VIEWS:
            routines = tuple(oid for oid in relation.calls if oid in catalog.routines)
            found = _OPAQUE_CALL.search(relation.definition or "")
            if routines or found:
                own[relation.oid] = ViewCalls(routines, found[1] if found else None)
    if not own:
        return own
    reached: dict[int, ViewCalls] = {}
    for relation in catalog.relations.values():
        if relation.kind in VIEWS:
            inside = [own[oid] for oid in _views_below(relation, catalog) if oid in own]
            if inside:
                routines = tuple(dict.fromkeys(oid for calls in inside for oid in calls.routines))
                texts = (calls.runs_text for calls in inside)
                reached[relation.oid] = ViewCalls(routines, next((text for text in texts if text), None))
    return reached


def _views_below(relation: Relation, catalog: Catalog) -> set[int]:
    seen: set[int] = set()
    todo = [relation.oid]
    while todo:
        oid = todo.pop()
        if oid not in seen and oid in catalog.relations:
            seen.add(oid)
            todo.extend(catalog.relations[oid].reads)
    return seen


def _read_through(relation: Relation, catalog: Catalog) -> tuple[int, ...]:
    if relation.kind in VIEWS:
        return relation.reads
    return tuple(child.oid for child in catalog.descendants(relation.oid)) if relation.kind in TABLES else ()


def _family(oid: int, catalog: Catalog) -> list[int]:
    return [oid, *(child.oid for child in catalog.descendants(oid))]


def _first_label(oids: Iterable[int], *maps: Mapping[int, str]) -> str | None:
    return next((labels[oid] for oid in oids for labels in maps if oid in labels), None)
