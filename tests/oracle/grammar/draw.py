"""Where the random choices of one statement are made, and which constructs it has come to use."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random
from typing import TypeVar

from tests.oracle.grammar.constructs import CONSTRUCTS
from tests.oracle.grammar.vocabulary import Made, Scope

Item = TypeVar("Item")
PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
MOST_RELATIONS = 7
"""In one statement, sub-selects included: what a planner and two cores stand a hundred times a second."""
MOST_CROSSED = 2


class Draw(ABC):
    """Draw from a random source for one statement; subclasses say what."""

    def __init__(self, random: Random, version: int) -> None:
        self.random = random
        self.version = version
        self.used: set[str] = set()
        self.relations = MOST_RELATIONS
        self.crossed = MOST_CROSSED
        self.parameters: list[str] | None = None
        self.ctes: dict[str, dict[str, str]] = {}
        self.written: set[str] = set()
        self.named_bare: set[str] = set()
        self.shadowed: set[str] = set()
        self.aliases = 0
        self.nesting = 0
        self.combining = 0

    def use(self, construct: str) -> None:
        """Note that the statement has a construct."""
        assert construct in CONSTRUCTS, construct
        self.used.add(construct)

    def has(self, construct: str) -> bool:
        """Tell whether the server's version knows a construct."""
        return CONSTRUCTS[construct] <= self.version

    def chance(self, probability: float) -> bool:
        """Return true with a probability."""
        return self.random.random() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        """Return one of the items."""
        return items[int(self.random.random() * len(items))]

    def weighted(self, items: Sequence[tuple[float, Item]]) -> Item:
        """Return one of the items, the heavier ones more often."""
        at = self.random.random() * sum(weight for weight, _ in items)
        for weight, item in items:
            at -= weight
            if at < 0:
                return item
        return items[-1][1]

    def alias(self, outer: Scope = ()) -> str:
        """Return a name that no other source of the statement has, or that one further out has: it is hidden then."""
        if outer and self.chance(0.08):
            free = [source.alias for source in outer if source.alias and source.alias not in self.shadowed]
            if free:
                self.use("name that hides an outer one")
                self.shadowed.add(found := self.pick(free))
                return found
        self.aliases += 1
        return f"{self.pick('tqr')}{self.aliases}"

    def spell(self, name: str) -> str:
        """Return an identifier in one of the ways that it may be written."""
        if self.chance(0.93) or not PLAIN_NAME.fullmatch(name):
            return name
        style = self.pick(("quoted name", "upper-case name", "unicode-escaped name"))
        self.use(style)
        if style == "quoted name":
            return f'"{name}"'
        if style == "upper-case name":
            return name.upper()
        return f'U&"\\{ord(name[0]):04X}{name[1:]}"'

    def inside(self, outer: Scope, sources: Scope) -> Scope:
        """Return what is in scope below a FROM list: its sources, and of those further out what they do not hide."""
        hidden = {source.alias for source in sources if source.alias} & self.shadowed
        if hidden:
            outer = tuple(
                source for source in outer if source.alias not in hidden and not source.covers & hidden
            )
        return (*outer, *sources)

    @abstractmethod
    def sub_select(self, depth: int, outer: Scope, kinds: tuple[str, ...] = ()) -> Made:
        """Return a query whose columns x0, x1, ... have these types, or any; `outer` may be referred to."""
