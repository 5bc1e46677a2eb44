"""MERGE: match live rows only, stamp instead of removing, and answer as the MERGE would have.

A deleted row must not match, so the predicate goes into ON; being unmatched, it must not count as "not matched
by source" either, so each of those clauses gets it too. A DELETE action becomes an UPDATE of the stamps.
"""

from dataclasses import dataclass

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.rewrite.edits import CLAUSE
from pgsoftproxy.rewrite.predicates import deletion_values
from pgsoftproxy.rewrite.rules.answer_as_it_was import answer_merge
from pgsoftproxy.rewrite.rules.guard_update import target_predicate
from pgsoftproxy.rewrite.scope import Reference
from pgsoftproxy.rewrite.tokens import CLOSE, OPEN, Tokens, Uncertain
from pgsoftproxy.rewrite.tree import Node
from pgsoftproxy.rewrite.work import Work


@dataclass(frozen=True, slots=True)
class _Clause:
    """Token indexes of one WHEN clause: `WHEN`, `THEN`, and `AND` if it has a condition."""

    when: int
    condition: int | None
    then: int


def soften_merge(work: Work, reference: Reference, protection: Protection) -> None:
    """Guard a MERGE into a protected table and turn its DELETE actions into soft ones."""
    work.note_guard(protection)
    tokens, merge = work.tokens, reference.owner
    on, clauses = _places(tokens, work.extent(reference).last + 1, len(merge["mergeWhenClauses"]))
    predicate = target_predicate(work, reference, protection)
    if predicate is not None:
        work.edits.insert(tokens.starts[on + 1], f"{predicate} AND (", CLAUSE)
        work.edits.insert(tokens.ends[clauses[0].when - 1], ")", CLAUSE)
    softened = False
    for place, item in zip(clauses, merge["mergeWhenClauses"], strict=True):
        clause = item["MergeWhenClause"]
        if predicate is not None and clause["matchKind"] == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE":
            _guard_clause(work, place, predicate)
        if clause["commandType"] == "CMD_DELETE" and not work.surroundings.hard:
            work.judge_ready(protection)
            softened = True
            action = place.then + 1
            values = f"UPDATE SET {deletion_values(protection)}"
            work.edits.replace(tokens.starts[action], tokens.ends[action], values)
    if softened:
        _refuse_stamping_by_hand(merge, protection)
        answer_merge(work, reference, protection)


def _guard_clause(work: Work, place: _Clause, predicate: str) -> None:
    tokens = work.tokens
    if place.condition is None:
        work.edits.insert(tokens.ends[place.then - 1], f" AND {predicate}", CLAUSE)
        return
    work.edits.insert(tokens.starts[place.condition + 1], f"{predicate} AND (", CLAUSE)
    work.edits.insert(tokens.ends[place.then - 1], ")", CLAUSE)


def _refuse_stamping_by_hand(merge: Node, protection: Protection) -> None:
    # What an UPDATE action stamps itself could not be told from a DELETE in RETURNING.
    if "returningClause" not in merge:
        return
    for item in merge["mergeWhenClauses"]:
        clause = item["MergeWhenClause"]
        names = {target["ResTarget"].get("name") for target in clause.get("targetList", [])}
        if clause["commandType"] == "CMD_UPDATE" and protection.column in names:
            raise StatementRefused(
                f'MERGE on protected table "{protection.label}" that deletes rows, sets "{protection.column}" '
                "by hand and has a RETURNING list",
                hint="Leave the deletion column to DELETE, or leave RETURNING out.",
            )


def _places(tokens: Tokens, start: int, expected: int) -> tuple[int, list[_Clause]]:
    """Return the token index of the MERGE's own ON, the last before its WHEN clauses, and those clauses."""
    marks = list(_marks(tokens, start))
    whens = [place for place, (index, name) in enumerate(marks) if name == "WHEN"]
    if len(whens) != expected or not whens:
        raise Uncertain
    ons = [index for index, name in marks[: whens[0]] if name == "ON"]
    if not ons:
        raise Uncertain
    clauses = []
    for number, place in enumerate(whens):
        stop = whens[number + 1] if number + 1 < len(whens) else len(marks)
        inside = marks[place + 1 : stop]
        then = next((index for index, name in inside if name == "THEN"), None)
        if then is None:
            raise Uncertain
        condition = next((index for index, name in inside if name == "AND" and index < then), None)
        clauses.append(_Clause(marks[place][0], condition, then))
    return ons[-1], clauses


def _marks(tokens: Tokens, start: int) -> list[tuple[int, str]]:
    """Return the words that structure a MERGE, at its own depth of parens and outside CASE ... END."""
    found: list[tuple[int, str]] = []
    depth = cases = 0
    for index in range(start, len(tokens)):
        name = tokens.names[index]
        if name in OPEN:
            depth += 1
        elif name in CLOSE:
            depth -= 1
            if depth < 0:
                break
        elif depth == 0 and tokens.name(index - 1) != "ASCII_46":
            if name == "CASE":
                cases += 1
            elif name == "END_P" and cases:
                cases -= 1
            elif name in {"ASCII_59", "RETURNING"}:
                break
            elif name in {"ON", "WHEN", "THEN", "AND"} and not cases:
                found.append((index, name))
    return found
