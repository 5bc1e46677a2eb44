"""Upsert policy `revive`: a deleted row that holds the key becomes the row that INSERT would have made.

Every column is assigned by a CASE on the row that was met: of a live one the client's own expression, or what
the column holds; of a deleted one EXCLUDED's, which has defaults and BEFORE INSERT triggers in it. Generated
columns are computed anew. What cannot be written like that is an obstacle, and the upsert then fails instead.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.catalog import Catalog, Column, ForeignKey, KeyAction, UniqueIndex
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.rewrite.edits import ASSIGNMENT, CLAUSE
from pgsoftproxy.rewrite.plan import ErrorTranslation
from pgsoftproxy.rewrite.predicates import is_live, quote_identifier
from pgsoftproxy.rewrite.tokens import COMMA, LPAREN, RPAREN, Uncertain
from pgsoftproxy.rewrite.tree import Node
from pgsoftproxy.rewrite.work import Work

KEEPING = frozenset({KeyAction.NO_ACTION, KeyAction.RESTRICT})
ITEM_END = frozenset({COMMA, "WHERE", "RETURNING"})
EQUALS = "ASCII_61"


@dataclass(frozen=True, slots=True)
class Meeting:
    """An upsert that may meet a deleted row: its clause, the row's name in it, and the indexes that tell of it.

    `arbiters` None: they cannot be told.
    """

    clause: Node
    qualifier: str
    protection: Protection
    arbiters: list[UniqueIndex] | None

    @property
    def live(self) -> str:
        """Return the predicate that the row which was met is live."""
        column = f"{self.qualifier}.{quote_identifier(self.protection.column)}"
        return is_live(column, self.protection)

    @property
    def key(self) -> frozenset[str | None]:
        """Return the columns that surely are the same in the row which was met and in the new one."""
        keys = [set(index.columns) for index in self.arbiters or ()]
        return frozenset(set.intersection(*keys)) if keys else frozenset()

    def assigned(self, column: str, value: str) -> str:
        """Return the value of a column: the given one in a live row, INSERT's own in a deleted one."""
        return f"CASE WHEN {self.live} THEN {value} ELSE excluded.{quote_identifier(column)} END"


def obstacle(meeting: Meeting, columns: tuple[Column, ...], catalog: Catalog) -> str | None:
    """Tell why a deleted row that this upsert meets cannot be revived, None if it can."""
    key = meeting.key
    for column in columns:
        if column.identity_always and column.name not in key:
            return f'column "{column.name}" is GENERATED ALWAYS AS IDENTITY'
    for foreign in _referring(meeting, catalog):
        if foreign.on_update not in KEEPING:
            return f'its key would change, and "{foreign.name}" would change the rows that refer to it'
    known = {column.name: column for column in columns}
    for item in meeting.clause.get("targetList", []):
        reason = _item_obstacle(item["ResTarget"], known)
        if reason is not None:
            return f"{reason} cannot be told apart for it"
    return None


def revive_row(work: Work, meeting: Meeting, do: int, columns: tuple[Column, ...]) -> None:
    """Have an upsert bring back the deleted row that it meets; `do` is the token index of its DO."""
    tokens = work.tokens
    untouched = [c for c in columns if not c.generated and not c.identity_always]
    if meeting.clause["action"] == "ONCONFLICT_UPDATE":
        end = _wrap_items(work, meeting, do + 3, {column.name: column for column in columns})
        named = {item["ResTarget"]["name"] for item in meeting.clause["targetList"]}
        rest = [column for column in untouched if column.name not in named]
        text = "".join(f", {_kept(meeting, column)}" for column in rest)
        work.edits.insert(tokens.ends[end - 1], text, CLAUSE)
        return
    assignments = ", ".join(_kept(meeting, column) for column in untouched)
    text = f"UPDATE SET {assignments} WHERE CASE WHEN {meeting.live} THEN false ELSE true END"
    work.edits.replace(tokens.starts[do + 1], tokens.ends[do + 1], text)


def failures(meeting: Meeting, catalog: Catalog) -> Iterator[ErrorTranslation]:
    """Yield what to say for the server errors that only a revival brings about."""
    label = meeting.protection.label
    types = Refusal(
        "42804",
        f'values of an upsert on table "{label}", which revives deleted rows, differ in type from their columns',
        hint='Cast each value of SET to its column\'s type, or set upsert = "error" for the table.',
    )
    yield ErrorTranslation("42804", "CASE types", types)
    yield ErrorTranslation("42804", "UNION types", types)
    keys = list(_referring(meeting, catalog))
    if keys:
        referred = Refusal(
            "23503",
            f'the key of a row in table "{label}" cannot be changed: other rows refer to it',
            hint="A deleted row is revived with the key that the new row would have.",
        )
        for marker in ("update or delete on table", *(f'"{foreign.name}"' for foreign in keys)):
            yield ErrorTranslation("23503", marker, referred)
            yield ErrorTranslation("23001", marker, referred)


