"""Texts of one shape: other literals put into a text, and what the rewriter makes of it compared with its template."""

import re
from collections import Counter
from dataclasses import dataclass
from random import Random

from pglast.parser import ParseError, scan

from pgsoftproxy.model.context import Context
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.rewrite.shapes import literal_spans, read_shape
from pgsoftproxy.rewrite.templates import Template, make_template

INTEGERS = ("0", "7", "000000000", "42", "999999999", "1000000000", "1999999999", "2099999999")
BIGINTS = ("2200000000", "3000000000", "9999999999", "10000000000", "123456789012345678")
NUMERICS = ("0.0", "1.5", "007.50", "99999999999999999999.25")
STRINGS = (
    "", "x", "it''s", "''", "--", "/*", "*/", "/* pgsoftproxy: visibility=all */", "$$", "$1", "_sd1", "_sd", "_sd_2",
    'a"b', "é", "漢😀", "1", "users", "app.users", "search_path", "a\nb", "\t;", "NULL", "pgsoftproxy_key_held ",
    "\u00a0", "\x01\x04", "e''", "x" * 200, "2026-01-01", "(", "))", ";DELETE FROM users",
)  # fmt: skip
PLAIN = tuple(f"'{text}'" for text in (*STRINGS, "\\", "\\''", "a\\b"))
ESCAPED = tuple(f"{letter}'{text}'" for letter in "eE" for text in (*STRINGS, "\\\\", "\\\\''"))
COMMENTS = (
    "/**/", "/***/", "/*/ */", "/* 1 */", "/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/",
    "/* ' */", '/*"*/', "/*--*/", "/*\n*/", "/* é漢 */", "/* _sd */", "/*+ SeqScan(users) */",
    "/* ; DELETE FROM users */",
    "/*" + "x" * 200 + "*/", "/*$$*/", "/*\\*/",
)  # fmt: skip
CLASSES = {
    re.compile(r"[0-9]{1,9}|1[0-9]{9}|20[0-9]{8}"): INTEGERS,
    re.compile(r"[0-9]+"): BIGINTS,
    re.compile(r"[0-9.]+"): NUMERICS,
    re.compile(r"'.*", re.DOTALL): PLAIN,
    re.compile(r"[eE]'.*", re.DOTALL): ESCAPED,
    re.compile(r"/\*.*", re.DOTALL): COMMENTS,
}


def another(literal: str, random: Random) -> str:
    """Return another literal of the same class."""
    return random.choice(next(found for form, found in CLASSES.items() if form.fullmatch(literal)))


def with_literals(sql: str, literals: list[str]) -> str:
    """Return a text that has a shape with other literals in it."""
    parts, at = [], 0
    for (begin, end), literal in zip(literal_spans(sql), literals, strict=True):
        parts += [sql[at:begin], literal]
        at = end
    return "".join([*parts, sql[at:]])


def token_names(sql: str) -> list[str] | None:
    """Return what the server's own scanner sees in a text, None if it raises an error."""
    try:
        return [token.name for token in scan(sql)]
    except ParseError:
        return None


@dataclass(frozen=True, slots=True)
class Ground:
    """By what texts are planned, and a count of what came of them."""

    policy: Policy
    context: Context
    random: Random
    counts: Counter[str]

    def try_text(self, sql: str, variants: int = 1) -> None:
        """Plan texts of one shape by its template, and each by itself: assert that they come out the same."""
        read = read_shape(sql)
        if read is None:
            self.counts["no shape"] += 1
            return
        template = make_template(sql, rewrite(sql, self.policy, self.context))
        if template is None:
            self.counts["no template"] += 1
            return
        self.counts["pinned" if template.pins else "free"] += 1
        for _ in range(variants):
            self._try_variant(sql, read[1], template)

    def _try_variant(self, sql: str, literals: list[str], template: Template) -> None:
        given = list(literals)
        for place in template.free:
            given[place] = another(literals[place], self.random)
        text = with_literals(sql, given)
        read, first = read_shape(text), read_shape(sql)
        assert read is not None and first is not None
        assert (read[0], read[1]) == (first[0], given), text
        expected = rewrite(text, self.policy, self.context)
        assert template.fill(given) == expected, (sql, text)
        made = make_template(text, expected)
        assert made is not None
        assert (made.free, made.pins) == (template.free, template.pins), (sql, text)
        self.counts[type(expected).__name__] += 1
