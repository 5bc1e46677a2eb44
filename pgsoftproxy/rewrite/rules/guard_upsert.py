"""INSERT ... ON CONFLICT: infer partial indexes on live rows, never touch or silently skip a deleted row.

A conflict with a deleted row (a full unique index holds its key) revives it where the policy says so, and else
raises 23505. The error comes from the conflict's own WHERE, which the server evaluates on the row that it met: a
cast that fails there, and only there, and that the session translates. DO NOTHING becomes a DO UPDATE.
"""

from dataclasses import dataclass

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.policy import Protection, Upsert
from pgsoftproxy.rewrite.edits import CLAUSE
from pgsoftproxy.rewrite.plan import ErrorTranslation
from pgsoftproxy.rewrite.predicates import KEY_HELD, is_live, quote_identifier
from pgsoftproxy.rewrite.rules.answer_as_inserted import answer_as_inserted
from pgsoftproxy.rewrite.rules.arbiters import arbiters, sole_target, target_of, translated_constraint
from pgsoftproxy.rewrite.rules.live_index import is_live_only
from pgsoftproxy.rewrite.rules.revive_row import Meeting, failures, obstacle, revive_row
from pgsoftproxy.rewrite.scope import Reference
from pgsoftproxy.rewrite.tokens import AFTER_WHERE, LPAREN, Tokens, Uncertain
from pgsoftproxy.rewrite.tree import Node
from pgsoftproxy.rewrite.work import Work


@dataclass(frozen=True, slots=True)
class _Places:
    """Token indexes of `ON CONFLICT [target [WHERE ...]] DO action`."""

    on: int
    target_close: int | None
    target_where: int | None
    do: int


@dataclass(frozen=True, slots=True)
class _Guard:
    """How a conflict's WHERE begins and ends around the client's own, and what stands there without one."""

    opening: str
    closing: str
    alone: str


def guard_upsert(work: Work, reference: Reference, protection: Protection) -> None:
    """Guard the ON CONFLICT clause of an INSERT, if it has one."""
    clause = reference.owner.get("onConflictClause")
    if clause is None:
        return
    work.note_guard(protection)
    places = _places(work.tokens, clause)
    meeting = Meeting(clause, work.qualifier(reference), protection, arbiters(clause, reference, protection))
    exposed = meeting.arbiters is None or any(not is_live_only(i, protection) for i in meeting.arbiters)
    if "infer" in clause:
        _guard_target(work, places, clause, protection)
    elif exposed:
        work.edits.insert(work.tokens.ends[places.on + 1], f" {sole_target(protection)}", CLAUSE)
    if exposed:
        _meet_deleted(work, reference, places, meeting)
    elif clause["action"] == "ONCONFLICT_UPDATE":
        live = meeting.live
        _guard_update(work, clause, places, _Guard(f"{live} AND (", ")", live))


def _meet_deleted(work: Work, reference: Reference, places: _Places, meeting: Meeting) -> None:
    """Revive the deleted row that an upsert may meet, or have the server raise an error for it."""
    protection, live, tokens = meeting.protection, meeting.live, work.tokens
    updates = meeting.clause["action"] == "ONCONFLICT_UPDATE"
    reason = None
    if protection.upsert is Upsert.REVIVE:
        catalog, columns = work.surroundings.policy.catalog, work.surroundings.columns_of(protection)
        reason = obstacle(meeting, columns, catalog)
        if reason is None:
            revive_row(work, meeting, places.do, columns)
            if updates:
                _guard_update(
                    work, meeting.clause, places, _Guard(f"CASE WHEN {live} THEN (", ") ELSE true END", "")
                )
            answer_as_inserted(work, reference, protection)
            work.translations.extend(failures(meeting, catalog))
            return
    work.translations.append(_key_held(protection, reason))
    column = f"{meeting.qualifier}.{quote_identifier(protection.column)}"
    raising = f"pg_catalog.concat('{KEY_HELD} ', {column})::pg_catalog.bool"
    if updates:
        alone = f"CASE WHEN {live} THEN true ELSE {raising} END"
        guard = _Guard(f"CASE WHEN {live} THEN (", f") ELSE {raising} END", alone)
        _guard_update(work, meeting.clause, places, guard)
        return
    name = quote_identifier(protection.column)
    action = f"UPDATE SET {name} = {column} WHERE CASE WHEN {live} THEN false ELSE {raising} END"
    work.edits.replace(tokens.starts[places.do + 1], tokens.ends[places.do + 1], action)


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


def _guard_target(work: Work, places: _Places, clause: Node, protection: Protection) -> None:
    """Let the target infer an index on live rows, also where it is named as the constraint that it was."""
    tokens = work.tokens
    predicate = is_live(quote_identifier(protection.column), protection)
    if places.target_close is None:
        index = translated_constraint(clause, protection)
        if index is not None:
            target = target_of(index, protection)
            work.edits.replace(tokens.starts[places.on + 2], tokens.ends[places.do - 1], target)
    elif places.target_where is None:
        work.edits.insert(tokens.ends[places.target_close], f" WHERE {predicate}", CLAUSE)
    else:
        work.edits.insert(tokens.starts[places.target_where + 1], f"{predicate} AND (", CLAUSE)
        work.edits.insert(tokens.ends[places.do - 1], ")", CLAUSE)


def _guard_update(work: Work, clause: Node, places: _Places, guard: _Guard) -> None:
    tokens = work.tokens
    where = tokens.find(places.do + 1, frozenset({"WHERE", "RETURNING"}))
    if "whereClause" in clause:
        if tokens.name(where) != "WHERE":
            raise Uncertain
        end = tokens.find(where + 1, AFTER_WHERE)
        work.edits.insert(tokens.starts[where + 1], guard.opening, CLAUSE)
        work.edits.insert(tokens.ends[end - 1], guard.closing, CLAUSE)
    elif guard.alone:
        work.edits.insert(tokens.ends[where - 1], f" WHERE {guard.alone}", CLAUSE)


def _key_held(protection: Protection, reason: str | None) -> ErrorTranslation:
    predicate = is_live(quote_identifier(protection.column), protection)
    way_out = f"as in CREATE UNIQUE INDEX ... WHERE {predicate}"
    if reason is not None:
        hint = f"It cannot be revived: {reason}. Create the unique index with WHERE on live rows only, {way_out}."
    else:
        hint = (
            f"Create the unique index with WHERE on live rows only, {way_out}, "
            'or configure upsert = "revive" for the table.'
        )
    message = f'duplicate key value in table "{protection.label}": the key is held by a deleted row'
    return ErrorTranslation("22P02", KEY_HELD, Refusal("23505", message, hint))
