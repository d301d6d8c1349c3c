"""A step on more and more devices: throughput against the ideal, and what of it communication costs.

Weak scaling: each device has the recipe's batch. Ideal are as many times the throughput of one device.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sslbench.bench.record import Record
from sslbench.reports.axes import LinearAxis, LogAxis, linear_axis, log_axis
from sslbench.reports.bill import plan_words
from sslbench.reports.device_steps import DeviceStep, Run, device_runs
from sslbench.reports.labels import Label, place_labels
from sslbench.reports.ranks import scaling_view
from sslbench.reports.units import (
    format_bytes,
    format_rate,
    format_seconds,
    format_seconds_interval,
    format_share,
    format_si,
    format_tick,
)
from sslbench.reports.words import LABEL_LENGTH, RecipeLabel, plain, recipe_label, sample_unit

MOST = 7
"""Machines that are shown, as many as there are colours."""
_FLOORS = (0.9, 0.8, 0.5, 0.0)
"""Where an axis of efficiencies may begin."""
_LOW = 170.0
"""Height of the efficiencies' drawing, in pixels."""


@dataclass(frozen=True, slots=True)
class Point:
    """A number of devices; places are percent of the drawings."""

    at: tuple[float, float]
    efficiency_at: tuple[float, float]
    span: tuple[float, float] | None
    """Heights of the 90 % interval of the throughput."""
    label: str


@dataclass(frozen=True, slots=True)
class Series:
    """A machine with more and more devices, predicted or measured."""

    name: str
    basis: str
    color: int
    points: tuple[Point, ...]
    ideal: tuple[float, float, float, float]
    """x1, y1, x2, y2 of as many times one device."""

    @property
    def path(self) -> str:
        """Through the points, in a square of 100 units that the page stretches."""
        return "M" + "L".join(f"{x} {y}" for x, y in (point.at for point in self.points))

    @property
    def efficiency_path(self) -> str:
        """The same of the efficiencies."""
        return "M" + "L".join(f"{x} {y}" for x, y in (point.efficiency_at for point in self.points))


@dataclass(frozen=True, slots=True)
class ScalingRow:
    """A number of devices in words."""

    machine: str
    devices: str
    basis: str
    throughput: str
    step: str
    interval: str
    efficiency: str
    exchanged: str
    communication: str
    exposed: str


@dataclass(frozen=True, slots=True)
class ScalingPicture:
    """Throughput and efficiency of one recipe, with their table."""

    recipe: RecipeLabel
    words: tuple[str, ...]
    """What the most devices reach, and what communication costs there."""
    unit: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    efficiency_ticks: tuple[tuple[float, str], ...]
    series: tuple[Series, ...]
    labels: tuple[Label, ...]
    efficiency_labels: tuple[Label, ...]
    rows: tuple[ScalingRow, ...]
    rest: str


def scaling_pictures(records: Sequence[Record]) -> list[ScalingPicture]:
    """One for each recipe that is predicted or measured on several devices of a machine."""
    return [_picture(runs) for runs in device_runs(records)]


