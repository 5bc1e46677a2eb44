"""Where each key of a TOML text stands: key path to line number.

tomllib keeps no positions, so this scanner walks the text a second time. It only ever sees text that tomllib
has accepted, hence it checks nothing: it finds the ends of keys and values. Must not know what keys mean.
"""

import re
import tomllib
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_PART = r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\[\s\S])*?"{3,5}(?!")'
    r"|'''[\s\S]*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


def split_key(text: str) -> tuple[str, ...]:
    """Split a dotted key as TOML does; ValueError if it is not one.

    >>> split_key('tables."app.users".mode')
    ('tables', 'app.users', 'mode')
    """
    if KEY.fullmatch(text) is None:
        raise ValueError(f"not a key: {text}")
    node: object = tomllib.loads(f"{text} = 0")
    parts: list[str] = []
    while isinstance(node, dict):
        part = next(iter(node))
        parts.append(part)
        node = node[part]
    return tuple(parts)


def join_key(path: Path) -> str:
    """Write a key path as TOML does, quoted where it must be.

    >>> join_key(("tables", "app.users", "mode"))
    'tables."app.users".mode'
    """
    return ".".join(part if _BARE.fullmatch(part) else f'"{_escaped(part)}"' for part in map(str, path))


def _escaped(part: str) -> str:
    return part.replace("\\", "\\\\").replace('"', '\\"')


def key_lines(text: str) -> dict[Path, int]:
    """Map the path of every key, and of every array element, to the 1-based line where it first stands."""
    return _Scanner(text.replace("\r\n", "\n")).scan()


@dataclass(slots=True)
class _Scanner:
    text: str
    at: int = 0
    lines: dict[Path, int] = field(default_factory=dict)
    _counted: tuple[int, int] = (0, 1)

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while not self._skip(_BLANK):
            if self.text[self.at] == "[":
                double = self.text.startswith("[[", self.at)
                self.at += 2 if double else 1
                table = self._key(())
                self.at = self.text.index("]", self.at) + (2 if double else 1)
            else:
                self._pair(table)
        return self.lines

    def _pair(self, table: Path) -> None:
        path = self._key(table)
        self.at = self.text.index("=", self.at) + 1
        self._value(path)

    def _key(self, table: Path) -> Path:
        self._skip(_SPACE)
        match = KEY.match(self.text, self.at)
        assert match is not None, "tomllib accepted this text"
        path = (*table, *split_key(match.group()))
        for length in range(len(table) + 1, len(path) + 1):
            self.lines.setdefault(path[:length], self._line())
        self.at = match.end()
        return path

    def _value(self, path: Path) -> None:
        self._skip(_SPACE)
        first = self.text[self.at]
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        elif first in "\"'":
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        self._skip(_BLANK)
        while self.text[self.at] != "]":
            self.lines.setdefault((*path, index), self._line())
            self._value((*path, index))
            index += 1
            self._next_item()
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        self._skip(_BLANK)
        while self.text[self.at] != "}":
            self._pair(path)
            self._next_item()
        self.at += 1

    def _next_item(self) -> None:
        self._skip(_BLANK)
        if self.text[self.at] == ",":
            self.at += 1
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Skip what matches; tell whether that was the end of the text."""
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return self.at >= len(self.text)

    def _line(self) -> int:
        # Counts on from the last line asked for: the scan only moves forward.
        offset, line = self._counted
        line += self.text.count("\n", offset, self.at)
        self._counted = (self.at, line)
        return line
