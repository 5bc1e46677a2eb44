"""The format of tests/cases/*.sql: hand-written statements and what is expected of them.

Knows text only, no servers. A file is a list of cases, each opened by `-- case: a sentence` and holding one or
more messages, separated by a line `-- next`. Directives stand between the title and the first SQL line; those
before the first case hold for the whole file.

    -- expect: agree            rows, columns, tag and error as on the twin (the default)
    -- expect: error 42703      agree, and what they agree on is this error
    -- expect: any              agree, be it on an error
    -- expect: refused 0A000    the proxy answers the last message with this; the twin is not asked
    -- compare: status          only that both succeed or fail alike (EXPLAIN, random values)
    -- origins: ignored         columns may come from another table than on the twin (views are expanded)
    -- against: full            the other side is the full database, asked directly; canaries may show
    -- protocol: simple         simple | extended | both (the default)
    -- order: yes               rows in order; without it as a multiset, unless ORDER BY is at the top level
    -- path: app, public        search_path, set before the case
    -- role: oracle_clerk       who connects (default: the owner)
    -- bind: ["1", null]        parameters of every message; implies protocol: extended
    -- setup: SQL               sent first, on both sides, as a simple query
    -- state: live              after DDL: compare live rows only, deleted ones have other columns now
    -- state: revived           deleted rows may have become live ones
    -- transaction: none        no BEGIN ... ROLLBACK around the case
    -- escapes: yes             \\r, \\f, \\v and \\t in the SQL stand for these characters
    -- min-version: 17          server versions that can run it (also max-version)

After a message, a line `-- copy: text` adds a line of COPY FROM STDIN data (JSON string escapes when quoted), and
`-- direct:` is followed by what the other side is sent in its place.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

KEYS = frozenset(
    """
    expect compare origins against protocol order path role bind setup state transaction escapes
    min-version max-version
    """.split()
)
CASES_DIRECTORY = Path(__file__).parent.parent / "cases"


class CaseError(Exception):
    """A case file that does not follow the format."""


@dataclass(frozen=True, slots=True)
class Message:
    """One text that the client sends; `direct` is what the other side gets if that is not the same."""

    sql: str
    copy_in: bytes | None = None
    direct: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One case with its directives."""

    file: str
    name: str
    line: int
    messages: tuple[Message, ...]
    directives: dict[str, str] = field(default_factory=dict)
    setup: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Return what pytest shows."""
        return f"{self.file}: {self.name}"

    @property
    def refused(self) -> str | None:
        """Return the SQLSTATE that the proxy must refuse the last message with."""
        return self._expected("refused")

    @property
    def fails(self) -> str | None:
        """Return the SQLSTATE that both sides must fail with."""
        return self._expected("error")

    @property
    def protocols(self) -> tuple[str, ...]:
        """Return the protocols to send the case by."""
        chosen = "extended" if "bind" in self.directives else self.directives.get("protocol", "both")
        return ("simple", "extended") if chosen == "both" else (chosen,)

    @property
    def parameters(self) -> tuple[str | None, ...]:
        """Return the values to bind."""
        return tuple(json.loads(self.directives.get("bind", "[]")))

    def runs_on(self, version: int) -> bool:
        """Tell whether a server of this major version is asked."""
        low = int(self.directives.get("min-version", "0"))
        return low <= version <= int(self.directives.get("max-version", "99"))

    def _expected(self, kind: str) -> str | None:
        word, _, state = self.directives.get("expect", "agree").partition(" ")
        return state if word == kind else None


def load_cases(directory: Path = CASES_DIRECTORY) -> list[Case]:
    """Return every case of the directory, in the order of file names and lines."""
    paths = sorted(path for path in directory.glob("*.sql") if path.name != "schema.sql")
    cases = [case for path in paths for case in parse_cases(path.stem, path.read_text())]
    ids = [case.id for case in cases]
    doubles = {name for name in ids if ids.count(name) > 1}
    if doubles:
        raise CaseError(f"two cases of one name: {sorted(doubles)}")
    return cases


def parse_cases(file: str, text: str) -> Iterator[Case]:
    """Yield the cases of one file's text."""
    head, *blocks = ("\n" + text).split("\n-- case: ")
    defaults, setup, rest = _directives(head.split("\n"))
    if any(line.strip() and not line.startswith("--") for line in rest):
        raise CaseError(f"{file}: SQL before the first case")
    line = head.count("\n") + 1
    for block in blocks:
        name, *lines = block.split("\n")
        own, own_setup, body = _directives(lines)
        yield _case(Case(file, name.strip(), line, (), {**defaults, **own}, (*setup, *own_setup)), body)
        line += len(lines) + 1


def _directives(lines: list[str]) -> tuple[dict[str, str], list[str], list[str]]:
    found: dict[str, str] = {}
    setup: list[str] = []
    for index, line in enumerate(lines):
        key, colon, value = line.removeprefix("-- ").partition(":")
        if line.startswith("-- ") and colon and key in KEYS:
            if key == "setup":
                setup.append(value.strip())
            else:
                found[key] = value.strip()
        elif line.strip() and not line.startswith("-- #"):
            return found, setup, lines[index:]
    return found, setup, []


def _case(case: Case, body: list[str]) -> Case:
    messages = []
    sent: list[str] = []
    direct: list[str] | None = None
    copied: list[str] = []
    for line in [*body, "-- next"]:
        if line == "-- next":
            texts = [_text(part, case) for part in (sent, direct or [])]
            data = "".join(copied).encode() if copied else None
            messages.append(Message(texts[0], data, texts[1] if direct is not None else None))
            sent, direct, copied = [], None, []
        elif line == "-- direct:":
            direct = []
        elif line.startswith("-- copy:"):
            value = line.removeprefix("-- copy:").strip()
            copied.append(json.loads(value) if value.startswith('"') else value + "\n")
        else:
            (sent if direct is None else direct).append(line)
    if not any(message.sql for message in messages):
        raise CaseError(f"{case.file}: no SQL in the case {case.name!r}")
    return Case(case.file, case.name, case.line, tuple(messages), case.directives, case.setup)


def _text(lines: list[str], case: Case) -> str:
    text = "\n".join(lines).strip("\n")
    if case.directives.get("escapes") == "yes":
        for escape, character in ((r"\r", "\r"), (r"\f", "\f"), (r"\v", "\v"), (r"\t", "\t")):
            text = text.replace(escape, character)
    return text
