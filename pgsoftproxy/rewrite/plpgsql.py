"""Take a PL/pgSQL body apart into the SQL that it runs, with the parser's own PL/pgSQL reader.

That reader knows no types but the server's own, and needs a whole CREATE FUNCTION: one is put together here from the
signature. What it cannot read, or what nests so deep that it may die of it, is None: read its words instead.
Must not know policies.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pglast.parser import ParseError, parse_plpgsql_json, scan

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.evidence import Signature
from pgsoftproxy.model.names import fold
from pgsoftproxy.rewrite.tree import Node, constant, parse

MARK = "$pgsoftproxy$"
LONGEST = 200_000
DEEPEST = 200
"""Of blocks in blocks, counted by their first words, and of parentheses: far from where a stack would end."""
OPENS = frozenset({"BEGIN_P", "IF_P", "CASE", "ASCII_40", "ASCII_91"})
LOOPS = frozenset({"loop", "while", "for", "foreach"})
STATEMENT, EXPRESSION = 0, 2
"""Parse modes of the server (RawParseMode); those above are assignments, `target := expression`."""
OUTS = {"o": "OUT", "b": "INOUT", "t": "OUT", "v": "IN", "i": "IN"}
PSEUDO = {"void": "void", "trigger": "trigger", "event_trigger": "event_trigger"}


@dataclass(frozen=True, slots=True)
class Code:
    """The SQL of a body: statements as trees, and texts of expressions whose value is run as SQL."""

    statements: tuple[Node, ...] = ()
    computed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """One piece of SQL of a body, as it stands there but for its INTO; `dynamic`: its value is run as SQL."""

    query: str
    mode: int
    dynamic: bool = False

    def runnable(self) -> tuple[str, tuple[int, int]]:
        """Return it as a statement, and which place of that is which of the query."""
        if self.mode == STATEMENT:
            return self.query, (0, 0)
        start = 0
        if self.mode != EXPRESSION:
            # `a[i] := expression`: a target may hold subscripts, which are expressions too, but no sub-select.
            places = [place for place in (self.query.find(":="), self.query.find("=")) if place >= 0]
            if places:
                start = len(self.query) - len(self.query[min(places) :].lstrip(":="))
        return f"SELECT {self.query[start:]}", (len("SELECT "), start)

    @property
    def literal(self) -> str | None:
        """Return the value of a dynamic text that is one literal. Raises StatementRefused."""
        (tree,) = parse(f"SELECT {self.query}")
        targets = tree["stmt"]["SelectStmt"].get("targetList", [])
        value = targets[0].get("ResTarget", {}).get("val", {}) if len(targets) == 1 else {}
        text = constant(value) if "A_Const" in value else None
        return text if isinstance(text, str) else None


def read_code(body: str, signature: Signature) -> Code | None:
    """Return what a body runs, None if it cannot be told."""
    texts = read_texts(body, signature)
    if texts is None:
        return None
    statements: list[Node] = []
    computed: list[str] = []
    for text in texts:
        try:
            run = text.literal if text.dynamic else text.runnable()[0]
            if run is None:
                computed.append(text.query)
            else:
                statements.extend(statement["stmt"] for statement in parse(run))
        except StatementRefused:
            return None
    return Code(tuple(statements), tuple(computed))


def read_texts(body: str, signature: Signature) -> tuple[Text, ...] | None:
    """Return each piece of SQL of a body, None if it cannot be told."""
    found = _parsed(body, signature, "text") or _parsed(body, signature, "record")
    if found is None:
        return None
    return tuple(
        Text(query, mode, key in {"dynquery", "dynamic"}) for key, query, mode in _expressions(found)
    )


def _parsed(body: str, signature: Signature, unknown: str) -> Any:
    """Return the reader's tree with `unknown` in the place of types of users; the one reads what the other does not."""
    plain = _simplified(body, unknown) if len(body) <= LONGEST else None
    if plain is None or MARK in plain:
        return None
    try:
        return json.loads(parse_plpgsql_json(f"{_head(signature)} LANGUAGE plpgsql AS {MARK}{plain}{MARK}"))
    except (ParseError, UnicodeError, ValueError, RecursionError):
        return None


