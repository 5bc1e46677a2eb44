"""Collect edits of a text and apply them. Knows offsets, nothing of SQL's meaning."""

from typing import NamedTuple

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.rewrite.plan import Edit

# At one offset: what closes or follows an inner item comes before what closes or follows an outer one.
ITEM, ASSIGNMENT, CLAUSE = 0, 1, 2


class _Placed(NamedTuple):
    start: int
    rank: int
    end: int
    text: str


class EditList:
    """Edits in any order, deduplicated: a multi-assignment repeats its sub-select in the parse tree."""

    def __init__(self) -> None:
        self._placed: set[_Placed] = set()
        self._ordered: tuple[str, int, tuple[Edit, ...]] = ("", 0, ())

    def __bool__(self) -> bool:
        return bool(self._placed)

    def insert(self, at: int, text: str, rank: int = ITEM) -> None:
        """Insert text at a character offset."""
        self._placed.add(_Placed(at, rank, at, text))

    def replace(self, start: int, end: int, text: str) -> None:
        """Replace a range; insertions at its start come before it."""
        self._placed.add(_Placed(start, CLAUSE + 1, end, text))

    def update(self, other: "EditList") -> None:
        """Take over the edits of another list."""
        self._placed |= other._placed

    def edits(self, sql: str) -> tuple[Edit, ...]:
        """Return the edits of a text in ascending order; raises StatementRefused where two overlap."""
        if self._ordered[:2] == (sql, len(self._placed)):  # asked again: edits are never taken back
            return self._ordered[2]
        ordered = sorted(self._placed)
        reached = 0
        for edit in ordered:
            if edit.start < reached:
                raise StatementRefused("statement cannot be rewritten: its parts overlap")
            reached = max(reached, edit.end)
        edits = tuple([Edit(edit.start, edit.end, _spaced(edit, sql)) for edit in ordered])
        self._ordered = (sql, len(ordered), edits)
        return edits


def _spaced(edit: _Placed, sql: str) -> str:
    """Return the edit's text, kept apart from a word that the client wrote right beside it, as in `WHERE(a)`."""
    text = edit.text
    if text and _is_word(text[0]) and edit.start > 0 and _is_word(sql[edit.start - 1]):
        text = " " + text
    if text and _is_word(text[-1]) and edit.end < len(sql) and _is_word(sql[edit.end]):
        text += " "
    return text


def _is_word(character: str) -> bool:
    return character.isalnum() or character in "_$\"'" or character > "\x7f"


def apply_edits(sql: str, edits: tuple[Edit, ...], at: int = 0, end: int | None = None) -> str:
    """Return the text, or its part from `at` to `end`, with ascending, non-overlapping edits of it applied."""
    parts: list[str] = []
    for edit in edits:
        parts.append(sql[at : edit.start])
        parts.append(edit.text)
        at = edit.end
    parts.append(sql[at:end])
    return "".join(parts)
