"""INSERT ... ON CONFLICT: infer partial indexes on live rows, never touch or silently skip a deleted row.

A conflict with a deleted row (a full unique index holds its key) raises 23505. The error comes from the
conflict's own WHERE, which the server evaluates on the row that it met: a cast that fails there, and only
there, and that the session translates. DO NOTHING becomes a DO UPDATE whose WHERE is never true.
"""

from dataclasses import dataclass

from pgsoftproxy.errors import Refusal, StatementRefused
from pgsoftproxy.model.catalog import UniqueIndex
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.rewrite.edits import CLAUSE
from pgsoftproxy.rewrite.plan import ErrorTranslation
from pgsoftproxy.rewrite.predicates import KEY_HELD, is_live, quote_identifier
from pgsoftproxy.rewrite.rules.live_index import is_live_only
from pgsoftproxy.rewrite.scope import Reference
from pgsoftproxy.rewrite.tokens import AFTER_WHERE, LPAREN, Tokens, Uncertain
from pgsoftproxy.rewrite.tree import Node
from pgsoftproxy.rewrite.work import Work

GENERATORS = ("nextval(", "gen_random_uuid(", "uuidv7(", "uuidv4(", "uuid_generate_v")


@dataclass(frozen=True, slots=True)
class _Places:
    """Token indexes of `ON CONFLICT [target [WHERE ...]] DO action`."""

    on: int
    target_close: int | None
    target_where: int | None
    do: int


def guard_upsert(work: Work, reference: Reference, protection: Protection) -> None:
    """Guard the ON CONFLICT clause of an INSERT, if it has one."""
    clause = reference.owner.get("onConflictClause")
    if clause is None:
        return
    work.note_guard(protection)
    places = _places(work.tokens, clause)
    arbiters = _arbiters(clause, reference, protection)
    exposed = arbiters is None or any(not is_live_only(index, protection) for index in arbiters)
    updates = clause["action"] == "ONCONFLICT_UPDATE"
    if "infer" not in clause:
        if not exposed:
            return
        _name_target(work, places, protection)
    else:
        _add_inference(work, places, protection)
    column = f"{work.qualifier(reference)}.{quote_identifier(protection.column)}"
    live = is_live(column, protection)
    if exposed:
        work.translations.append(_key_held(protection))
    raising = f"pg_catalog.concat('{KEY_HELD} ', {column})::pg_catalog.bool"
    if updates:
        _guard_update(work, clause, places, (live, raising if exposed else None))
    elif exposed:
        name = quote_identifier(protection.column)
        action = f"UPDATE SET {name} = {column} WHERE CASE WHEN {live} THEN false ELSE {raising} END"
        nothing = work.tokens.ends[places.do + 1]
        work.edits.replace(work.tokens.starts[places.do + 1], nothing, action)


def _places(tokens: Tokens, clause: Node) -> _Places:
    on = tokens.at(int(clause.get("location", 0)))
    if tokens.name(on) != "ON" or tokens.name(on + 1) != "CONFLICT":
        raise Uncertain
    close = where = None
    after = on + 2
    if tokens.name(after) == LPAREN:
        close = tokens.closing(after)
        after = close + 1
        where = after if tokens.name(after) == "WHERE" else None
    do = tokens.find(after, frozenset({"DO"}))
    if tokens.name(do) != "DO":
        raise Uncertain
    return _Places(on, close, where, do)


def _add_inference(work: Work, places: _Places, protection: Protection) -> None:
    if places.target_close is None:
        return  # ON CONSTRAINT
    tokens = work.tokens
    predicate = is_live(quote_identifier(protection.column), protection)
    if places.target_where is None:
        work.edits.insert(tokens.ends[places.target_close], f" WHERE {predicate}", CLAUSE)
        return
    work.edits.insert(tokens.starts[places.target_where + 1], f"{predicate} AND (", CLAUSE)
    work.edits.insert(tokens.ends[places.do - 1], ")", CLAUSE)


def _guard_update(work: Work, clause: Node, places: _Places, guard: tuple[str, str | None]) -> None:
    live, raising = guard
    tokens = work.tokens
    where = tokens.find(places.do + 1, frozenset({"WHERE", "RETURNING"}))
    opening = f"{live} AND (" if raising is None else f"CASE WHEN {live} THEN ("
    closing = ")" if raising is None else f") ELSE {raising} END"
    if "whereClause" in clause:
        if tokens.name(where) != "WHERE":
            raise Uncertain
        end = tokens.find(where + 1, AFTER_WHERE)
        work.edits.insert(tokens.starts[where + 1], opening, CLAUSE)
        work.edits.insert(tokens.ends[end - 1], closing, CLAUSE)
        return
    predicate = live if raising is None else f"CASE WHEN {live} THEN true ELSE {raising} END"
    work.edits.insert(tokens.ends[where - 1], f" WHERE {predicate}", CLAUSE)


def _arbiters(clause: Node, reference: Reference, protection: Protection) -> list[UniqueIndex] | None:
    """Return the unique indexes that may report the conflict; None where they cannot be told."""
    indexes = [index for index in protection.relation.unique_indexes if index.valid]
    infer = clause.get("infer")
    if infer is None:
        if len(indexes) == 1:
            return indexes  # its target can be named, so a sequence that lags behind its keys is met too
        given = _given_columns(reference.owner, protection)
        return [index for index in indexes if not _is_generated(index, given, protection)]
    if "conname" in infer:
        return [index for index in indexes if index.constraint == infer["conname"]] or None
    elements = [element["IndexElem"] for element in infer["indexElems"]]
    if any("name" not in element for element in elements):
        return None
    wanted = {element["name"] for element in elements}
    return [index for index in indexes if set(index.columns) == wanted] or None


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


def _key_held(protection: Protection) -> ErrorTranslation:
    refusal = Refusal(
        "23505",
        f'duplicate key value in table "{protection.label}": the key is held by a deleted row',
        hint="Create the unique index with WHERE on live rows only, "
        f"as in CREATE UNIQUE INDEX ... WHERE {is_live(quote_identifier(protection.column), protection)}.",
    )
    return ErrorTranslation("22P02", KEY_HELD, refusal)


def _name_target(work: Work, places: _Places, protection: Protection) -> None:
    """Name the target of `ON CONFLICT DO NOTHING` where the table has one unique index, so that it can be guarded."""
    indexes = [index for index in protection.relation.unique_indexes if index.valid]
    if len(indexes) != 1 or indexes[0].predicate is not None or None in indexes[0].columns:
        raise StatementRefused(
            f'ON CONFLICT without a target on protected table "{protection.label}", '
            "which has a unique index that counts deleted rows",
            hint="Name the conflict target, as in ON CONFLICT (column) DO NOTHING, "
            "or make every unique index partial on live rows.",
        )
    columns = ", ".join(quote_identifier(column) for column in indexes[0].columns if column is not None)
    predicate = is_live(quote_identifier(protection.column), protection)
    work.edits.insert(work.tokens.ends[places.on + 1], f" ({columns}) WHERE {predicate}", CLAUSE)
