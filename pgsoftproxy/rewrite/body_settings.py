"""Find in the tokens of a body what it may change of the variables that decide what a name means.

Knows tokens only. Errs on the side of a change: whoever asks then holds names in doubt, which is safe.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pgsoftproxy.model.effects import Variable
from pgsoftproxy.model.names import fold
from pgsoftproxy.rewrite.tokens import COMMA, LPAREN

NAMING: Final = frozenset({Variable.SEARCH_PATH, Variable.USER, Variable.ENCODING})
"""The variables that the meaning of names and texts depends on; ENCODING stands for all that the lexer goes by."""
ROUGHLY: Final = frozenset({"search_path", "set_config", "role", "authorization", "schema"})
"""Words that count in a text that cannot be split into tokens."""
REPLICATION_ROLE: Final = "session_replication_role"
"""The setting that turns triggers off."""
_EQUALS: Final = "ASCII_61"
_STARTS: Final = frozenset({"", ";", "begin", "then", "else", "loop"})
"""What a statement of a body can follow; a SET behind anything else is that of an UPDATE."""


def changes_in(text: str, tokens: Sequence[Any]) -> Iterator[Variable]:
    """Yield the variables that a text may change: by SET, RESET or set_config()."""
    words = [fold(text[token.start : token.end + 1].strip('"')) for token in tokens]
    for index, word in enumerate(words):
        if word == "search_path":
            yield Variable.SEARCH_PATH
        elif word == "session_authorization":
            yield Variable.USER
        elif word in {"client_encoding", "standard_conforming_strings"}:
            yield Variable.ENCODING
        elif word == "set_config" and not _sets_by_name(tokens, index):
            yield from NAMING
        elif word in {"set", "reset"}:
            yield from _set(words, tokens, index)


def disarms(text: str, tokens: Sequence[Any]) -> bool:
    """Tell whether a text changes session_replication_role: by SET, RESET or set_config(). To read it does no harm."""
    words = [fold(text[token.start : token.end + 1].strip("\"'")) for token in tokens]
    for index, word in enumerate(words):
        if REPLICATION_ROLE in word:  # a literal may be quoted in many ways
            before = [one for one in words[max(index - 3, 0) : index] if one not in {"local", "session"}]
            if before[-1:] in (["set"], ["reset"]) or before[-2:] == ["set_config", "("]:
                return True
    return False


def _sets_by_name(tokens: Sequence[Any], index: int) -> bool:
    """Tell whether set_config() is given its name as a literal, which is a word of the body like any other."""
    return [token.name for token in tokens[index + 1 : index + 4]] == [LPAREN, "SCONST", COMMA]


def _set(words: Sequence[str], tokens: Sequence[Any], index: int) -> Iterator[Variable]:
    rest = list(words[index + 1 : index + 4])
    while rest and rest[0] in {"local", "session"}:
        rest = rest[1:]
    what, after = rest[0] if rest else "", rest[1] if len(rest) > 1 else ""
    if words[index] == "reset" and what == "all":
        yield from (Variable.SEARCH_PATH, Variable.ENCODING)
    elif what == "names":
        yield Variable.ENCODING
    elif what == "authorization":
        yield Variable.USER
    elif what == "schema" and after[:1] == "'":
        yield Variable.SEARCH_PATH
    elif what == "role" and (after not in {"=", ","} or (words[index - 1] if index else "") in _STARTS):
        yield Variable.USER
