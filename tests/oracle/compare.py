"""What it means for two answers to agree. Pure: values in, a list of differences out."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from pglast.parser import ParseError, parse_sql_json

from tests.oracle.client import Answer, Column, Result

CANARY = b"CANARY-9d41"
CANARY_IN_HEX = CANARY.hex().encode()
"""How bytea output shows the canary."""

BINARY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
BUILT_IN = 16384
"""Oids from here on are handed out by the server, and may differ between two databases."""

StateRow = tuple[str, bool, str]


@dataclass(frozen=True, slots=True)
class Naming:
    """Look up what an oid of either side stands for."""

    proxied: Callable[[str, int], str]
    direct: Callable[[str, int], str]


class Origins(Enum):
    """What a column's origin may be: the twin's, that or none, anything."""

    EQUAL = "equal"
    EQUAL_OR_NONE = "equal or none"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Terms:
    """How strict to be with the order of rows and with the origins (table and number) of columns."""

    naming: Naming
    ordered: bool = False
    origins: Origins = Origins.EQUAL


def is_ordered(sql: str) -> bool:
    """Tell whether the last statement of a text fixes the order of its rows."""
    try:
        statements = json.loads(parse_sql_json(sql))["stmts"]
    except (ParseError, KeyError):
        return False
    statement = statements[-1]["stmt"] if statements else {}
    if "DeclareCursorStmt" in statement:
        statement = statement["DeclareCursorStmt"]["query"]
    return "sortClause" in statement.get("SelectStmt", {})


def answer_differences(proxied: Answer, direct: Answer, terms: Terms) -> list[str]:
    """Return one line for each way in which the proxy's answer is not the direct one."""
    found: list[str] = []
    if len(proxied.results) != len(direct.results):
        shown = [[r.tag or r.error for r in a.results] for a in (proxied, direct)]
        return [f"answers to {len(proxied.results)} statements, not {len(direct.results)}: {shown}"]
    for one, other in zip(proxied.results, direct.results, strict=True):
        found += _result_differences(one, other, terms)
    if proxied.notices != direct.notices:
        found.append(f"notices {proxied.notices}, not {direct.notices}")
    if proxied.status != direct.status:
        found.append(f"transaction status {proxied.status}, not {direct.status}")
    if proxied.error and proxied.parameter_types is None:
        return found  # a Parse that fails describes nothing; PostgreSQL may find the same error later
    found += _types_differ(proxied.parameter_types, direct.parameter_types, terms.naming)
    return found


def status_differences(proxied: Answer, direct: Answer) -> list[str]:
    """Return what differs when only success, failure and SQLSTATE count."""
    states = [[r.error["C"] if r.error else "ok" for r in answer.results] for answer in (proxied, direct)]
    if states[0] != states[1] or proxied.status != direct.status:
        return [
            f"{states[0]} {proxied.status}, not {states[1]} {direct.status}: {proxied.error or direct.error}"
        ]
    return []


def leaks(raw: bytes) -> list[str]:
    """Return where the canary shows in what the client received."""
    found = []
    for needle in (CANARY, CANARY_IN_HEX):
        at = raw.find(needle)
        if at >= 0:
            found.append(f"a deleted value reached the client: ...{raw[max(0, at - 60) : at + 40]!r}...")
    return found


def state_differences(before: list[StateRow], full: list[StateRow], twin: list[StateRow]) -> list[str]:
    """Return how the databases differ after a case: in live rows, or in rows that are physically gone."""
    live_full, live_twin = (Counter(row for row in rows if row[1]) for rows in (full, twin))
    found = [f"only in full: {row[0]} {row[2]}" for row in live_full - live_twin]
    found += [f"only in twin: {row[0]} {row[2]}" for row in live_twin - live_full]
    return found + state_losses(before, full)


def revival_differences(before: list[StateRow], full: list[StateRow], twin: list[StateRow]) -> list[str]:
    """Return how live rows differ, and what became of deleted rows besides that some are live now."""
    new = newly_deleted(before, full)
    found = state_differences([], full, twin) + [f"newly deleted: {row}" for row in new]
    gone = Counter(row[0] for row in before) - Counter(row[0] for row in full)
    return found + [f"rows are gone from {name}" for name in gone]


