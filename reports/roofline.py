"""The roofline of a predicted step: its operators below what the machine's arithmetic and its memory allow.

Arithmetic intensity against FLOP per second, both logarithmic. Source: Williams, Waterman and Patterson,
https://doi.org/10.1145/1498765.1498785. Operators without FLOP stand in a strip on the left, at the bytes that they
move in a second: on the same scale, since at 1 FLOP a byte the two numbers are equal. Places are percent of the
drawing, so that text and circles keep their size on any screen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

from sslbench.bench.explanation import Explanation, OperatorTime
from sslbench.bench.record import Record
from sslbench.hardware_profiles.schema import Device, DType
from sslbench.reports.axes import LogAxis, log_axis
from sslbench.reports.explain import BOUNDS, OperatorRow, operator_row
from sslbench.reports.units import format_seconds, format_share, format_si, format_tick
from sslbench.reports.words import LABEL_LENGTH, RecipeLabel, machine_title, plain, recipe_label

MOST = 12
"""Operators that are drawn; what comes after them takes little time, and would hide the others."""
_STRIP, _PANEL = 30.0, 34.0
"""Where the strip ends and the panel begins, in percent."""
_RADIUS, _LEAST_RADIUS = 34.0, 8.0
"""Of a circle for the whole step, and of the smallest, in pixels."""
_HEADROOM = 1.4
"""Times the fastest and over the slowest speed that the axis reaches, so that circles stay within."""
_APART = (3.5, 6.0)
"""Percent in width and in height between circles that would hide each other: they stand side by side."""
_GROUPS = (
    ("matrix products", ("product",)),
    ("convolutions", ("convolution",)),
    ("attention, softmax", ("attention", "softmax")),
    ("normalisation", ("normalisation",)),
    ("copies, conversions", ("copy", "conversion", "memory")),
    ("optimizer", ("optimizer",)),
    ("elementwise, reductions", ("",)),
)
"""What families of kernels are called together, by a part of their names; the first that matches."""


@dataclass(frozen=True, slots=True)
class Dot:
    """An operator as a circle, whose area is its time."""

    number: int
    x: float
    y: float
    radius: float
    group: int
    bound: str
    label: str


@dataclass(frozen=True, slots=True)
class Roof:
    """A straight line that no operator passes: `peak`, `memory` or `cache`."""

    key: str
    ends: tuple[float, float, float, float]
    """x1, y1, x2, y2."""
    label: str = ""
    label_at: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class RooflineRow:
    """An operator in words."""

    number: int
    words: OperatorRow
    family: str
    of_roof: str


@dataclass(frozen=True, slots=True)
class Roofline:
    """The drawing and its table."""

    recipe: RecipeLabel
    machine: str
    summary: str
    strip: float
    panel: float
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    roofs: tuple[Roof, ...]
    dots: tuple[Dot, ...]
    """Largest first, so that small ones stay on top."""
    legend: tuple[tuple[int, str, str], ...]
    """(group, name, numbers of its circles)."""
    rows: tuple[RooflineRow, ...]
    rest: str


def rooflines(records: Sequence[Record]) -> list[Roofline]:
    """Of the records that are explained, and whose operators know their bytes."""
    explained = ((record, record.explain.operators) for record in records if record.explain)
    found = ((record, [row for row in operators if row.bytes and row.seconds]) for record, operators in explained)
    return [_roofline(record, rows) for record, rows in found if rows]


def _roofline(record: Record, rows: Sequence[OperatorTime]) -> Roofline:
    device, explanation = record.machine.device, record.explain
    assert explanation is not None  # noqa: S101 - the caller looked
    shown, whole = list(enumerate(rows[:MOST], 1)), sum(row.seconds for row in explanation.operators)
    bandwidth, cache = device.memory_bandwidth_bytes_per_second.value, explanation.cache_bytes_per_second
    peaks = {row.dtype: peak for _, row in shown if row.dtype and (peak := _peak(row, device))}
    speeds = [bandwidth, *([cache] if cache else []), *peaks.values(), *(_speed(row) for _, row in shown)]
    y_axis = log_axis([_HEADROOM * max(speeds), min(speeds) / _HEADROOM], 100.0, 0.0)
    intensities = [1.0, *(peak / bandwidth for peak in peaks.values()), *_intensities(rows[:MOST])]
    x_axis = log_axis([min(intensities), _HEADROOM * max(intensities)], _PANEL, 100.0)
    dots = list(_dots(shown, (x_axis, y_axis), whole))
    return Roofline(
        recipe=recipe_label(record.recipe),
        machine=machine_title(record.machine),
        summary=_summary(whole, explanation.launch_seconds, explanation.operators),
        strip=_STRIP,
        panel=_PANEL,
        x_ticks=tuple((x_axis.place(tick), f"{tick:g}") for tick in x_axis.few_ticks()),
        y_ticks=tuple((y_axis.place(tick), format_tick(format_si(tick, ""))) for tick in y_axis.ticks()),
        roofs=(
            *_slopes((x_axis, y_axis), device, cache, max(peaks.values(), default=0.0)),
            *_peaks((x_axis, y_axis), peaks, bandwidth),
        ),
        dots=tuple(sorted(dots, key=lambda dot: -dot.radius)),
        legend=tuple(_legend(dots)),
        rows=tuple(_row(number, row, device, whole) for number, row in shown),
        rest=_rest(explanation, rows, whole),
    )


def _speed(row: OperatorTime) -> float:
    """FLOP per second; without FLOP, bytes per second."""
    return (row.flops or row.bytes) / row.seconds


def _intensities(rows: Sequence[OperatorTime]) -> Iterator[float]:
    return (row.flops / row.bytes for row in rows if row.flops)


def _roof_of(row: OperatorTime, device: Device) -> float:
    """The highest speed that peak and memory allow an operator."""
    bandwidth = device.memory_bandwidth_bytes_per_second.value
    slope = bandwidth * row.flops / row.bytes if row.flops else bandwidth
    return min(slope, _peak(row, device) or slope)


def _peak(row: OperatorTime, device: Device) -> float | None:
    figure = device.peak_flops_per_second.get(row.dtype) if row.dtype and row.flops else None
    return figure.value if figure else None


# ---------------------------------------------------------------------- drawing
_Axes = tuple[LogAxis, LogAxis]


def _dots(rows: Sequence[tuple[int, OperatorTime]], axes: _Axes, whole_seconds: float) -> Iterator[Dot]:
    movers = [number for number, row in rows if not row.flops]
    taken: list[tuple[float, float]] = []
    for number, row in rows:
        y = axes[1].place(_speed(row))
        if row.flops:
            x = _beside(axes[0].place(row.flops / row.bytes), y, taken)
        else:
            x = _STRIP * (movers.index(number) + 0.8) / (len(movers) + 0.6)
        words = operator_row(row, whole_seconds)
        figures = ", ".join(filter(None, (words.intensity, words.reached, f"bound by {words.bound}")))
        yield Dot(
            number=number,
            x=round(x, 2),
            y=y,
            radius=round(max(_LEAST_RADIUS, _RADIUS * sqrt(row.seconds / whole_seconds)), 1),
            group=_group(row.family),
            bound=row.bound,
            label=f"{words.calls} {words.operator}: {words.time}, {words.share} of the operators' time; {figures}",
        )


def _beside(x: float, y: float, taken: list[tuple[float, float]]) -> float:
    """A free place at this height, at or left of x; notes it as taken."""
    while any(abs(x - other) < _APART[0] and abs(y - height) < _APART[1] for other, height in taken):
        x -= _APART[0]
    taken.append((x, y))
    return x


def _group(family: str) -> int:
    return next(place for place, (_, parts) in enumerate(_GROUPS) if any(part in family for part in parts))


def _slopes(axes: _Axes, device: Device, cache: float | None, peak: float) -> Iterator[Roof]:
    """Memory's and the cache's rate: level in the strip, a slope up to the highest peak in the panel."""
    memory = device.memory_bandwidth_bytes_per_second.value
    for key, name, rate in (("memory", "memory", memory), ("cache", "L2", cache or 0.0)):
        if rate:
            level = axes[1].place(rate)
            yield Roof(key, (0.0, level, _STRIP, level))
            start, end = max(axes[0].low, axes[1].low / rate), min(axes[0].high, (peak or axes[1].high) / rate)
            middle = start ** (2 / 3) * end ** (1 / 3) if key == "memory" else start ** (1 / 3) * end ** (2 / 3)
            places = [(axes[0].place(x), axes[1].place(rate * x)) for x in (start, end, middle)]
            if start < end:
                yield Roof(key, (*places[0], *places[1]), f"{name} {format_si(rate, 'B/s')}", places[2])


def _peaks(axes: _Axes, peaks: dict[DType, float], bandwidth: float) -> Iterator[Roof]:
    """The level of each type's peak, from where memory reaches it."""
    for dtype, peak in peaks.items():
        ridge, level = axes[0].place(peak / bandwidth), axes[1].place(peak)
        yield Roof("peak", (ridge, level, 100.0, level), f"{dtype} {format_si(peak, 'FLOP/s')}", (ridge, level))


