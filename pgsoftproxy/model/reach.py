"""Which other relations lead to the rows of hidden ones: by reading them, or by deleting from them.

Pure functions over a catalog; `hidden` maps oids to the labels that messages name. Knows no configuration.
"""

from collections.abc import Iterable, Mapping

from pgsoftproxy.model.catalog import TABLES, VIEWS, Catalog, KeyAction, Relation


def exposing(hidden: Mapping[int, str], catalog: Catalog) -> dict[int, str]:
    """Map each view, matview and parent through which rows of a hidden relation can be read to its label."""
    found: dict[int, str] = {}
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


def destroying(hidden: Mapping[int, str], catalog: Catalog) -> dict[int, str]:
    """Map each relation that is not hidden, but a DELETE on which cascades into a hidden one, to its label.

    A DELETE on a table is one on its partitions and children too, so that their keys count as its own, and a
    key that references a partitioned table removes rows when its partition is named.
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
            for oid in (*_family(key.references, catalog), *_ancestors(key.references, catalog)):
                if oid not in found and oid not in hidden:
                    found[oid] = label
                    grew = True
    return found


def _read_through(relation: Relation, catalog: Catalog) -> tuple[int, ...]:
    if relation.kind in VIEWS:
        return relation.reads
    return tuple(child.oid for child in catalog.descendants(relation.oid)) if relation.kind in TABLES else ()


def _family(oid: int, catalog: Catalog) -> list[int]:
    return [oid, *(child.oid for child in catalog.descendants(oid))]


def _ancestors(oid: int, catalog: Catalog) -> list[int]:
    found: list[int] = []
    todo = list(catalog.relations[oid].parents)
    while todo:
        parent = todo.pop()
        if parent not in found and parent in catalog.relations:
            found.append(parent)
            todo.extend(catalog.relations[parent].parents)
    return found


def _first_label(oids: Iterable[int], *maps: Mapping[int, str]) -> str | None:
    return next((labels[oid] for oid in oids for labels in maps if oid in labels), None)
