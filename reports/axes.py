"""Axes of charts: where a value stands, and which values are written beside it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_STEPS = (1, 2, 5)
_FEW_DECADES = 2.5
"""Over fewer decades than this, ticks stand at 1, 2 and 5 of each, else at each decade."""


@dataclass(frozen=True, slots=True)
class LogAxis:
    """An axis from `low` at `start` to `high` at `end`, in the units of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Where a positive value stands; one beyond the ends stands there."""
        inside = min(max(value, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self) -> tuple[float, ...]:
        """Values with a tick, from low to high."""
        steps = _STEPS if math.log10(self.high / self.low) < _FEW_DECADES else (1,)
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = (step * 10.0**decade for decade in decades for step in steps)
        return tuple(value for value in values if self.low * 0.999 <= value <= self.high * 1.001)

    def few_ticks(self, most: int = 6) -> tuple[float, ...]:
        """At most so many of them, for a narrow drawing: powers of ten where there are three, else every n-th."""
        ticks = self.ticks()
        if len(ticks) > most:
            tens = tuple(tick for tick in ticks if abs(math.log10(tick) - round(math.log10(tick))) < 1e-6)
            ticks = tens if len(tens) >= 3 else ticks
        return ticks[:: -(-len(ticks) // most)]


@dataclass(frozen=True, slots=True)
class LinearAxis:
    """An axis from `low` at `start` to `high` at `end`, in the units of the drawing."""

    high: float
    start: float
    end: float
    step: float
    low: float = 0.0

    def place(self, value: float) -> float:
        """Where a value stands; one beyond the ends stands there."""
        share = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self) -> tuple[float, ...]:
        """Multiples of the step, from low to high."""
        first, last = math.ceil(self.low / self.step - 1e-4), math.floor(self.high / self.step + 1e-4)
        return tuple(number * self.step for number in range(first, last + 1))


def linear_axis(
    high: float, start: float, end: float, *, low: float = 0.0, unit: float = 1.0, most: int = 6
) -> LinearAxis:
    """The axis from `low`, which is 0 unless it is given, to `high`.

    Args:
        high: the largest value.
        start: where `low` stands.
        end: where `high` stands.
        low: the smallest value.
        unit: what ticks are 1, 2 or 5 times a power of ten of, such as 2**30 for bytes.
        most: ticks that there is room for, beside the first.

    Raises:
        ValueError: `high` is not above `low`.
    """
    if high <= low:
        raise ValueError("an axis needs an end above its start")
    return LinearAxis(high, start, end, _above((high - low) / unit / most) * unit, low)


def log_axis(values: Iterable[float], start: float, end: float) -> LogAxis:
    """The axis that holds all of some positive values, from and to a 1, 2 or 5 of a decade.

    Raises:
        ValueError: there is no value, or one is not positive.
    """
    found = list(values)
    if not found or min(found) <= 0:
        raise ValueError("a logarithmic axis needs positive values")
    low, high = _below(min(found)), _above(max(found))
    return LogAxis(low, high if high > low else 10 * low, start, end)


def anchor(place: float) -> str:
    """Where a text at so many percent of the width begins, so that it stays inside: CSS class start, middle or end."""
    return "start" if place < 12 else "end" if place > 88 else "middle"


def _below(value: float) -> float:
    decade = 10.0 ** math.floor(math.log10(value))
    return max(step * decade for step in _STEPS if step * decade <= value * 1.0001)


def _above(value: float) -> float:
    decade = 10.0 ** math.floor(math.log10(value))
    return min(step * decade for step in (*_STEPS, 10) if step * decade >= value * 0.9999)
