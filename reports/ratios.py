"""Measurements over their predictions on one axis, with the predicted intervals: who is off, how much, which way."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sslbench.reports.axes import LogAxis
from sslbench.reports.beside import Comparison, ComparisonRow
from sslbench.reports.sweep import Sweep
from sslbench.reports.units import format_share

MOST = 40
"""Pairs of a panel; of more, those that are furthest off."""
_REACHES = {1.1: 1.05, 1.2: 1.1, 1.5: 1.2, 2.0: 1.4, 3.0: 1.5, 5.0: 2.0, 10.0: 3.0}
"""How far an axis may reach to either side, and its tick before that; what lies further stands at the axis' end."""
_TIME = "step time"


@dataclass(frozen=True, slots=True)
class Pair:
    """A measurement and its prediction; places are percent of the axis."""

    name: str
    detail: str
    row: ComparisonRow
    ratio: float
    """Measured over predicted."""
    at: float
    left: float
    """Where the interval begins."""
    width: float
    label: str


@dataclass(frozen=True, slots=True)
class Panel:
    """Pairs of one quantity, from the lowest ratio to the highest."""

    title: str
    summary: str
    ticks: tuple[tuple[float, str], ...]
    middle: float
    """Where both are equal."""
    pairs: tuple[Pair, ...]
    rest: str


_Found = tuple[str, str, ComparisonRow]
"""Name, detail and figures of a pair."""


def ratio_panels(sweeps: Sequence[Sweep], comparisons: Sequence[Comparison]) -> tuple[Panel, ...]:
    """Step time and memory of all measurements with a prediction: their own, or one of the same step."""
    found = [each for each in _found(sweeps, comparisons) if each[2].error > -1]
    times = [each for each in found if each[2].quantity == _TIME]
    memory = [each for each in found if each[2].quantity != _TIME]
    return tuple(_panel(title, pairs) for title, pairs in (("Step time", times), ("Memory", memory)) if pairs)


def _found(sweeps: Sequence[Sweep], comparisons: Sequence[Comparison]) -> Iterator[_Found]:
    """The step time of each pair, and the first that is known of its memory."""
    for sweep in sweeps:
        for row in sweep.rows:
            detail = ", ".join(filter(None, (row.label or sweep.shared, sweep.place)))
            for rows in (row.view.beside, *(each.rows for each in comparisons if each.measurement is row.record)):
                memory = [each for each in rows if each.quantity != _TIME][:1]
                yield from ((sweep.title, detail, each) for each in rows if each.quantity == _TIME or each in memory)


def _panel(title: str, found: Sequence[_Found]) -> Panel:
    shown = sorted(found, key=lambda each: abs(1 - _ratio(each[2])), reverse=True)[:MOST]
    reach = max(max(value, 1 / value) for _, _, row in shown for value in (_ratio(row), *(row.span or ())) if value > 0)
    end = next((each for each in _REACHES if each >= reach), max(_REACHES))
    axis = LogAxis(1 / end, end, 2.0, 98.0)
    ticks = (1 / end, 1 / _REACHES[end], 1.0, _REACHES[end], end)
    return Panel(
        title=title,
        summary=_summary([row for _, _, row in found]),
        ticks=tuple((axis.place(tick), f"{tick:.2f}".rstrip("0").rstrip(".")) for tick in ticks),
        middle=axis.place(1.0),
        pairs=tuple(_pair(each, axis) for each in sorted(shown, key=lambda each: _ratio(each[2]))),
        rest=f"{len(found) - MOST:,} more are closer" if len(found) > MOST else "",
    )


def _ratio(row: ComparisonRow) -> float:
    return 1 / (1 + row.error)


def _pair(found: _Found, axis: LogAxis) -> Pair:
    name, detail, row = found
    left, right = (axis.place(max(end, axis.low)) for end in row.span or (1.0, 1.0))
    ratio = _ratio(row)
    interval = f", interval {row.span[0]:.2f} to {row.span[1]:.2f}" if row.span else ""
    return Pair(
        name=name,
        detail=detail if row.quantity in (_TIME, "memory required") else f"{detail}, {row.quantity}",
        row=row,
        ratio=ratio,
        at=axis.place(ratio),
        left=left,
        width=round(right - left, 2),
        label=f"measured is {ratio:.2f} times predicted{interval}",
    )


def _summary(rows: Sequence[ComparisonRow]) -> str:
    held = [row.inside for row in rows if row.inside is not None]
    off = f"{format_share(statistics.median(abs(row.error) for row in rows))} off in the median"
    return f"{sum(held):,} of {len(held):,} in their 90 % interval, {off}" if held else off
