"""The timed steps of a measurement as a dot plot: one dot a step, slow to the right, in order from top to bottom."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from sslbench.reports.units import format_seconds, format_seconds_interval

MOST_DOTS = 300
"""More dots than this only make the file larger; every n-th step is drawn then."""


@dataclass(frozen=True, slots=True)
class DotPlot:
    """Dots as (left, top) in percent of the plot, with its axis in words."""

    dots: tuple[tuple[float, float], ...]
    median_at: float
    quartiles_at: tuple[float, float] | None
    low: str
    high: str
    count: int
    drawn: str
    """What the dots are; empty where every step has one."""
    summary: str


def middle_half(samples_s: Sequence[float]) -> tuple[float, float] | None:
    """First and third quartile in seconds, None for fewer than four samples."""
    if len(samples_s) < 4:
        return None
    lower, _, upper = statistics.quantiles(samples_s, n=4, method="inclusive")
    return lower, upper


def dot_plot(samples_s: Sequence[float]) -> DotPlot | None:
    """The plot of the samples (seconds, in order), or None for fewer than two."""
    if len(samples_s) < 2:
        return None
    every = -(-len(samples_s) // MOST_DOTS)
    shown = samples_s[::every]
    low, high = min(samples_s), max(samples_s)
    half = middle_half(samples_s)
    median = statistics.median(samples_s)
    return DotPlot(
        dots=tuple((_place(value, low, high), _row(row, len(shown))) for row, value in enumerate(shown)),
        median_at=_place(median, low, high),
        quartiles_at=(_place(half[0], low, high), _place(half[1], low, high)) if half else None,
        low=format_seconds(low),
        high=format_seconds(high),
        count=len(samples_s),
        drawn=f"one dot in {every} steps" if every > 1 else "",
        summary=f"{len(samples_s)} timed steps from {format_seconds_interval((low, high))}, "
        f"median {format_seconds(median)}",
    )


def _place(value: float, low: float, high: float) -> float:
    """Percent from the left; a margin keeps the outer dots whole."""
    return 50.0 if high <= low else round(2 + 96 * (value - low) / (high - low), 2)


def _row(row: int, rows: int) -> float:
    return round(12 + 76 * (row / max(rows - 1, 1)), 2)
