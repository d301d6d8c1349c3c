"""Pictures of a comparison: how the steps of both sides are spread, each change against its limit, causes as bars.

Coordinates are percent of the drawing; areas stand in a square of 100 that is stretched to it.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from sslbench.bench.comparison import MetricChange, Spread
from sslbench.reports.axes import LinearAxis, linear_axis
from sslbench.reports.gate_words import cause_words, share_words, signed_amount
from sslbench.reports.samples import middle_half
from sslbench.reports.units import format_seconds, format_seconds_interval, tick_labels

MOST_DOTS = 40
"""So few steps are drawn one by one."""
_FEWEST_OF_AN_AREA = 8
_COLUMNS = 80  # of an area
_MOST_TICKS = 5
_NARROWEST_LABEL = 17.0  # percent
_ROWS = ((0, "shortest"), (0.05, "5 %"), (0.25, "25 %"), (0.5, "half"), (0.75, "75 %"), (0.95, "95 %"), (1, "longest"))
_TRIMMED = 0.025  # share of the steps at either end that may lie beyond the axis
_REACH = 4.0  # the axis goes no farther beyond the middle half than so many of its widths


@dataclass(frozen=True, slots=True)
class SideSpread:
    """The timed steps of one side."""

    key: str
    """`base` or `new`; the CSS class."""
    median: str
    count: str
    area: str
    """Corners of the density's area, scaled to its own peak; empty for a few steps."""
    dots: tuple[float, ...]
    median_at: float
    half_at: tuple[float, float] | None
    """Left end and width of the middle half."""
    half: str
    runs: tuple[tuple[float, str], ...]
    """Place and words of each run's median, where there are several."""
    beyond: str
    """Steps that the axis leaves out."""


@dataclass(frozen=True, slots=True)
class SpreadPicture:
    """Both sides on one axis."""

    sides: tuple[SideSpread, SideSpread]
    ticks: tuple[tuple[float, str], ...]
    summary: str
    legend: str
    rows: tuple[tuple[str, str, str], ...]
    """What share of the steps took at most so long, on either side."""


@dataclass(frozen=True, slots=True)
class ChangeAxis:
    """A change with its interval, on an axis of shares, between what is better and what is worse."""

    at: float
    interval_at: tuple[float, float]
    """Left end and width."""
    zero_at: float
    zones: tuple[tuple[str, float, float, str], ...]
    """Key (`better`, `within`, `worse`), left end, width and label."""
    ticks: tuple[tuple[float, str], ...]
    summary: str


@dataclass(frozen=True, slots=True)
class CauseBar:
    """One reason of a change."""

    amount: str
    left: float
    width: float
    sign: str
    """`more` or `less`."""
    words: tuple[tuple[bool, str], ...]
    """Pieces of its text, and whether each is code."""


@dataclass(frozen=True, slots=True)
class CauseBars:
    """The causes of a metric's change, and last what they add up to."""

    bars: tuple[CauseBar, ...]
    zero_at: float


def spread_picture(spreads: tuple[Spread, Spread] | None) -> SpreadPicture | None:
    """Both sides' timed steps, or None where they are not known."""
    if spreads is None:
        return None
    axis = _seconds_axis(spreads)
    base, new = (_side(key, spread, axis) for key, spread in zip(("base", "new"), spreads, strict=True))
    words = "; ".join(f"{side.key}: {side.count}, median {side.median}" for side in (base, new))
    ticks = _inside(zip(map(axis.place, axis.ticks()), tick_labels(axis.ticks(), "seconds"), strict=True))
    then, now = ([format_seconds(_from_low(spread, share)) for share, _ in _ROWS] for spread in spreads)
    rows = tuple(zip((name for _, name in _ROWS), then, now, strict=True))
    return SpreadPicture((base, new), ticks, words, _legend(base, new), rows)


def _legend(base: SideSpread, new: SideSpread) -> str:
    marks = [
        "line: median of all steps",
        "band: middle half",
        *(["dots: steps"] if base.dots or new.dots else []),
        *(["circles: medians of the runs"] if base.runs or new.runs else []),
    ]
    return f"Height: how many steps took so long, each side to its own peak; {', '.join(marks)}."


def _from_low(spread: Spread, share: float) -> float:
    """The step that takes at least as long as that share of the steps."""
    return spread.seconds[round(share * (len(spread.seconds) - 1))]


def _seconds_axis(spreads: tuple[Spread, Spread]) -> LinearAxis:
    """From the fast steps of both sides to the slow ones; the slowest few would take all of the room."""
    ends = [end for spread in spreads for end in (*_ends(spread), *spread.run_medians_seconds)]
    low, high = min(ends), max(ends)
    margin = (high - low) * 0.08 or high * 0.02
    return linear_axis(high + margin, 0, 100, low=max(low - margin, 0.0), most=_MOST_TICKS)


def _ends(spread: Spread) -> tuple[float, float]:
    """What the axis shows of one side at least."""
    low, high = _from_low(spread, _TRIMMED), _from_low(spread, 1 - _TRIMMED)
    lower, upper = middle_half(spread.seconds) or (low, high)
    reach = _REACH * (upper - lower)
    return max(low, lower - reach), min(high, upper + reach) if reach else high


def _inside(ticks: Iterable[tuple[float, str]]) -> tuple[tuple[float, str], ...]:
    """Ticks whose label does not hang out at the sides."""
    return tuple((place, label) for place, label in ticks if 3 <= place <= 97)


