"""The tokens of a text with their places, and the walk along one paren depth that finds clause ends.

Offsets: the parser's are UTF-8 bytes, the scanner's are characters with an inclusive end. Here all are
characters, half open, as Python slices. Must not know policies or trees.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property

from pglast.parser import ParseError, scan

from pgsoftproxy.errors import StatementRefused

COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})
STRINGS = frozenset({"SCONST", "USCONST", "BCONST", "XCONST"})
OPEN = frozenset({"ASCII_40", "ASCII_91"})
CLOSE = frozenset({"ASCII_41", "ASCII_93"})
LPAREN, RPAREN, DOT, STAR, COMMA, SEMICOLON = (
    "ASCII_40",
    "ASCII_41",
    "ASCII_46",
    "ASCII_42",
    "ASCII_44",
    "ASCII_59",
)

# All reserved: none can be a name or alias without quotes, so at one paren depth each ends a FROM list.
AFTER_FROM = frozenset(
    "WHERE GROUP_P HAVING WINDOW UNION INTERSECT EXCEPT ORDER LIMIT OFFSET FETCH FOR RETURNING".split()
)
NOT_BEFORE_LIST = frozenset({"DISTINCT", "ROWS", DOT})
AFTER_WHERE = AFTER_FROM - {"WHERE"}


class Uncertain(Exception):
    """A clause's end cannot be told from the tokens; the caller uses a form that needs no end."""


class Tokens:
    """The tokens of one text without comments, as parallel lists."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        try:
            scanned = scan(sql)
        except ParseError:
            raise StatementRefused("statement cannot be split into tokens", sqlstate="42601") from None
        self.starts = [start for start, _, _, _ in scanned]
        self.ends = [last + 1 for _, last, _, _ in scanned]
        self.names = [name for _, _, name, _ in scanned]
        self.comments: list[tuple[int, int]] = []
        if not COMMENTS.isdisjoint(self.names):
            self._set_comments_apart()
        # For each non-ASCII character: byte offset just past it, and bytes beyond characters up to there.
        self._byte_marks: list[int] = []
        self._extra: list[int] = []
        if not sql.isascii():
            self._index_bytes()

    def _set_comments_apart(self) -> None:
        parts = list(zip(self.starts, self.ends, self.names, strict=True))
        self.comments = [(start, end) for start, end, name in parts if name in COMMENTS]
        kept = [part for part in parts if part[2] not in COMMENTS]
        self.starts = [start for start, _, _ in kept]
        self.ends = [end for _, end, _ in kept]
        self.names = [name for _, _, name in kept]

    def _index_bytes(self) -> None:
        extra = 0
        for index, character in enumerate(self.sql):
            if character > "\x7f":
                width = len(character.encode())
                extra += width - 1
                self._byte_marks.append(index + extra + 1)
                self._extra.append(extra)

    @cached_property
    def guard_prefix(self) -> str:
        """Return how an alias can begin that occurs nowhere in the text but in string constants."""
        prefix = "_sd"
        while prefix in self.sql and any(prefix in word for word in self._words()):
            prefix += "_"
        return prefix

    def _words(self) -> Iterator[str]:
        for name, start, end in zip(self.names, self.starts, self.ends, strict=True):
            if name not in STRINGS:
                yield self.sql[start:end]

    def __len__(self) -> int:
        return len(self.names)

    def characters(self, location: int) -> int:
        """Turn a byte offset of the parser into a character offset."""
        index = bisect_right(self._byte_marks, location)
        return location - self._extra[index - 1] if index else location

    def at(self, location: int) -> int:
        """Return the index of the token that starts at a byte offset of the parser.

        Raises StatementRefused if none does: then the text cannot be edited safely.
        """
        offset = self.characters(location)
        index = bisect_left(self.starts, offset)
        if location < 0 or index == len(self.starts) or self.starts[index] != offset:
            raise StatementRefused("statement names a protected table in a place that cannot be located")
        return index

    def name(self, index: int) -> str:
        """Return a token's name, or an empty string past either end."""
        return self.names[index] if 0 <= index < len(self.names) else ""

    def text(self, first: int, last: int) -> str:
        """Return the text from one token through another."""
        return self.sql[self.starts[first] : self.ends[last]]

    def closing(self, opening: int) -> int:
        """Return the index of the paren that closes the one at `opening`."""
        depth = 0
        for index in range(opening, len(self.names)):
            if self.names[index] in OPEN:
                depth += 1
            elif self.names[index] in CLOSE:
                depth -= 1
                if depth == 0:
                    return index
        raise Uncertain

    def identifier_end(self, index: int) -> int:
        """Return the index of the last token of one identifier: `U&"..." UESCAPE '!'` has three."""
        return index + 2 if self.name(index) == "UIDENT" and self.name(index + 1) == "UESCAPE" else index

    def qualified_end(self, index: int) -> int:
        """Return the index of the last token of a dotted name that starts at `index`."""
        index = self.identifier_end(index)
        while self.name(index + 1) == DOT:
            index = self.identifier_end(index + 2)
        return index

    def from_before(self, index: int) -> int:
        """Return the index behind the FROM in whose list a token stands; raises Uncertain if there is none.

        Expressions that have a FROM of their own have it in parentheses, but for IS DISTINCT FROM. ROWS FROM begins an
        item of the list; where ROWS is the name of a column instead, SELECT comes next.
        """
        closed = 0
        for at in range(index - 1, -1, -1):
            name = self.names[at]
            if name in CLOSE:
                closed += 1
            elif name in OPEN:
                closed = max(0, closed - 1)  # joins may be in parentheses
            elif closed:
                continue
            elif name == "SELECT":
                break
            elif name == "FROM" and self.name(at - 1) not in NOT_BEFORE_LIST:
                return at + 1
        raise Uncertain

    def find(self, start: int, stops: frozenset[str]) -> int:
        """Return the index of the first token from `start` on, at its paren depth, that ends a clause.

        Ends are the names in `stops`, an unmatched closing paren, a semicolon, the text's end, and the
        words of an enclosing statement (ON CONFLICT, WITH NO DATA). Raises Uncertain where a word could be
        either part of an expression or the next clause.
        """
        depth = 0
        index = start
        while index < len(self.names):
            name = self.names[index]
            if name in OPEN:
                depth += 1
            elif name in CLOSE:
                if depth == 0:
                    return index
                depth -= 1
            elif depth == 0 and self.name(index - 1) != DOT and self._ends(index, name, stops):
                return index
            index += 1
        return index

    def _ends(self, index: int, name: str, stops: frozenset[str]) -> bool:
        following = self.name(index + 1)
        if name == SEMICOLON:
            return True
        if name == "ON":
            return following == "CONFLICT"
        if name == "WITH":
            if following in {"NO", "DATA_P", "CHECK", "CASCADED", "LOCAL"}:
                return True
            if following in {"TIME", "ORDINALITY", "UNIQUE", "WITHOUT"}:
                return False
            raise Uncertain
        if name == "GROUP_P" and self.name(index - 1) == "WITHIN":
            return False
        if name == "FROM" and self.name(index - 1) == "DISTINCT":
            return False
        if name == "INTO":
            raise Uncertain
        return name in stops
