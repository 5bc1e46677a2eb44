"""What was measured, and the little statistics it takes. Pure: knows no server, no process, no file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Summary:
    """A median with the least and the greatest value."""

    middle: float
    low: float
    high: float


@dataclass(slots=True)
class Ledger:
    """The values of each row and contender, one for each round, in the order of the rounds; and those of curves."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    curves: dict[str, dict[str, dict[int, list[float]]]] = field(default_factory=dict)

    def add(self, row: str, contender: str, value: float) -> None:
        """Note what a round gave."""
        self.values.setdefault(row, {}).setdefault(contender, []).append(value)

    def add_point(self, curve: str, contender: str, at: int, value: float) -> None:
        """Note what a round gave at a place of a curve."""
        places = self.curves.setdefault(curve, {}).setdefault(contender, {})
        places.setdefault(at, []).append(value)

    def taken(self, row: str, contender: str) -> list[float]:
        """Return what was noted; empty if nothing was."""
        return self.values.get(row, {}).get(contender, [])


def summary(values: Sequence[float]) -> Summary:
    """Return the median and the extremes; ValueError if there is nothing."""
    return Summary(median(values), min(values), max(values))


def paired_ratios(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return the quotients of what was measured in the same round: a slow minute has met both."""
    return [one / other for one, other in zip(values, base, strict=True)]


def paired_differences(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return the differences of what was measured in the same round."""
    return [one - other for one, other in zip(values, base, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all do not exceed (the nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def medians(points: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """Return the median at each place of a curve."""
    return {place: median(values) for place, values in points.items()}