def _picture(runs: Sequence[Run]) -> ScalingPicture:
    drawn, recipe = runs[:MOST], runs[0][1][0].record.recipe
    axes, names = _axes([steps for _, steps in drawn]), list(dict.fromkeys(name for name, _ in drawn))
    series = [_series(name, steps, names.index(name), axes) for name, steps in drawn]
    counts = sorted({step.devices for _, steps in drawn for step in steps})
    ends = [f"{each.name} measured" if each.basis == "measured" else each.name for each in series]
    tops, shares = [each.points[-1].at for each in series], [each.points[-1].efficiency_at for each in series]
    return ScalingPicture(
        recipe=recipe_label(recipe),
        words=tuple(f"{_where(step)}: {_cost(step)}" for step in _told([steps[-1] for _, steps in drawn])),
        unit=f"{sample_unit(recipe)}/s",
        x_ticks=tuple((axes.x.place(count), f"{count:,}") for count in counts[:: -(-len(counts) // 8)]),
        y_ticks=tuple((axes.y.place(tick), format_tick(format_si(tick, ""))) for tick in axes.y.few_ticks()),
        efficiency_ticks=tuple((axes.share.place(tick), format_share(tick)) for tick in axes.share.ticks()),
        series=tuple(series),
        labels=tuple(place_labels(ends, tops, right=True)),
        efficiency_labels=tuple(place_labels(ends, shares, height=_LOW, right=True)),
        rows=tuple(_row(name, step) for name, steps in drawn for step in steps),
        rest=f"{len(runs) - MOST:,} slower ones are not shown" if len(runs) > MOST else "",
    )


# ---------------------------------------------------------------------- drawing
@dataclass(frozen=True, slots=True)
class _Axes:
    x: LogAxis
    y: LogAxis
    share: LinearAxis


def _axes(runs: Sequence[Sequence[DeviceStep]]) -> _Axes:
    steps = [step for each in runs for step in each]
    most, shares = max(step.devices for step in steps), [step.efficiency for step in steps]
    ideal = [each[0].samples_per_second * each[-1].devices for each in runs]
    rates = [step.rate(end) for step in steps for end in (step.seconds, *(step.interval or ())) if end > 0]
    floor = next(floor for floor in _FLOORS if floor < min(shares) or floor == 0)
    return _Axes(
        LogAxis(1.0, float(most), 3.0, 82.0),
        log_axis([*ideal, *rates], 100.0, 0.0),
        linear_axis(max(1.0, *shares) + (1 - floor) / 10, 100.0, 0.0, low=floor, most=5),
    )


def _series(name: str, steps: Sequence[DeviceStep], color: int, axes: _Axes) -> Series:
    one, last = steps[0].samples_per_second, steps[-1].devices
    return Series(
        name=name,
        basis=steps[0].basis,
        color=color,
        points=tuple(_point(step, axes) for step in steps),
        ideal=(axes.x.place(1), axes.y.place(one), axes.x.place(last), axes.y.place(one * last)),
    )


def _point(step: DeviceStep, axes: _Axes) -> Point:
    x, span = axes.x.place(step.devices), step.interval
    return Point(
        at=(x, axes.y.place(step.samples_per_second)),
        efficiency_at=(x, axes.share.place(step.efficiency)),
        span=(axes.y.place(step.rate(span[1])), axes.y.place(step.rate(span[0]))) if span and span[0] > 0 else None,
        label=f"{_where(step)}: {_words(step)}",
    )


# ---------------------------------------------------------------------- words
def _where(step: DeviceStep) -> str:
    return f"{step.devices:,} {plain(step.record.machine.name, LABEL_LENGTH)}, {step.basis}"


def _told(last: Sequence[DeviceStep]) -> list[DeviceStep]:
    """Those that the text tells of: all of two, else the fastest, the one that loses most, and what was measured."""
    least = min(last, key=lambda step: step.efficiency)
    return [step for step in last if len(last) < 3 or step in (last[0], least) or step.basis == "measured"]


def _words(step: DeviceStep) -> str:
    reached = format_rate(step.samples_per_second, sample_unit(step.record.recipe))
    return reached if step.devices == 1 else f"{reached}, {format_share(step.efficiency)} of as many single ones"


def _cost(step: DeviceStep) -> str:
    """The throughput with what the devices exchange, or how they were measured."""
    plan, measured = step.record.plan, scaling_view(step.record.scaling)
    rest = plan_words(plan) if plan else measured.summary if measured else ""
    return f"{format_rate(step.samples_per_second, sample_unit(step.record.recipe))}, {rest}"


def _row(name: str, step: DeviceStep) -> ScalingRow:
    plan = step.record.plan if step.devices > 1 else None
    return ScalingRow(
        machine=name,
        devices=f"{step.devices:,}",
        basis=step.basis,
        throughput=format_rate(step.samples_per_second, sample_unit(step.record.recipe)),
        step=format_seconds(step.seconds),
        interval=format_seconds_interval(step.interval) if step.interval else "",
        efficiency=format_share(step.efficiency),
        exchanged=format_bytes(plan.communication_bytes) if plan else "",
        communication=format_seconds(plan.communication_seconds) if plan else "",
        exposed=format_seconds(plan.exposed_seconds) if plan else "",
    )
