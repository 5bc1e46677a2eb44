"""Rounds: how many, how long, and in which order everyone has a turn. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is asked of each contender: rounds, seconds of each run, and the share of the usual sizes."""

    rounds: int
    seconds: int
    share: float = 1.0

    def size(self, full: int) -> int:
        """Return how many rows, sessions or the like are asked for."""
        return max(1, int(full * self.share))


def interleaved(rounds: int, tasks: Sequence[T]) -> Iterator[T]:
    """Yield all tasks in each round, each round beginning with the next one: none is always the first."""
    for number in range(rounds):
        shift = number % len(tasks)
        yield from (*tasks[shift:], *tasks[:shift])
