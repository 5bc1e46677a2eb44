"""Read the values of tracked variables as PostgreSQL and this project write them, and print them again.

Used by the session (startup options) and the rewriter (SET); knows neither.
"""

import re
from datetime import datetime

from pgsoftproxy.model.context import DeleteMode, Visibility, VisibilityMode
from pgsoftproxy.model.names import cut, fold

_VISIBILITY = re.compile(
    r"\s*(?P<mode>live|all|deleted|as_of)(?:\s+(?P<as_of>[0-9][0-9T:.+\-Z ]*?))?(?:\s+for\s+(?P<tables>.+?))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_SPACES = " \t\n\r\f"
"""What scanner_isspace takes for white space in every version, no more: others may be part of a name."""
_IDENTIFIER = re.compile(rf'[{_SPACES}]*(?:"((?:[^"]|"")*)"|([^\s",.]+))[{_SPACES}]*')


def parse_visibility(text: str) -> Visibility:
    """Read `live | all | deleted | as_of <ISO 8601 timestamp> [for table, ...]`; raise ValueError otherwise.

    A table is `name` or `schema.name`, quoted where PostgreSQL would want quotes.
    """
    match = _VISIBILITY.fullmatch(text)
    if match is None:
        raise ValueError(f'invalid visibility: "{text}"')
    mode = VisibilityMode(match["mode"].lower())
    stamp = match["as_of"]
    if (mode is VisibilityMode.AS_OF) != (stamp is not None):
        raise ValueError(f'invalid visibility: "{text}" (as_of, and nothing else, takes a timestamp)')
    if stamp is not None:
        try:
            stamp = datetime.fromisoformat(stamp.strip()).isoformat()
        except ValueError:
            raise ValueError(f'invalid timestamp in visibility: "{stamp}"') from None
    tables = frozenset(_tables(match["tables"])) if match["tables"] else frozenset[tuple[str, str]]()
    return Visibility(mode, stamp, tables)


def format_visibility(visibility: Visibility) -> str:
    """Print a visibility so that `parse_visibility` reads it back."""
    words = [visibility.mode.value]
    if visibility.as_of is not None:
        words.append(visibility.as_of)
    if visibility.tables:
        names = sorted(
            ".".join('"' + part.replace('"', '""') + '"' for part in pair if part)
            for pair in visibility.tables
        )
        words.append("for " + ", ".join(names))
    return " ".join(words)


def parse_delete_mode(text: str) -> DeleteMode:
    """Read `soft | hard`; raise ValueError otherwise."""
    try:
        return DeleteMode(text.strip().lower())
    except ValueError:
        raise ValueError(f'invalid delete mode: "{text}" (soft or hard)') from None


def parse_search_path(text: str) -> tuple[str, ...]:
    """Read a search_path string by the rules of SplitIdentifierString; raise ValueError if the server would."""
    if not text.strip(_SPACES):
        return ()
    names: list[str] = []
    at = 0
    while True:
        match = _IDENTIFIER.match(text, at)
        if match is None:
            raise ValueError(f'invalid search_path: "{text}"')
        quoted, bare = match.groups()
        names.append(cut(quoted.replace('""', '"') if quoted is not None else fold(bare)))
        at = match.end()
        if at == len(text):
            return tuple(name for name in names if name)
        if text[at] != ",":
            raise ValueError(f'invalid search_path: "{text}"')
        at += 1


def _tables(text: str) -> list[tuple[str, str]]:
    tables: list[tuple[str, str]] = []
    at = 0
    while True:
        parts: list[str] = []
        while True:
            match = _IDENTIFIER.match(text, at)
            if match is None:
                raise ValueError(f'invalid table list in visibility: "{text}"')
            quoted, bare = match.groups()
            parts.append(cut(quoted.replace('""', '"') if quoted is not None else fold(bare)))
            at = match.end()
            if at == len(text) or text[at] != ".":
                break
            at += 1
        if len(parts) > 2:
            raise ValueError(f'invalid table list in visibility: "{text}"')
        tables.append((parts[0], parts[1]) if len(parts) == 2 else ("", parts[0]))
        if at == len(text):
            return tables
        if text[at] != ",":
            raise ValueError(f'invalid table list in visibility: "{text}"')
        at += 1