def state_losses(before: list[StateRow], full: list[StateRow]) -> list[str]:
    """Return which deleted rows were changed, and whether rows of protected tables are gone."""
    dead_before, dead_full = (Counter(row for row in rows if not row[1]) for rows in (before, full))
    found = [f"a deleted row was changed: {row[0]} {row[2]}" for row in dead_before - dead_full]
    # Together, because an UPDATE may move a row from one partition to another.
    protected = {row[0] for row in before if not row[1]}
    counts = [sum(row[0] in protected for row in rows) for rows in (before, full)]
    if counts[1] < counts[0]:
        found.append(f"protected tables have {counts[1]} rows, had {counts[0]}")
    return found


def newly_deleted(before: list[StateRow], after: list[StateRow]) -> list[tuple[str, dict[str, object]]]:
    """Return the rows that are deleted now and were not before, with their relation."""
    old = Counter(row for row in before if not row[1])
    new = Counter(row for row in after if not row[1])
    return [(row[0], json.loads(row[2])) for row in (new - old).elements()]


def _result_differences(one: Result, other: Result, terms: Terms) -> list[str]:
    if one.error or other.error:
        return _error_differences(one.error, other.error)
    found = []
    if one.tag != other.tag:
        found.append(f"tag {one.tag!r}, not {other.tag!r}")
    found += _column_differences(one.columns, other.columns, terms)
    found += _row_differences(one.rows, other.rows, terms.ordered)
    found += _row_differences(_copied(one), _copied(other), terms.ordered)
    if one.copy_format != other.copy_format:
        found.append(f"COPY format {one.copy_format}, not {other.copy_format}")
    return found


def _copied(result: Result) -> list[bytes]:
    """Return the pieces of COPY data; the header of the binary format comes together with the first row."""
    return [piece.removeprefix(BINARY_HEADER) for piece in result.copied]


def _error_differences(one: dict[str, str] | None, other: dict[str, str] | None) -> list[str]:
    if one is None or other is None:
        return [
            f"{'error ' + str(one) if one else 'no error'}, not {'error ' + str(other) if other else 'success'}"
        ]
    # The position is part of it: it must point into the client's own text.
    return [
        f"error field {key}: {one.get(key)!r}, not {other.get(key)!r}"
        for key in "SVCMP"
        if one.get(key) != other.get(key)
    ]


def _row_differences(one: Iterable[object], other: Iterable[object], ordered: bool) -> list[str]:
    left, right = list(one), list(other)
    if ordered and left != right:
        return [f"rows {left}, not {right}"]
    extra, missing = Counter(left) - Counter(right), Counter(right) - Counter(left)
    found = [f"rows that should not be: {list(extra.elements())}"] if extra else []
    return found + ([f"rows that are missing: {list(missing.elements())}"] if missing else [])


def _column_differences(
    one: tuple[Column, ...] | None, other: tuple[Column, ...] | None, terms: Terms
) -> list[str]:
    if one is None or other is None or len(one) != len(other):
        return [] if one == other else [f"columns {one}, not {other}"]
    found = []
    for left, right in zip(one, other, strict=True):
        kept = [(c.name, c.modifier, c.format) for c in (left, right)]
        if kept[0] != kept[1]:
            found.append(f"column {left}, not {right}")
        found += _oid_differs("regtype", left.type, right.type, terms.naming)
        lost = terms.origins is Origins.EQUAL_OR_NONE and (left.table, left.number) == (0, 0)
        if terms.origins is not Origins.IGNORED and not lost:
            found += [] if left.number == right.number else [f"column number {left}, not {right}"]
            found += _oid_differs("regclass", left.table, right.table, terms.naming)
    return found


def _types_differ(one: tuple[int, ...] | None, other: tuple[int, ...] | None, naming: Naming) -> list[str]:
    if one is None or other is None or len(one) != len(other):
        return [] if one == other else [f"parameter types {one}, not {other}"]
    pairs = zip(one, other, strict=True)
    return [line for left, right in pairs for line in _oid_differs("regtype", left, right, naming)]


def _oid_differs(kind: str, one: int, other: int, naming: Naming) -> list[str]:
    if one == other:
        return []
    names = [str(one), str(other)]
    if min(one, other) >= BUILT_IN:
        names = [naming.proxied(kind, one), naming.direct(kind, other)]
    return [] if names[0] == names[1] else [f"{kind} {names[0]}, not {names[1]}"]