# ---------------------------------------------------------------------- words
def _legend(dots: Sequence[Dot]) -> Iterator[tuple[int, str, str]]:
    for group, (name, _) in enumerate(_GROUPS):
        numbers = [str(dot.number) for dot in dots if dot.group == group]
        if numbers:
            yield group, name, ", ".join(numbers)


def _row(number: int, row: OperatorTime, device: Device, whole_seconds: float) -> RooflineRow:
    return RooflineRow(
        number=number,
        words=operator_row(row, whole_seconds),
        family=plain(row.family, LABEL_LENGTH),
        of_roof=format_share(_speed(row) / _roof_of(row, device)),
    )


def _summary(device_seconds: float, launch_seconds: float, rows: Sequence[OperatorTime]) -> str:
    """`82 ms of 154 ms are bound by arithmetic, 70 ms by memory traffic; ...`."""
    seconds = {words: sum(row.seconds for row in rows if row.bound == bound) for bound, words in BOUNDS.items()}
    parts = [f"{format_share(each / device_seconds)} by {words}" for words, each in seconds.items() if each]
    launch = f"{format_seconds(launch_seconds)} to launch them from the host"
    return f"{format_seconds(device_seconds)} on the device, bound {', '.join(parts)}; {launch}"


def _rest(explanation: Explanation, rows: Sequence[OperatorTime], whole_seconds: float) -> str:
    """What is not drawn: shorter operators, and what is none (fresh memory)."""
    drawn, others = len(rows[:MOST]), [row for row in explanation.operators if not row.bytes and row.seconds]
    parts = [(plain(row.operator, LABEL_LENGTH), row.seconds) for row in others]
    if rows[MOST:]:
        parts.append((f"{len(rows) - drawn:,} shorter ones", sum(row.seconds for row in rows[MOST:])))
    words = (f"{name} {format_seconds(seconds)}, {format_share(seconds / whole_seconds)}" for name, seconds in parts)
    return "; ".join(words)