def _expressions(root: Any) -> Iterator[tuple[str, str, int]]:
    """Yield each expression below a function: the key it stands under ("dynamic" for EXECUTE), text, parse mode."""
    todo: list[tuple[str, Any]] = [("", root)]
    while todo:
        key, node = todo.pop()
        if isinstance(node, list):
            todo.extend((key, item) for item in node)
        elif isinstance(node, dict):
            if "PLpgSQL_expr" in node:
                found = node["PLpgSQL_expr"]
                yield key, found.get("query", ""), found.get("parseMode", STATEMENT)
                continue
            for name, value in node.items():
                if name in {"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"}:
                    todo.extend(
                        ("dynamic" if part == "query" else part, below) for part, below in value.items()
                    )
                else:
                    todo.append((name, value))


def _head(signature: Signature) -> str:
    listed = []
    outs = 0
    for place, (name, mode, is_row) in enumerate(signature.arguments):
        outs += mode in {"o", "b", "t"}
        quoted = '"' + (name or f"pgsoftproxy_{place}").replace('"', '""') + '"'
        kind = "record" if is_row and mode == "i" else "text"
        listed.append(f"{OUTS.get(mode, 'IN')} {quoted} {kind}")
    arguments = f"({', '.join(listed)})"
    if signature.procedure:
        return f"CREATE PROCEDURE pgsoftproxy_read{arguments}"
    value = "record" if outs > 1 else PSEUDO.get(signature.returns, "text")
    if signature.returns_set:
        value = f"SETOF {'record' if outs != 1 else 'text'}"
    return f"CREATE FUNCTION pgsoftproxy_read{arguments} RETURNS {value}"


def _simplified(body: str, unknown: str) -> str | None:
    """Return a body with types that the reader does not know put in words that it does; None if it nests too deep.

    `schema.table%ROWTYPE`, `table%ROWTYPE`, `schema.table.column%TYPE`, `schema.type` in a DECLARE: what they are makes
    no difference to the SQL.
    """
    try:
        tokens = list(scan(body))
    except (ParseError, UnicodeEncodeError):
        return None
    words = [body[token.start : token.end + 1] for token in tokens]
    deep = sum(
        token.name in OPENS or word.lower() in LOOPS for token, word in zip(tokens, words, strict=True)
    )
    if deep > DEEPEST * 10 or _nesting(words) > DEEPEST:
        return None
    parts, done = [], 0
    for first, last, put in sorted((*_referenced_types(words), *_declared_types(words, unknown))):
        parts += [body[done : tokens[first].start], put]
        done = tokens[last].end + 1
    return "".join([*parts, body[done:]])


def _referenced_types(words: list[str]) -> Iterator[tuple[int, int, str]]:
    """Yield the first and the last word of each %ROWTYPE and %TYPE of a table, and what to put there."""
    for place, word in enumerate(words[:-1]):
        after = fold(words[place + 1])
        if word != "%" or after not in {"rowtype", "type"} or place == 0:
            continue
        first = place - 1
        while first >= 2 and words[first - 1] == ".":
            first -= 2
        if first < place - 1 or after == "rowtype":  # else the type of a variable
            yield first, place + 1, "record" if after == "rowtype" else "text"


def _declared_types(words: list[str], unknown: str) -> Iterator[tuple[int, int, str]]:
    """Yield likewise the types with a schema of the variables that are declared."""
    declares = False
    for place, word in enumerate(words):
        folded = fold(word)
        declares = folded == "declare" or (declares and folded != "begin")
        after = fold(words[place + 1]) if place + 1 < len(words) else "begin"
        if not declares or (folded != "declare" and word != ";") or after == "begin":
            continue
        first = place + (3 if words[place + 2 : place + 3] in (["constant"], ["CONSTANT"]) else 2)
        if words[first + 1 : first + 2] == ["."] and words[first + 3 : first + 4] not in (["%"], ["."]):
            yield first, first + 2, unknown


def _nesting(words: list[str]) -> int:
    depth = deepest = 0
    for word in words:
        depth += (word in {"(", "["}) - (word in {")", "]"})
        deepest = max(deepest, depth)
    return deepest
