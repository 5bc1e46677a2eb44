"""Cut literals and comments out of a SQL text: what is left is its shape, which texts that differ in these alone share.

Exact or not at all: whatever the server's lexer could read in another way than this one has no shape. Must not know
plans, nor what a literal means where it stands.

Theory. The server splits a text into tokens from left to right. Up to a literal, two texts of one shape are the same;
what stands before it is whole tokens, none of which could go on into a number or a quote; and the literal ends where
nothing that follows could go on with it. So both texts have the same tokens, but for the values of literals of one
class, and hence the same parse tree, but for those values. standard_conforming_strings is on by the session's rule.
A comment of the bracketed kind is cut out like a literal: tracing puts another one into every text. One that may hold a
directive stays.
"""

import re
from collections.abc import Iterator

_WORD = r"A-Za-z0-9_$\u0080-\U0010ffff"
_SPACE = r" \t\n\r\f"
"""White space of every version of the server; to some a vertical tab is one too, so a text with it has no shape."""
_MARKS = r"\x00-\x08"
"""Characters that stand for literals in a shape, and so occur in nothing else of it."""

_PARTS = (
    # A name or keyword, but none that a quote follows: E'', B'', X'', N'', U&'' and U&"" are read in other ways.
    rf"[A-Za-z_\u0080-\U0010ffff][{_WORD}]*+(?!&?['\"])",
    rf"[{_SPACE}+*<>=~!@#%^&|`?:,()\[\];]++",
    r"-(?!-)",
    r"/(?!\*)",
    r"\.(?![0-9])",
    rf'"(?:[^"{_MARKS}]|"")*+"',
    rf"\$[0-9]++(?![{_WORD}.'\"])",
    rf"--[^\n\r{_MARKS}]*+",
)
_NUMBER_END = rf"(?![{_WORD}.'\"])"
_STRING_END = rf"(?![{_SPACE}]*+(?:'|--))"
"""A string goes on in the next one behind a line break, and a comment may stand between the two."""
_LITERALS = (
    # Of type integer, bigint and numeric. What lies between the ranges is left out: nobody counts on it being cached.
    rf"((?:[0-9]{{1,9}}|1[0-9]{{9}}|20[0-9]{{8}}){_NUMBER_END})",
    rf"((?:2[2-9][0-9]{{8}}|[3-9][0-9]{{9}}|[1-9][0-9]{{10,17}}){_NUMBER_END})",
    rf"([0-9]++\.[0-9]++{_NUMBER_END})",
    rf"('(?:[^'\x00]|'')*+'{_STRING_END})",
    # As drivers write what has backslashes in it, each of them doubled; other escapes may be wrong ones.
    rf"([eE]'(?:[^'\\\x00]|''|\\\\)*+'{_STRING_END})",
    rf"(/\*(?:[^*/{_MARKS}]|\*(?!/)|/(?!\*))*+\*/)",  # none within another
)
_OWN = "pgsoftproxy"
# Always matches, and the last group takes all that the others could not, so the work grows with the length alone.
_PIECE = re.compile(rf"((?:{'|'.join(_PARTS)})*+)(?:{'|'.join(_LITERALS)}|\Z|([\s\S]++))")


def read_shape(sql: str) -> tuple[str, list[str]] | None:
    """Return a text's shape and its literals, comments among them, in their order; None if it has neither."""
    parts: list[str] = []
    literals: list[str] = []
    for gap, integer, bigint, numeric, string, escaped, comment, rest in _PIECE.findall(sql):
        parts.append(gap)
        if integer:
            parts.append("\1")
            literals.append(integer)
        elif string:
            parts.append("\4")
            literals.append(string)
        elif rest:
            return None
        elif numeric:
            parts.append("\3")
            literals.append(numeric)
        elif bigint:
            parts.append("\2")
            literals.append(bigint)
        elif escaped:
            parts.append("\5")
            literals.append(escaped)
        elif comment:
            if is_own(comment):
                parts.append(comment)
            else:
                parts.append("\6")
                literals.append(comment)
    return ("".join(parts), literals) if literals else None


def is_own(comment: str) -> bool:
    """Tell whether a comment may say something to the proxy, so that the plan may depend on it."""
    return _OWN in comment.lower()


def is_comment(literal: str) -> bool:
    """Tell what of a shape's literals is none, but a comment."""
    return literal.startswith("/*")


def literal_spans(sql: str) -> Iterator[tuple[int, int]]:
    """Yield where the literals, and comments, of a text that has a shape begin and end."""
    for match in _PIECE.finditer(sql):
        begin, end = match.end(1), match.end()
        if begin < end and not (is_comment(sql[begin : begin + 2]) and is_own(sql[begin:end])):
            yield begin, end
