"""Read a Dockerfile strictly: only the instructions that ours uses, none of them passed over.

Must not run anything.
"""

import json
import re
import shlex
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "Dockerfile"
_FROM = re.compile(r"(\S+)(?: AS (\w+))?")
_HEALTHCHECK = re.compile(r"((?:--[\w-]+=\S+\s+)*)CMD (.*)", re.DOTALL)


class Keyword(Enum):
    """The instructions that are understood."""

    FROM = "FROM"
    ENV = "ENV"
    LABEL = "LABEL"
    WORKDIR = "WORKDIR"
    COPY = "COPY"
    RUN = "RUN"
    USER = "USER"
    EXPOSE = "EXPOSE"
    STOPSIGNAL = "STOPSIGNAL"
    HEALTHCHECK = "HEALTHCHECK"
    ENTRYPOINT = "ENTRYPOINT"
    CMD = "CMD"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its keyword, and the rest with continued lines joined."""

    keyword: Keyword
    text: str

    def words(self) -> list[str]:
        """Return the words, as of COPY and EXPOSE."""
        return self.text.split()

    def pairs(self) -> dict[str, str]:
        """Return what ENV or LABEL sets."""
        words = (word.partition("=") for word in shlex.split(self.text))
        return {name: value for name, _, value in words}

    def command(self) -> list[str]:
        """Return the program and its arguments, which must be in the form that needs no shell."""
        text = self.text
        if self.keyword is Keyword.HEALTHCHECK:
            match = _HEALTHCHECK.fullmatch(text)
            assert match is not None, text
            text = match[2]
        words: list[str] = json.loads(text)
        return words


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM and what follows it."""

    base: str
    name: str | None
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, keyword: Keyword) -> list[Instruction]:
        """Return the instructions of one kind."""
        return [one for one in self.instructions if one.keyword is keyword]

    def last(self, keyword: Keyword) -> Instruction:
        """Return the instruction that counts where there may be several."""
        return self.all(keyword)[-1]


def stages(text: str) -> list[Stage]:
    """Return the stages of a Dockerfile. Raises ValueError for an instruction that is not known."""
    found: list[Stage] = []
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", " ", kept).splitlines():
        if not line.strip():
            continue
        word, _, rest = line.strip().partition(" ")
        keyword = Keyword(word)
        if keyword is Keyword.FROM:
            match = _FROM.fullmatch(rest)
            assert match is not None, line
            found.append(Stage(match[1], match[2]))
        else:
            found[-1].instructions.append(Instruction(keyword, rest.strip()))
    return found
