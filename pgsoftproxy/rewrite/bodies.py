"""Read the body of a routine or DO block as words: which names it holds, and whether it runs SQL from text.

Knows tokens only: not policies, nor which of the words mean a relation. Words inside string literals count, for
EXECUTE may run them; those in comments do not. Errs on the side of too many words.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pglast.parser import ParseError, scan

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.effects import Variable
from pgsoftproxy.model.names import NAME_BYTES, cut, fold
from pgsoftproxy.rewrite.body_settings import NAMING, REPLICATION_ROLE, ROUGHLY, changes_in, disarms
from pgsoftproxy.rewrite.tokens import COMMENTS, DOT, LPAREN
from pgsoftproxy.rewrite.tree import Node, constant, parse, strings, walk

DEEPEST = 8
"""Strings in strings beyond this are read as words without an order."""
OPERATES = frozenset({"Op", "COLLATE", "ASCII_40", "TYPECAST", "ASCII_91"})
"""After a literal: it is only a part of the text that is run."""
NAMES_ROUTINE = frozenset({"ON", "FUNCTION", "PROCEDURE", "ASCII_44"})
"""After EXECUTE: a trigger's function or a privilege, not a text to run."""
_WORD = re.compile(r"\w+")
_STATEMENT = re.compile(r"\s*(do|create)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Word:
    """One identifier as the server folds it. `called`: a parenthesis follows; `qualifier`: what stands before a dot."""

    name: str
    qualifier: str | None = None
    called: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """The distinct words of a body, whether it runs a text that it puts together, and what it may change by SET.

    `disarms`: it may turn triggers off.
    """

    words: frozenset[Word]
    runs_text: bool = False
    changes: frozenset[Variable] = frozenset()
    disarms: bool = False


def read_body(text: str, language: str) -> Body:
    """Return the words of a body in SQL or PL/pgSQL."""
    reader = _Reader()
    reader.read(text, 0, dynamic=language == "plpgsql")
    return Body(frozenset(reader.words), reader.runs_text, frozenset(reader.changes), reader.disarms)


class _Reader:
    def __init__(self) -> None:
        self.words: set[Word] = set()
        self.changes: set[Variable] = set()
        self.runs_text = False
        self.disarms = False

    def read(self, text: str, depth: int, *, dynamic: bool) -> None:
        """Add the words of a text; with `dynamic`, EXECUTE in it runs text."""
        try:
            tokens = [token for token in scan(text) if token.name not in COMMENTS]
        except (ParseError, UnicodeEncodeError):
            self._read_roughly(text, dynamic)
            return
        self.changes.update(changes_in(text, tokens))
        self.disarms = self.disarms or disarms(text, tokens)
        for index, token in enumerate(tokens):
            after = tokens[index + 1].name if index + 1 < len(tokens) else ""
            source = text[token.start : token.end + 1]
            if token.name in {"SCONST", "USCONST", "XCONST", "BCONST"}:
                self._literal(_value(text, tokens, index), depth, dynamic=dynamic and depth > 0)
            elif dynamic and token.name == "EXECUTE":
                self.runs_text = self.runs_text or _runs_text(tokens, index)
            elif token.name == "UIDENT" or source[0] == '"' or source[0].isalpha() or source[0] == "_":
                qualifier = _qualifier(text, tokens, index)
                name = cut(_value(text, tokens, index))
                self.words.add(Word(name, qualifier, after == LPAREN))

    def _literal(self, value: str, depth: int, *, dynamic: bool) -> None:
        if len(value) <= NAME_BYTES:
            self.words.add(Word(value))  # for quote_ident and format('%I')
        if depth >= DEEPEST:
            self._read_roughly(value, dynamic=True)
        else:
            # A message may say "execute"; a DO or CREATE that is run may hold a body that does.
            self.read(value, depth + 1, dynamic=dynamic or bool(_STATEMENT.match(value)))

    def _read_roughly(self, text: str, dynamic: bool) -> None:
        # What cannot be split into tokens: every word may be a name, folded or not, and may be called.
        found = set(_WORD.findall(text))
        self.words.update(Word(name, None, True) for word in found for name in (word, fold(word)))
        self.words.update(Word(part.replace('""', '"'), None, True) for part in text.split('"'))
        folded = {word.lower() for word in found}
        self.changes.update(variable for variable in NAMING if folded & ROUGHLY)
        self.runs_text = self.runs_text or (dynamic and "execute" in folded)
        self.disarms = self.disarms or REPLICATION_ROLE in folded


def _runs_text(tokens: list[Any], index: int) -> bool:
    """Tell whether EXECUTE runs more than one literal, whose words are read anyway."""
    names = [token.name for token in tokens[index + 1 : index + 3]]
    if not names or names[0] in NAMES_ROUTINE:
        return False
    return names[0] != "SCONST" or (len(names) > 1 and names[1] in OPERATES)


def _qualifier(text: str, tokens: list[Any], index: int) -> str | None:
    if index < 2 or tokens[index - 1].name != DOT:
        return None
    return cut(_value(text, tokens, index - 2))


def _value(text: str, tokens: list[Any], index: int) -> str:
    """Return what a name or literal stands for."""
    token = tokens[index]
    source: str = text[token.start : token.end + 1]
    if token.name in {"UIDENT", "USCONST"} or (source[:1] in {"e", "E"} and source[1:2] == "'"):
        escape = ""
        if [t.name for t in tokens[index + 1 : index + 3]] == ["UESCAPE", "SCONST"]:
            escape = " UESCAPE " + text[tokens[index + 2].start : tokens[index + 2].end + 1]
        return _parsed(source + escape)
    if source[:1] == '"':
        return source[1:-1].replace('""', '"')
    if source[:1] == "'":
        return source[1:-1].replace("''", "'")
    if source[:1] == "$" and token.name == "SCONST":
        mark = source.index("$", 1) + 1
        return source[mark:-mark]
    return fold(source)


def _parsed(source: str) -> str:
    # The parser knows the rules of escapes; what it does not take is read as it stands.
    try:
        statement = parse(f"SELECT {source}")[0]["stmt"]
    except (StatementRefused, IndexError):
        return source
    for node in walk(statement):
        if "A_Const" in node:
            value = constant(node)
            return value if isinstance(value, str) else source
        if "ColumnRef" in node:
            return strings(node["ColumnRef"]["fields"])[0]
    return source


def definition_of(statement: Node) -> Iterator[tuple[str, str | None]]:
    """Yield language and text of the body of a CREATE FUNCTION or DO statement; None is a body without text."""
    language, texts = "", []
    for item in (*statement.get("options", ()), *statement.get("args", ())):
        element = item.get("DefElem", {})
        if element.get("defname") == "language":
            language = strings([element["arg"]])[0].lower()
        elif element.get("defname") == "as":
            texts = [child["String"].get("sval", "") for child in walk(element["arg"]) if "String" in child]
    if texts:
        yield from ((language or "plpgsql", text) for text in texts)
    else:
        yield language or "sql", None
