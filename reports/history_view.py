"""The history of measured records as a section of a page: a line for each metric, its levels and its changes.

Places are percent of the drawing: to the right the number of the record, upwards the value.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from sslbench.bench.history import History, StepHistory, Trend
from sslbench.reports.axes import LinearAxis, linear_axis
from sslbench.reports.gate_words import amount, metric_title
from sslbench.reports.history import changes_in_words, history_summary, step_title
from sslbench.reports.units import byte_unit, tick_labels
from sslbench.reports.words import LABEL_LENGTH, plain

_MOST_TICKS = 4
_TRIMMED = 0.02
"""Share of the values at either end that may lie beyond the axis, where they stand far from all others."""
_REACH = 3.0
"""Beyond the others by so many times their whole spread is far."""


@dataclass(frozen=True, slots=True)
class ChangeMark:
    """Where a level changed."""

    number: int
    """From 1, in the order of the records."""
    at: float
    look: str
    """`does-not-fit` where it got worse (all metrics here are better when lower), else `fits`."""
    words: str
    """Share and levels."""
    place: str
    """Commit and date."""


@dataclass(frozen=True, slots=True)
class TrendPicture:
    """One metric of a step."""

    name: str
    line: str
    """Corners of the line through the kept records."""
    places: str
    """For each corner the row of the table that it stands for, from 0."""
    levels: str
    """Corners of the level, which steps at each change."""
    beyond: tuple[tuple[float, float, str], ...]
    """Records off the axis, at its edge: place, and words."""
    ticks: tuple[tuple[float, str], ...]
    marks: tuple[ChangeMark, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class StepTrends:
    """One step on one machine."""

    title: str
    records: str
    pictures: tuple[TrendPicture, ...]
    ends: tuple[str, ...]
    """Dates of the first, the middle and the last record."""
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Of each kept record: date, commit, and the value of each metric."""


@dataclass(frozen=True, slots=True)
class HistoryView:
    """One history."""

    source: str
    summary: str
    steps: tuple[StepTrends, ...]


def history_view(history: History) -> HistoryView:
    """The history in words and pictures; it is drawn as it is, see `History.thinned`."""
    steps = tuple(_step(step) for step in history.steps)
    return HistoryView(plain(history.source, LABEL_LENGTH), history_summary(history), steps)


def _step(step: StepHistory) -> StepTrends:
    kept = len(step.numbers)
    thinned = f", {kept:,} of them drawn: the extremes of each stretch" if kept < step.records else ""
    columns = [[_cell(value, trend) for value in trend.values] for trend in step.trends]
    dates, commits = ([plain(text, 16) for text in texts] for texts in (_times(step.created), step.commits))
    return StepTrends(
        title=step_title(step),
        records=f"{step.records:,} record{'' if step.records == 1 else 's'}{thinned}",
        pictures=tuple(_picture(step, trend) for trend in step.trends),
        ends=tuple(dates[at][:10] for at in sorted({0, kept // 2, kept - 1})),
        header=tuple(metric_title(trend.metric) for trend in step.trends),
        rows=tuple(zip(dates, commits, *columns, strict=True)),
    )


def _times(created: Iterable[str]) -> list[str]:
    return [time[:16].replace("T", " ") for time in created]


def _cell(value: float | None, trend: Trend) -> str:
    return "" if value is None else amount(value, trend.unit)


def _picture(step: StepHistory, trend: Trend) -> TrendPicture:
    across = linear_axis(max(step.records - 1, 1), 0, 100)
    upwards = _axis(trend)
    known = trend.known()
    places = [across.place(step.numbers[row]) for row, _ in known]
    ticks = upwards.ticks()
    name = metric_title(trend.metric)
    first, last = (amount(known[at][1], trend.unit) for at in (0, -1))
    return TrendPicture(
        name=name,
        line=_corners(zip(places, (upwards.place(value) for _, value in known), strict=True)),
        places=" ".join(str(row) for row, _ in known),
        levels=_corners(_levels(step, trend, across, upwards)),
        beyond=tuple(
            (place, upwards.place(value), amount(value, trend.unit))
            for place, (_, value) in zip(places, known, strict=True)
            if not upwards.low <= value <= upwards.high
        ),
        ticks=tuple(zip(map(upwards.place, ticks), tick_labels(ticks, trend.unit), strict=True)),
        marks=tuple(_marks(step, trend, across)),
        summary=f"{name} from {first} to {last}, {len(trend.changes)} change{'' if len(trend.changes) == 1 else 's'}",
    )


def _axis(trend: Trend) -> LinearAxis:
    """Holds all levels and values, but a few that stand far from all others."""
    values = sorted(value for _, value in trend.known())
    trim = round(_TRIMMED * len(values))
    inner = values[trim : len(values) - trim] or values
    low, high = _without_far((values[0], values[-1]), (inner[0], inner[-1]))
    levels = [level for change in trend.changes for level in (change.before, change.after)]
    low, high = min(low, *levels), max(high, *levels)
    margin = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    unit = byte_unit(high) if trend.unit == "bytes" else 1.0
    return linear_axis(high + margin, 100, 0, low=low - margin, unit=unit, most=_MOST_TICKS)


def _without_far(ends: tuple[float, float], inner: tuple[float, float]) -> tuple[float, float]:
    reach = _REACH * (inner[1] - inner[0])
    low, high = (inside if abs(end - inside) > reach > 0 else end for end, inside in zip(ends, inner, strict=True))
    return low, high


def _corners(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _levels(step: StepHistory, trend: Trend, across: LinearAxis, upwards: LinearAxis) -> list[tuple[float, float]]:
    """Flat from each change to the next."""
    if not trend.changes:
        return []
    edges = [0.0, *(change.at - 0.5 for change in trend.changes), step.records - 1.0]
    levels = [trend.changes[0].before, *(change.after for change in trend.changes)]
    return [
        (across.place(edge), upwards.place(level))
        for stretch, level in zip(pairwise(edges), levels, strict=True)
        for edge in stretch
    ]


def _marks(step: StepHistory, trend: Trend, across: LinearAxis) -> Iterator[ChangeMark]:
    said = changes_in_words(step, trend)
    for number, (change, (words, place)) in enumerate(zip(trend.changes, said, strict=True), start=1):
        look = "does-not-fit" if change.share > 0 else "fits"
        yield ChangeMark(number, across.place(change.at - 0.5), look, words, place)