def _referring(meeting: Meeting, catalog: Catalog) -> Iterator[ForeignKey]:
    """Yield the foreign keys to columns of the table that a revival may change."""
    oid = meeting.protection.relation.oid
    family = {oid, *catalog.ancestors(oid)}
    for foreign in catalog.foreign_keys:
        if foreign.references in family and not meeting.key.issuperset(foreign.referenced_columns):
            yield foreign


def _item_obstacle(target: Node, known: dict[str, Column]) -> str | None:
    name, value = target["name"], target["val"]
    column = known.get(name)
    if "indirection" in target:
        return f'the assignment to a part of "{name}"'
    if column is None or column.identity_always:
        return f'the assignment to "{name}"'
    if "MultiAssignRef" in value:
        source = value["MultiAssignRef"]["source"]
        if "SubLink" in source:
            return None
        if "RowExpr" not in source:
            return f'the row assigned to "{name}"'
        arguments = source["RowExpr"].get("args", [])
        place = value["MultiAssignRef"]["colno"] - 1
        if len(arguments) != value["MultiAssignRef"]["ncolumns"]:
            return f'the row assigned to "{name}"'
        value = arguments[place]
    if "SetToDefault" in value and _default(column) is None:
        return f'the default of "{name}"'
    return None


def _default(column: Column) -> str | None:
    """Return a column's default as SQL text, empty where it is computed; None where it is not known."""
    if column.generated:
        return ""
    if column.default is not None:
        return f"({column.default})"
    is_own_type = "." in column.type_name or '"' in column.type_name  # maybe a domain with a default
    return None if column.identity or is_own_type else "NULL"


def _kept(meeting: Meeting, column: Column) -> str:
    name = quote_identifier(column.name)
    return f"{name} = {meeting.assigned(column.name, f'{meeting.qualifier}.{name}')}"


def _wrap_items(work: Work, meeting: Meeting, start: int, known: dict[str, Column]) -> int:
    """Wrap each assignment from token `start` on in a CASE; return the index of the token after the last."""
    tokens = work.tokens
    targets = [item["ResTarget"] for item in meeting.clause["targetList"]]
    at, place = start, 0
    while place < len(targets):
        several = "MultiAssignRef" in targets[place]["val"]
        count = targets[place]["val"]["MultiAssignRef"]["ncolumns"] if several else 1
        names = [target["name"] for target in targets[place : place + count]]
        first = (tokens.closing(at) if several else tokens.identifier_end(at)) + 2
        if tokens.name(first - 1) != EQUALS:
            raise Uncertain
        end = tokens.find(first, ITEM_END)
        place += count
        if (tokens.name(end) == COMMA) != (place < len(targets)):
            raise Uncertain
        if not several:
            _wrap(work, meeting, known[names[0]], (first, end))
        elif "SubLink" in targets[place - 1]["val"]["MultiAssignRef"]["source"]:
            _wrap_query(work, meeting, names, (first, end))
        else:
            _wrap_row(work, meeting, [known[name] for name in names], first)
        at = end + 1
    return end


def _wrap(work: Work, meeting: Meeting, column: Column, span: tuple[int, int]) -> None:
    tokens, (first, end) = work.tokens, span
    if tokens.name(first) == "DEFAULT" and end == first + 1:
        default = _default(column)
        if default:
            text = meeting.assigned(column.name, default)
            work.edits.replace(tokens.starts[first], tokens.ends[first], text)
        return
    name = quote_identifier(column.name)
    work.edits.insert(tokens.starts[first], f"CASE WHEN {meeting.live} THEN (", ASSIGNMENT)
    work.edits.insert(tokens.ends[end - 1], f") ELSE excluded.{name} END", ASSIGNMENT)


def _wrap_row(work: Work, meeting: Meeting, columns: list[Column], first: int) -> None:
    tokens = work.tokens
    at = first + (tokens.name(first) == "ROW") + 1
    for column in columns:
        end = tokens.find(at, ITEM_END)
        if tokens.name(end) != (RPAREN if column is columns[-1] else COMMA):
            raise Uncertain
        _wrap(work, meeting, column, (at, end))
        at = end + 1


def _wrap_query(work: Work, meeting: Meeting, names: list[str], span: tuple[int, int]) -> None:
    # Two arms, of which a one-time filter lets one run: the client's own sub-select never sees a deleted row.
    tokens, (first, end) = work.tokens, span
    if tokens.name(first) != LPAREN or tokens.closing(first) != end - 1:
        raise Uncertain
    alias = work.guard_name()
    new = ", ".join(f"excluded.{quote_identifier(name)}" for name in names)
    closing = f" AS {alias} WHERE {meeting.live} UNION ALL SELECT {new} WHERE NOT ({meeting.live}))"
    work.edits.insert(tokens.starts[first], f"(SELECT {alias}.* FROM ", ASSIGNMENT)
    work.edits.insert(tokens.ends[end - 1], closing, ASSIGNMENT)
