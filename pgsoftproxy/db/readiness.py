"""Compare what the links of a policy need in the database with what the catalog shows of it.

Pure over a catalog that was read. Knows the names and texts of `triggers`; must not know what is done about a lack.
"""

from collections.abc import Iterable
from dataclasses import replace

from pgsoftproxy.db.definition import Definition
from pgsoftproxy.db.restore_function import NAME
from pgsoftproxy.db.triggers import KEEP, definitions, key_index
from pgsoftproxy.model.catalog import Catalog
from pgsoftproxy.model.links import KeyRule, find_links
from pgsoftproxy.model.policy import Mode, Policy, Problem
from pgsoftproxy.model.reach import destroying

LINKING = frozenset({"drain", "begin_statement"})
"""The functions that the triggers of every parent call."""
KEEPING = frozenset({"keep", "keep_rows"})
"""Those that the guards of every protected table call."""


def with_links(policy: Policy, rules: Iterable[KeyRule]) -> tuple[Policy, tuple[Problem, ...]]:
    """Return the policy with what its links lack in the database, and what the catalog lacks for the rules.

    `unready` maps each parent that must not be deleted from, its partitions, and the tables above whose names its rows
    go by too, to what is missing. `destroying` leaves out the parents whose cascade meets a table only where a guard
    keeps the rows.
    """
    links, problems = find_links(policy, rules)
    catalog = policy.catalog
    made = definitions(policy, links)
    lacking = [definition for definition in made if not is_current(definition, catalog)]
    general = next((definition.name for definition in lacking if definition.name in LINKING), None)
    by_parent: dict[int, str] = {}
    for definition in lacking:
        for oid in definition.of:
            by_parent.setdefault(oid, f'"{definition.name}"')
    unready: dict[int, str] = {}
    for oid, own in links.by_parent.items():
        missing = by_parent.get(oid) or (f'"{general}"' if general else None)
        if missing is None and any(key_index(link) for link in own):
            missing = "a unique index with the deletion column"
        if missing is not None:
            family = (oid, *(child.oid for child in catalog.descendants(oid) if child.is_partition))
            unready.update(dict.fromkeys((*catalog.ancestors(oid), *family), missing))
    kept = set() if any(one.name in KEEPING for one in lacking) else _kept(made, catalog)
    hidden = {
        oid: protection.label
        for oid, protection in policy.protections.items()
        if protection.mode is Mode.ENFORCE and oid not in kept
    }
    hidden |= {oid: catalog.relations[oid].label for oid in policy.broken}
    found = destroying(hidden, catalog)
    found = {oid: label for oid, label in found.items() if oid not in policy.protections}
    restores = any(one.name == NAME for one in made) and not any(one.name == NAME for one in lacking)
    return replace(policy, unready=unready, destroying=found, restores=restores), problems


def _kept(made: Iterable[Definition], catalog: Catalog) -> set[int]:
    """Return the tables that have the guard against physical deletion, with the partitions that it is on as well."""
    found: set[int] = set()
    for definition in made:
        if definition.name != KEEP or definition.relation is None or not is_current(definition, catalog):
            continue
        oid = definition.relation.oid
        found.add(oid)
        if "FOR EACH ROW" in definition.create:
            found.update(child.oid for child in catalog.descendants(oid) if child.is_partition)
    return found


def is_current(definition: Definition, catalog: Catalog) -> bool:
    """Tell whether a function or trigger is in the database as it is defined, and not disabled."""
    oid = definition.relation.oid if definition.relation is not None else 0
    return catalog.marks.get((oid, definition.name)) == definition.mark
