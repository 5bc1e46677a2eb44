"""One client text: its tokens, and where each of its statements stands. Must not know what statements mean."""

from bisect import bisect_left

from pgsoftproxy.rewrite.edits import EditList, apply_edits
from pgsoftproxy.rewrite.rules.read_directives import INTRODUCTION
from pgsoftproxy.rewrite.tokens import SEMICOLON, Tokens
from pgsoftproxy.rewrite.tree import Node


class Text:
    """One client text with its tokens, which are scanned only where they are needed."""

    def __init__(self, sql: str, *, alone: bool = False) -> None:
        self.sql = sql
        self.alone = alone
        """Whether it is of one statement."""
        self.has_directives = INTRODUCTION in sql.lower()
        """Whether a comment of the text may hold a directive."""
        self.proven: str | None = None
        """What is sent for the whole text, if that was asked for."""
        self._tokens: Tokens | None = None

    @property
    def tokens(self) -> Tokens:
        """Return the tokens of the text."""
        if self._tokens is None:
            self._tokens = Tokens(self.sql)
        return self._tokens

    def span(self, raw: Node) -> tuple[int, int]:
        """Return the first and last token of a raw statement, without the semicolon."""
        tokens = self.tokens
        location, length = int(raw.get("stmt_location", 0)), int(raw.get("stmt_len", 0))
        end = tokens.characters(location + length) if length else len(self.sql)
        first = bisect_left(tokens.starts, tokens.characters(location))
        last = bisect_left(tokens.starts, end) - 1
        while tokens.names[first] == SEMICOLON:
            first += 1
        while tokens.names[last] == SEMICOLON:
            last -= 1
        return first, last

    def sent(self, raw: Node, edits: EditList) -> str:
        """Return what is sent for one statement of the text, alone."""
        if self.alone:
            self.proven = apply_edits(self.sql, edits.edits(self.sql))
            return self.proven
        first, last = self.span(raw)
        start, end = self.tokens.starts[first], self.tokens.ends[last]
        return apply_edits(self.sql, edits.edits(self.sql), start, end)
