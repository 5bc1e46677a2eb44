"""How a cost grows along a curve: flat, linear or worse, by the power that fits it best. Pure.

Theory. A cost of a + b·x^p is fitted by least squares of relative errors (a microsecond more matters at ten, not at
a thousand), with neither a nor b below zero, for each p of a grid. What the b-term adds from one end of the curve to
the other says whether it grows at all; p says how. Where a line fits nearly as well as the best power, it is a line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

POWERS = tuple(step / 20 for step in range(2, 51))
FLAT = 0.35
"""A curve whose fitted end is this much above its start, as a share, or less, counts as flat."""

AS_GOOD = 1.5
"""A line counts if its error is at most this many times that of the best power, or below NOISE."""

STEEP = 1.1
"""A power up to this is a line too: sorting and trees add a logarithm."""

NOISE = 0.06
"""The relative error that measurements have anyway."""


class Growth(Enum):
    """How a cost grows."""

    FLAT = "flat"
    SLOWER = "slower than linear"
    LINEAR = "linear"
    WORSE = "WORSE THAN LINEAR"


@dataclass(frozen=True, slots=True)
class Fit:
    """Cost = base + factor · x^power, and the root of its mean squared relative error."""

    base: float
    factor: float
    power: float
    error: float

    def at(self, place: float) -> float:
        """Return the fitted cost at a place."""
        return self.base + self.factor * float(place**self.power)


def growth(points: Mapping[int, float]) -> tuple[Growth, Fit]:
    """Say how the costs at these places grow; ValueError for fewer than two."""
    if len(points) < 2:
        raise ValueError("a curve has two points or more")
    fits = [fit(points, power) for power in POWERS]
    best = min(fits, key=lambda one: one.error)
    line = fit(points, 1.0)
    first, last = min(points), max(points)
    if best.at(last) <= best.at(first) * (1 + FLAT):
        return Growth.FLAT, best
    if line.error <= max(best.error * AS_GOOD, NOISE):
        return Growth.LINEAR, line
    if best.power < 1:
        return Growth.SLOWER, best
    return (Growth.WORSE if best.power > STEEP else Growth.LINEAR), best


def fit(points: Mapping[int, float], power: float) -> Fit:
    """Return the best fit of one power."""
    weighted = [(1 / cost**2, float(place**power), cost) for place, cost in points.items()]
    total = sum(weight for weight, _, _ in weighted)
    sum_x = sum(weight * x for weight, x, _ in weighted)
    sum_y = sum(weight * cost for weight, _, cost in weighted)
    sum_xx = sum(weight * x * x for weight, x, _ in weighted)
    sum_xy = sum(weight * x * cost for weight, x, cost in weighted)
    spread = total * sum_xx - sum_x**2
    candidates = [(sum_y / total, 0.0), (0.0, sum_xy / sum_xx)]
    if spread > 0:
        factor = (total * sum_xy - sum_x * sum_y) / spread
        base = (sum_y - factor * sum_x) / total
        if base >= 0 and factor >= 0:
            candidates.append((base, factor))
    return min(
        (Fit(base, factor, power, _error(points, base, factor, power)) for base, factor in candidates),
        key=lambda one: one.error,
    )


def _error(points: Mapping[int, float], base: float, factor: float, power: float) -> float:
    squares = [((base + factor * float(place**power) - cost) / cost) ** 2 for place, cost in points.items()]
    return float((sum(squares) / len(squares)) ** 0.5)
