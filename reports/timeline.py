"""Memory over a step as a chart of characters: columns are moments, heights are bytes, shades are what holds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sslbench.bench.explanation import Timeline
from sslbench.reports.units import format_bytes
from sslbench.reports.words import LABEL_LENGTH, plain

HEIGHT = 12
"""Rows of the chart."""
NEAR = 1.6
"""The capacity is drawn where it is at most this many times the peak; beyond, the chart would be mostly empty."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Categories that share a shade, so that the chart can be read without colour."""

    label: str
    categories: tuple[str, ...]
    shade: str
    ascii: str
    style: str


LAYERS = (
    Layer("parameters, states", ("parameter", "optimizer state", "buffer", "input"), "█", "#", "blue"),
    Layer("gradients", ("gradient",), "▓", "%", "magenta"),
    Layer("activations", ("activation",), "▒", "=", "cyan"),
    Layer("temporary", (), "░", ".", "yellow"),
)
"""From the bottom; the last one takes every other category."""
CAPACITY = Layer("room", (), "╌", "-", "red")
EMPTY = Layer("", (), " ", " ", "")


@dataclass(frozen=True, slots=True)
class Chart:
    """Rows from the top, each with its label on the axis, and what stands below and above them."""

    rows: tuple[tuple[str, tuple[Layer, ...]], ...]
    phases: tuple[tuple[str, int], ...]
    """Each phase with the column where it starts."""
    peak_column: int
    peak: str
    peak_phase: str


def chart(timeline: Timeline, room: float | None, width: int) -> Chart | None:
    """The chart of a timeline, or None where nothing is allocated.

    Args:
        timeline: of one prediction.
        room: bytes that the machine leaves for tensors; None: not known.
        width: columns of the plot.
    """
    totals = timeline_totals(timeline)
    if timeline.peak_at is None or not 0 <= timeline.peak_at < min(len(totals), len(timeline.positions)):
        return None
    peak = totals[timeline.peak_at]
    if peak <= 0:
        return None
    shown = room is not None and 0 < room <= NEAR * peak
    scale = max(peak, room or 0) if shown else peak
    columns = [_layers(timeline, point) for point in _points(totals, width)]
    line = min(HEIGHT - 1, int((room or 0) / scale * HEIGHT)) if shown else None
    phases = tuple(
        (plain(name, LABEL_LENGTH), min(max(start, 0) * width // max(timeline.events, 1), width - 1))
        for name, start in timeline.phases
    )
    return Chart(
        rows=tuple(
            (_axis(row, line, scale, room), _row(columns, scale * (row + 0.5) / HEIGHT, capacity=row == line))
            for row in reversed(range(HEIGHT))
        ),
        phases=phases,
        peak_column=timeline.peak_at * width // len(totals),
        peak=format_bytes(peak),
        peak_phase=phase_at(timeline, timeline.peak_at),
    )


def timeline_totals(timeline: Timeline) -> list[int]:
    """Bytes alive at each moment, all categories together."""
    return [sum(column) for column in zip(*timeline.bytes.values(), strict=False)]


def _points(totals: Sequence[int], width: int) -> list[int]:
    """For each column the moment with most bytes among those that fall into it."""
    bounds = [column * len(totals) // width for column in range(width + 1)]
    return [max(range(start, max(end, start + 1)), key=totals.__getitem__) for start, end in pairwise(bounds)]


def _layers(timeline: Timeline, point: int) -> list[tuple[float, Layer]]:
    """Layers of a moment with the height of their upper edges, from the bottom."""
    left = {category: column[point] for category, column in timeline.bytes.items()}
    edges, height = [], 0.0
    for layer in LAYERS[:-1]:
        height += sum(left.pop(category, 0) for category in layer.categories)
        edges.append((height, layer))
    return [*edges, (height + sum(left.values()), LAYERS[-1])]


def _row(columns: Sequence[Sequence[tuple[float, Layer]]], height: float, *, capacity: bool) -> tuple[Layer, ...]:
    if capacity:
        return (CAPACITY,) * len(columns)
    return tuple(next((layer for edge, layer in column if edge > height), EMPTY) for column in columns)


def _axis(row: int, line: int | None, scale: float, room: float | None) -> str:
    if row == line:
        return format_bytes(room or 0)
    if row == HEIGHT - 1 or (row == HEIGHT // 2 - 1 and line not in (row - 1, row + 1)):
        return format_bytes(scale * (row + 1) / HEIGHT)
    return ""


def phase_at(timeline: Timeline, point: int) -> str:
    """The phase of a moment; empty where none has begun."""
    names = [name for name, start in timeline.phases if start <= timeline.positions[point]]
    return plain(names[-1], LABEL_LENGTH) if names else ""
