"""The history of measured records as a section of a page: a line for each metric, its levels and its changes.

Places are percent of the drawing: to the right the number of the record, upwards the value.
"""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sslbench.bench.history import History, StepHistory, Trend
from sslbench.reports.axes import LinearAxis, linear_axis
from sslbench.reports.gate_words import amount, metric_title
from sslbench.reports.history import changes_in_words, history_summary, minute, step_title
from sslbench.reports.units import byte_unit, tick_labels
from sslbench.reports.words import LABEL_LENGTH, plain

_MOST_TICKS = 4
_REACH = 6.0
"""The axis goes no farther beyond the levels than so many times the median distance of a value from its level."""
_LEAST_REACH = 0.01
"""And shows that share of the level at least, so that noise looks like noise."""
_BADGE = 3.0
"""Percent that the number of a change takes; one that stands closer to the last goes below it."""


_MOST_OPEN = 3
"""Of more steps, those that did not change are folded."""


@dataclass(frozen=True, slots=True)
class ChangeMark:
    """Where a level changed."""

    number: int
    """From 1, in the order of the records."""
    at: float
    row: int
    """0 on top; the next where there is no room beside the last number."""
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
    folded: bool


@dataclass(frozen=True, slots=True)
class HistoryView:
    """One history."""

    source: str
    summary: str
    steps: tuple[StepTrends, ...]


def history_view(history: History) -> HistoryView:
    """The history in words and pictures; it is drawn as it is, see `History.thinned`."""
    several = len(history.steps) > _MOST_OPEN
    steps = tuple(
        _step(step, folded=several and not any(trend.changes for trend in step.trends)) for step in history.steps
    )
    return HistoryView(plain(history.source, LABEL_LENGTH), history_summary(history), steps)


def _step(step: StepHistory, *, folded: bool) -> StepTrends:
    kept = len(step.numbers)
    thinned = f", {kept:,} of them drawn: the extremes of each stretch" if kept < step.records else ""
    columns = [[_cell(value, trend) for value in trend.values] for trend in step.trends]
    dates, commits = list(map(minute, step.created)), [plain(commit, 16) for commit in step.commits]
    return StepTrends(
        title=step_title(step),
        records=f"{step.records:,} record{'' if step.records == 1 else 's'}{thinned}",
        pictures=tuple(_picture(step, trend) for trend in step.trends),
        ends=tuple(dates[at][:10] for at in sorted({0, _middle(step), kept - 1})),
        header=tuple(metric_title(trend.metric) for trend in step.trends),
        rows=tuple(zip(dates, commits, *columns, strict=True)),
        folded=folded,
    )


def _middle(step: StepHistory) -> int:
    """Place of the record in the middle of the drawing."""
    return min(range(len(step.numbers)), key=lambda place: abs(step.numbers[place] - (step.records - 1) / 2))


def _cell(value: float | None, trend: Trend) -> str:
    return "" if value is None else amount(value, trend.unit)


def _picture(step: StepHistory, trend: Trend) -> TrendPicture:
    across = linear_axis(max(step.records - 1, 1), 0, 100)
    upwards = _axis(step, trend)
    known = trend.known()
    places = [across.place(step.numbers[row]) for row, _ in known]
    ticks = upwards.ticks()
    name = metric_title(trend.metric)
    first, last = (amount(known[at][1], trend.unit) for at in (0, -1))
    return TrendPicture(
        name=name,
        line=_corners(zip(places, (upwards.place(value) for _, value in known), strict=True)),
        places=" ".join(str(row) for row, _ in known),
        levels=_corners(
            (across.place(number), upwards.place(level))
            for begin, end, level in _levels(step, trend)
            for number in (begin, end)
        ),
        beyond=tuple(
            (place, upwards.place(value), amount(value, trend.unit))
            for place, (_, value) in zip(places, known, strict=True)
            if not upwards.low <= value <= upwards.high
        ),
        ticks=tuple(zip(map(upwards.place, ticks), tick_labels(ticks, trend.unit), strict=True)),
        marks=tuple(_marks(step, trend, across)),
        summary=f"{name} from {first} to {last}, {len(trend.changes)} change{'' if len(trend.changes) == 1 else 's'}",
    )


def _axis(step: StepHistory, trend: Trend) -> LinearAxis:
    """Holds all levels and their noise; single values that stand far from them would take all of the room."""
    known = [(step.numbers[place], value) for place, value in trend.known()]
    levels = _levels(step, trend)
    far = statistics.median(abs(value - _level_at(levels, number)) for number, value in known)
    low, high = (pick(level for _, _, level in levels) for pick in (min, max))
    reach = max(_REACH * far, _LEAST_REACH * abs(high)) or 1.0
    unit = byte_unit(high) if trend.unit == "bytes" else 1.0
    return linear_axis(high + reach, 100, 0, low=low - reach, unit=unit, most=_MOST_TICKS)


def _levels(step: StepHistory, trend: Trend) -> list[tuple[float, float, float]]:
    """First and last number of each stretch between changes, which ends half way to the next, and its level."""
    edges = [0.0, *(change.at - 0.5 for change in trend.changes), step.records - 1.0]
    if trend.changes:
        levels = [trend.changes[0].before, *(change.after for change in trend.changes)]
    else:
        levels = [statistics.median(value for _, value in trend.known())]
    return [(begin, end, level) for (begin, end), level in zip(pairwise(edges), levels, strict=True)]


def _level_at(levels: Sequence[tuple[float, float, float]], number: int) -> float:
    return next(level for _, end, level in levels if number <= end)


def _corners(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _marks(step: StepHistory, trend: Trend, across: LinearAxis) -> Iterator[ChangeMark]:
    said = changes_in_words(step, trend)
    last, row = -_BADGE, 0
    for number, (change, (words, where)) in enumerate(zip(trend.changes, said, strict=True), start=1):
        at = across.place(change.at - 0.5)
        row = row + 1 if at - last < _BADGE else 0
        last = at
        yield ChangeMark(number, at, row, "does-not-fit" if change.share > 0 else "fits", words, where)
