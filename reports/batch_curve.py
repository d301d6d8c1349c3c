"""Memory and throughput against the batch, one curve for each precision with and without checkpointing."""

from dataclasses import dataclass

from sslbench.bench.grid import Settings
from sslbench.bench.record import Record
from sslbench.reports.axes import LinearAxis, LogAxis, linear_axis, log_axis
from sslbench.reports.units import format_bytes, format_rate, format_seconds
from sslbench.reports.words import VERDICTS, machine_title, plain, sample_unit

_GIB = 2**30
_BEYOND = 2.0
"""Memory is drawn up to so many times the capacity."""
_ABOVE, _BELOW = (0.0, 54.0), (64.0, 100.0)
"""From top to bottom, in percent of the drawing: memory, and throughput."""
SERIES = {"fp32": 6, "tf32": 1, "bf16": 0, "fp16": 2, "int8": 3}
"""Number of the colour of a precision."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One cell of the grid, in percent of the drawing."""

    x: float
    memory_y: float | None
    """None where it lies beyond the drawing."""
    rate_y: float | None
    """None where it does not fit, and so has no throughput."""
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One precision, with or without checkpointing."""

    label: str
    series: int
    checkpointing: bool
    memory_line: str
    """Points of a polyline; of a thousandth of the drawing's width and height."""
    rate_line: str
    dots: tuple[Dot, ...]
    limit_at: float | None
    """Where the largest batch lies."""
    limit: str


@dataclass(frozen=True, slots=True)
class BatchCurve:
    """The picture of one machine."""

    summary: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[tuple[float, str], ...]
    memory_ticks: tuple[tuple[float, str], ...]
    rate_ticks: tuple[tuple[float, str], ...]
    rate_unit: str
    capacity: str
    capacity_y: float
    own_x: float


def batch_curve(record: Record) -> BatchCurve | None:
    """The picture of a record's grid; None where it has none, or no capacity to draw the limit at."""
    grid, capacity, own = record.what_if, record.memory.capacity_bytes, record.recipe.batch_size
    if grid is None or not capacity or not own:
        return None
    bytes_ = [size for each in grid.settings for size in each.required_bytes if size and size <= _BEYOND * capacity]
    rates = [rate for each in grid.settings for rate in _fitting(each) if rate]
    x = LogAxis(grid.batch_sizes[0], grid.batch_sizes[-1], 0.0, 100.0)
    memory = log_axis((size / _GIB for size in (*bytes_, capacity)), _ABOVE[1], _ABOVE[0])
    rate = linear_axis(max(rates, default=1.0), _BELOW[1], _BELOW[0], most=3)
    unit = sample_unit(record.recipe)
    return BatchCurve(
        summary=_summary(record, grid.settings),
        curves=tuple(_curve(each, grid.batch_sizes, _Axes(x, memory, rate), unit) for each in grid.settings),
        x_ticks=tuple((x.place(batch), f"{batch:,}") for batch in grid.batch_sizes),
        memory_ticks=tuple((memory.place(tick), f"{tick:g}") for tick in memory.ticks()),
        rate_ticks=tuple((rate.place(tick), f"{tick:,g}") for tick in rate.ticks()),
        rate_unit=f"{unit}/s",
        capacity=format_bytes(capacity),
        capacity_y=memory.place(capacity / _GIB),
        own_x=x.place(own),
    )


def _fitting(settings: Settings) -> list[float | None]:
    return [
        None if verdict in (None, "does-not-fit") else rate
        for verdict, rate in zip(settings.verdicts, settings.samples_per_second, strict=True)
    ]


def settings_label(precision: str, *, checkpointing: bool) -> str:
    """What a pair of settings is called."""
    return f"{precision}, checkpointing" if checkpointing else precision


@dataclass(frozen=True, slots=True)
class _Axes:
    x: LogAxis
    memory: LogAxis
    """In GiB."""
    rate: LinearAxis


def _curve(settings: Settings, batches: list[int], axes: _Axes, unit: str) -> Curve:
    dots, x, memory = [], axes.x, axes.memory
    for place, (batch, speed) in enumerate(zip(batches, _fitting(settings), strict=True)):
        size = settings.required_bytes[place]
        inside = size is not None and size / _GIB <= memory.high
        dots.append(
            Dot(
                x=x.place(batch),
                memory_y=memory.place(size / _GIB) if size is not None and inside else None,
                rate_y=None if speed is None else axes.rate.place(speed),
                label=_label(settings, place, batch, unit),
            )
        )
    largest = settings.max_batch_size
    return Curve(
        label=settings_label(settings.precision, checkpointing=settings.activation_checkpointing),
        series=SERIES[settings.precision],
        checkpointing=settings.activation_checkpointing,
        memory_line=_line([(dot.x, dot.memory_y) for dot in dots]),
        rate_line=_line([(dot.x, dot.rate_y) for dot in dots]),
        dots=tuple(dots),
        limit_at=x.place(largest) if largest and x.low <= largest <= x.high else None,
        limit="not known" if largest is None else f"{largest:,}",
    )


def _line(points: list[tuple[float, float | None]]) -> str:
    return " ".join(f"{10 * left:.1f},{10 * top:.1f}" for left, top in points if top is not None)


def _label(settings: Settings, place: int, batch: int, unit: str) -> str:
    what = f"batch {batch:,}, {settings_label(settings.precision, checkpointing=settings.activation_checkpointing)}"
    size, step, speed = (
        column[place] for column in (settings.required_bytes, settings.step_seconds, settings.samples_per_second)
    )
    if size is None:
        return f"{what}: {plain(settings.unknown[place])}"
    words = [VERDICTS[settings.verdicts[place] or "none"].word, format_bytes(size)]
    if step is not None:
        words.append(f"{format_seconds(step)} a step")
    if speed is not None:
        words.append(format_rate(speed, unit))
    return f"{what}: {', '.join(words)}"


def _summary(record: Record, settings: list[Settings]) -> str:
    limits = ", ".join(
        f"{each.max_batch_size:,} in {each.precision}{' with checkpointing' if each.activation_checkpointing else ''}"
        for each in settings
        if each.max_batch_size is not None
    )
    return (
        f"Predicted memory and throughput against the batch on {machine_title(record.machine)}; largest batch {limits}"
    )
