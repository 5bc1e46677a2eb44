"""Which unique indexes may report an upsert's conflict, and how to name one as its target. Reads only."""

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import UniqueIndex
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.rewrite.predicates import is_live, quote_identifier
from pgsoftproxy.rewrite.rules.live_index import is_live_only
from pgsoftproxy.rewrite.scope import Reference
from pgsoftproxy.rewrite.tree import Node

GENERATORS = ("nextval(", "gen_random_uuid(", "uuidv7(", "uuidv4(", "uuid_generate_v")


def arbiters(clause: Node, reference: Reference, protection: Protection) -> list[UniqueIndex] | None:
    """Return the unique indexes that may report the conflict; None where they cannot be told."""
    indexes = _valid_indexes(protection)
    infer = clause.get("infer")
    if infer is None:
        if len(indexes) == 1:
            return indexes  # its target can be named, so a sequence that lags behind its keys is met too
        given = _given_columns(reference.owner, protection)
        return [index for index in indexes if not _is_generated(index, given, protection)]
    if "conname" in infer:
        translated = translated_constraint(clause, protection)
        if translated is not None:
            return [translated]
        return [index for index in indexes if index.constraint == infer["conname"]] or None
    elements = [element["IndexElem"] for element in infer["indexElems"]]
    if any("name" not in element for element in elements):
        return None
    wanted = {element["name"] for element in elements}
    return [index for index in indexes if set(index.columns) == wanted] or None


def translated_constraint(clause: Node, protection: Protection) -> UniqueIndex | None:
    """Return the index on live rows that an ON CONSTRAINT names, as it did while it was a constraint's."""
    name = clause.get("infer", {}).get("conname")
    indexes = _valid_indexes(protection)
    if name is None or any(index.constraint == name for index in indexes):
        return None
    named = (index for index in indexes if index.name == name and is_live_only(index, protection))
    return next(named, None)


def target_of(index: UniqueIndex, protection: Protection) -> str:
    """Return a conflict target that infers an index; raises StatementRefused where it would infer others too."""
    same = [other for other in _valid_indexes(protection) if _key(other) == _key(index)]
    if index.expressions is None or len(same) != 1:
        reason = "is not known now" if index.expressions is None else "is also that of another unique index"
        raise StatementRefused(
            f'ON CONFLICT ON CONSTRAINT "{index.name}" on protected table "{protection.label}": '
            f"it is a unique index on live rows, whose key {reason}",
            hint="Name the conflict target, as in ON CONFLICT (column) DO ....",
        )
    expressions = iter(index.expressions)
    key = (quote_identifier(c) if c is not None else f"({next(expressions)})" for c in index.columns)
    predicate = is_live(quote_identifier(protection.column), protection)
    if index.predicate is not None:
        predicate = f"{predicate} AND ({index.predicate})"
    return f"({', '.join(key)}) WHERE {predicate}"


def sole_target(protection: Protection) -> str:
    """Return the target of `ON CONFLICT DO NOTHING` where the table has one unique index, so that it can be guarded."""
    indexes = _valid_indexes(protection)
    if len(indexes) != 1 or indexes[0].predicate is not None or None in indexes[0].columns:
        raise StatementRefused(
            f'ON CONFLICT without a target on protected table "{protection.label}", '
            "which has a unique index that counts deleted rows",
            hint="Name the conflict target, as in ON CONFLICT (column) DO NOTHING, "
            "or make every unique index partial on live rows.",
        )
    return target_of(indexes[0], protection)


def _valid_indexes(protection: Protection) -> list[UniqueIndex]:
    return [index for index in protection.relation.unique_indexes if index.valid]


def _key(index: UniqueIndex) -> frozenset[str | None]:
    return frozenset({*index.columns, *(index.expressions or ())})


def _given_columns(insert: Node, protection: Protection) -> set[str]:
    if "selectStmt" not in insert:
        return set()  # DEFAULT VALUES
    if "cols" in insert:
        return {column["ResTarget"]["name"] for column in insert["cols"]}
    return {column.name for column in protection.relation.columns}


def _is_generated(index: UniqueIndex, given: set[str], protection: Protection) -> bool:
    # A key that the INSERT leaves to a sequence or a random uuid does not meet an old row's.
    for name in index.columns:
        column = protection.relation.column(name) if name is not None else None
        if column is None or name in given:
            continue
        default = column.default or ""
        if column.identity or any(generator in default for generator in GENERATORS):
            return True
    return False