def _side(key: str, spread: Spread, axis: LinearAxis) -> SideSpread:
    seconds, half = spread.seconds, middle_half(spread.seconds)
    median = statistics.median(seconds)
    return SideSpread(
        key=key,
        median=format_seconds(median),
        count=f"{spread.count:,} timed step{'' if spread.count == 1 else 's'}",
        area=_area(seconds, axis) if len(seconds) >= _FEWEST_OF_AN_AREA else "",
        dots=tuple(axis.place(step) for step in seconds) if spread.count <= MOST_DOTS else (),
        median_at=axis.place(median),
        half_at=_stretch(axis, half) if half else None,
        half=format_seconds_interval(half) if half else "",
        runs=_runs(spread.run_medians_seconds, axis),
        beyond=_beyond(spread, axis),
    )


def _stretch(axis: LinearAxis, ends: tuple[float, float]) -> tuple[float, float]:
    left, right = map(axis.place, ends)
    return left, round(right - left, 2)


def _runs(medians: Sequence[float], axis: LinearAxis) -> tuple[tuple[float, str], ...]:
    if len(medians) < 2:
        return ()
    return tuple(
        (axis.place(median), f"run {number}: median {format_seconds(median)}")
        for number, median in enumerate(medians, start=1)
    )


def _beyond(spread: Spread, axis: LinearAxis) -> str:
    beyond = sum(step > axis.high for step in spread.seconds) / len(spread.seconds)
    return f"{100 * beyond:.1f} % beyond the axis, up to {format_seconds(spread.seconds[-1])}" if beyond else ""


def _area(seconds: Sequence[float], axis: LinearAxis) -> str:
    """Density of the steps, from the left along its curve and back on the ground.

    A Gaussian kernel, of the width that Silverman gives ("Density estimation", 1986, equation 3.31).
    """
    half = middle_half(seconds)
    spreads = [statistics.stdev(seconds), (half[1] - half[0]) / 1.34 if half else 0.0]
    width = 0.9 * min(filter(None, spreads), default=0.0) * len(seconds) ** -0.2
    width = max(width, (axis.high - axis.low) / _COLUMNS)
    places = [axis.low + (axis.high - axis.low) * column / _COLUMNS for column in range(_COLUMNS + 1)]
    heights = [sum(math.exp(-0.5 * ((place - step) / width) ** 2) for step in seconds) for place in places]
    peak = max(heights)
    curve = [
        f"{axis.place(place):g},{100 - 96 * height / peak:.1f}" for place, height in zip(places, heights, strict=True)
    ]
    return " ".join(["0,100", *curve, "100,100"])


# ---------------------------------------------------------------------- the change and its limit
def change_axis(metric: MetricChange) -> ChangeAxis | None:
    """The change of a metric that has an interval, or None."""
    if metric.interval is None or metric.share is None or not metric.base:
        return None
    limit = metric.allowed / abs(metric.base) if metric.allowed is not None else None
    ends = [*metric.interval, metric.share, 0.0, *((-1.8 * limit, 1.8 * limit) if limit is not None else ())]
    margin = 0.06 * (max(ends) - min(ends)) or 0.01
    axis = linear_axis(max(ends) + margin, 0, 100, low=min(ends) - margin, unit=0.01, most=_MOST_TICKS)
    said = f"95 % interval {share_words(metric.interval[0])} to {share_words(metric.interval[1])}"
    allowed = "" if limit is None else f", the limit is {100 * limit:.3g} %"
    return ChangeAxis(
        at=axis.place(metric.share),
        interval_at=_stretch(axis, metric.interval),
        zero_at=axis.place(0.0),
        zones=_zones(axis, limit, metric.better == "lower") if limit is not None else (),
        ticks=_inside((axis.place(value), f"{100 * value:+.3g} %" if value else "0") for value in axis.ticks()),
        summary=f"change {share_words(metric.share)}, {said}{allowed}",
    )


def _zones(axis: LinearAxis, limit: float, low_is_good: bool) -> tuple[tuple[str, float, float, str], ...]:
    keys = ("better", "within", "worse") if low_is_good else ("worse", "within", "better")
    edges = (axis.low, -limit, limit, axis.high)
    stretches = (_stretch(axis, (edges[at], edges[at + 1])) for at in range(3))
    labels = {"within": "within the limit"}
    return tuple(
        (key, left, width, labels.get(key, key) if width >= _NARROWEST_LABEL else "")
        for key, (left, width) in zip(keys, stretches, strict=True)
    )


# ---------------------------------------------------------------------- causes
def cause_bars(metric: MetricChange) -> CauseBars | None:
    """The causes of a metric's change, each bar from where the last one ended, or None where none is known."""
    edges = [0.0, *accumulate(cause.change for cause in metric.causes)]
    if metric.change is None or min(edges) == max(edges):
        return None
    axis = linear_axis(max(edges), 0, 100, low=min(edges))
    bars = [
        _bar(axis, begin, end, signed_amount(cause.change, metric.unit), cause_words(cause))
        for cause, (begin, end) in zip(metric.causes, pairwise(edges), strict=True)
    ]
    total = _bar(axis, 0.0, edges[-1], signed_amount(metric.change, metric.unit), ((False, "together"),))
    return CauseBars((*bars, total), axis.place(0.0))


def _bar(axis: LinearAxis, begin: float, end: float, amount: str, words: tuple[tuple[bool, str], ...]) -> CauseBar:
    left, width = _stretch(axis, (min(begin, end), max(begin, end)))
    return CauseBar(amount, left, width, "more" if end > begin else "less", words)
