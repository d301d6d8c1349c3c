"""Memory over a step as stacked areas: which category is alive when, and what holds the peak.

Places are percent of the drawing, except for the paths of the areas: SVG paths take no percent, so they are written for
a square of `SIDE` units, which the page stretches.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from sslbench.bench.explanation import Timeline
from sslbench.bench.record import Record
from sslbench.reports.axes import LinearAxis, anchor, linear_axis
from sslbench.reports.explain import AliveRow, ExplainView, explain_views
from sslbench.reports.memory import category_key, in_order
from sslbench.reports.timeline import NEAR, phase_at
from sslbench.reports.units import byte_unit, format_bytes, format_share, format_tick
from sslbench.reports.words import LABEL_LENGTH, RecipeLabel, machine_title, plain, recipe_label

SIDE = 1000
HOVERS = 60
"""Columns, at most, that say what is alive when one points at them."""
_HEADROOM = 1.12
"""Times the highest value that the drawing reaches: the peak's mark and its words need room."""
_THIN = 0.004
"""Part of the peak below which a category is no more than a line: its bytes then show as those of the next above."""
_NAMED = 0.09
"""Part of the drawing's height from which an area has room for its name."""
_NARROW = 16.0
"""Percent of the width below which an area has no room for its name, and a phase's stands below its neighbours'."""
_PHASES = ("forward", "backward", "optimizer")
_WORTH = 3
"""Holders of the peak that are named beside the drawing."""


@dataclass(frozen=True, slots=True)
class Area:
    """A category, drawn from 0 up to its upper edge: the areas below it lie over it."""

    key: str
    label: str
    path: str
    size: str
    """At the peak."""
    share: str
    name_at: tuple[float, float] | None
    """Where it is high enough for its name."""
    anchor: str


@dataclass(frozen=True, slots=True)
class Band:
    """A phase."""

    key: str
    label: str
    left: float
    width: float
    label_at: float
    anchor: str
    low: bool
    """Whether its name stands below the others, because it is narrow."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A column of the drawing, and what is alive at its highest moment."""

    left: float
    width: float
    label: str


@dataclass(frozen=True, slots=True)
class MemoryTimeline:
    """The drawing, its table, and the peak in words."""

    recipe: RecipeLabel
    machines: str
    summary: str
    """When the peak comes, and which categories are alive then."""
    holders: tuple[AliveRow, ...]
    """The modules and lines that hold most of it; `alive` has more."""
    left: tuple[str, ...]
    """What each machine leaves for tensors, in words."""
    y_ticks: tuple[tuple[float, str], ...]
    areas: tuple[Area, ...]
    """From the top: the order in which they are drawn."""
    bands: tuple[Band, ...]
    rooms: tuple[tuple[float, str], ...]
    """Height and name of what a machine leaves for tensors, where it is near the peak."""
    peak: str
    peak_at: tuple[float, float]
    peak_anchor: str
    moments: tuple[Moment, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """Phases, each at its own highest moment: all bytes, then those of each category."""
    alive: tuple[AliveRow, ...]


@dataclass(frozen=True, slots=True)
class _Layer:
    """Bytes of a category at every moment, and of it with all below it."""

    key: str
    label: str
    heights: Sequence[int]
    upper: Sequence[int]


def memory_timelines(records: Sequence[Record]) -> list[MemoryTimeline]:
    """Of the records that are explained; machines on which the step allocates alike share one."""
    explained = [record for record in records if record.explain]
    groups: dict[str, list[tuple[Record, ExplainView]]] = {}
    for record, view in zip(explained, explain_views(explained), strict=True):
        key = json.dumps([record.recipe.model_dump(), view.explanation.timeline.model_dump()])
        groups.setdefault(key, []).append((record, view))
    return [drawn for group in groups.values() if (drawn := _timeline(group))]


def _timeline(group: Sequence[tuple[Record, ExplainView]]) -> MemoryTimeline | None:
    (record, view), timeline = group[0], group[0][1].explanation.timeline
    stack, at = _stack(timeline), timeline.peak_at
    totals = stack[-1].upper if stack else []
    if at is None or not 0 <= at < len(totals) or totals[at] <= 0:
        return None
    rooms: dict[int, list[str]] = {}
    for each, said in group:
        if said.room_bytes is not None and 0 < said.room_bytes <= NEAR * totals[at]:
            rooms.setdefault(said.room_bytes, []).append(plain(each.machine.name, LABEL_LENGTH))
    axis = linear_axis(_HEADROOM * max(*totals, *rooms), 100.0, 0.0, unit=byte_unit(totals[at]))
    places = list(accumulate((_place(timeline, position) for position in timeline.positions), max))
    drawn = [layer for layer in reversed(stack) if max(layer.heights) >= _THIN * totals[at]]
    return MemoryTimeline(
        recipe=recipe_label(record.recipe),
        machines=", ".join(dict.fromkeys(machine_title(each.machine) for each, _ in group)),
        summary=f"Peak of {format_bytes(totals[at])} {_when(timeline, at, places)}: {_alive(stack, at)}",
        holders=view.alive[:_WORTH],
        left=tuple(f"{machine_title(record.machine)}: {view.room}" for record, view in group if view.room),
        y_ticks=tuple((axis.place(tick), format_tick(format_bytes(tick))) for tick in axis.ticks()),
        areas=tuple(_area(layer, places, axis, at, totals[at]) for layer in drawn),
        bands=tuple(_bands(timeline)),
        rooms=tuple((axis.place(room), _left_on(room, names)) for room, names in rooms.items()),
        peak=format_bytes(totals[at]),
        peak_at=(places[at], axis.place(totals[at])),
        peak_anchor=anchor(places[at]),
        moments=tuple(_moments(timeline, stack, places)),
        columns=("All", *(layer.label for layer in stack)),
        rows=tuple(_rows(timeline, stack)),
        alive=view.alive,
    )


# ---------------------------------------------------------------------- drawing
def _place(timeline: Timeline, position: int) -> float:
    end = max(*timeline.positions, 1)
    return round(100 * min(max(position, 0), end) / end, 2)


def _stack(timeline: Timeline) -> list[_Layer]:
    """Categories from the bottom, without those that hold nothing."""
    layers: list[_Layer] = []
    lower = [0] * min(map(len, (timeline.positions, *timeline.bytes.values())))
    for name in in_order(timeline.bytes):
        heights = [max(size, 0) for size in timeline.bytes[name][: len(lower)]]
        if any(heights):
            lower = [below + height for below, height in zip(lower, heights, strict=True)]
            layers.append(_Layer(category_key(name), plain(name, LABEL_LENGTH), heights, lower))
    return layers


def _area(layer: _Layer, places: Sequence[float], axis: LinearAxis, at: int, peak: int) -> Area:
    high = [point for point, height in enumerate(layer.heights) if height >= 0.6 * max(layer.heights)]
    middle, wide = high[len(high) // 2], places[high[-1]] - places[high[0]] > _NARROW
    height = axis.place(layer.upper[middle] - layer.heights[middle] / 2)
    return Area(
        key=layer.key,
        label=layer.label,
        path=_path(places, [axis.place(value) for value in layer.upper]),
        size=format_bytes(layer.heights[at]),
        share=format_share(layer.heights[at] / peak),
        name_at=(places[middle], height) if wide and layer.heights[middle] >= _NAMED * axis.high else None,
        anchor=anchor(places[middle]),
    )


def _path(places: Sequence[float], heights: Sequence[float]) -> str:
    """From the lower left over every place to the lower right; what lies within a level line is left out."""
    xs, ys = ([round(SIDE * value / 100) for value in values] for values in (places, heights))
    last = len(ys) - 1
    kept = [n for n, y in enumerate(ys) if n in (0, last) or not ys[n - 1] == y == ys[n + 1]]
    return f"M{xs[0]} {SIDE}L{' '.join(f'{xs[n]} {ys[n]}' for n in kept)}V{SIDE}Z"


def _bands(timeline: Timeline) -> Iterator[Band]:
    edges = [*accumulate((_place(timeline, start) for _, start in timeline.phases), max), 100.0]
    for (name, _), (left, right) in zip(timeline.phases, pairwise(edges), strict=False):
        width = round(right - left, 2)
        if width > 0:
            key, low = name if name in _PHASES else "other", width < _NARROW
            last = low and right > 95
            middle = 100.0 if last else round((left + right) / 2, 2)
            side = "end" if last else "middle"
            yield Band(key, plain(name, LABEL_LENGTH), left, width, middle, side, low)


def _moments(timeline: Timeline, stack: Sequence[_Layer], places: Sequence[float]) -> Iterator[Moment]:
    totals = stack[-1].upper
    every = -(-len(totals) // HOVERS)
    for start in range(0, len(totals), every):
        end = min(start + every, len(totals))
        point = max(range(start, end), key=totals.__getitem__)
        right = places[end] if end < len(totals) else 100.0
        label = f"{format_bytes(totals[point])} {_when(timeline, point, places)}: {_alive(stack, point)}"
        yield Moment(places[start], round(right - places[start], 2), label)


# ---------------------------------------------------------------------- words
def _when(timeline: Timeline, point: int, places: Sequence[float]) -> str:
    phase = phase_at(timeline, point)
    through = f"{places[point]:.0f} % of the way through the step"
    return f"in {phase}, {through}" if phase else through


def _left_on(room: int, names: Sequence[str]) -> str:
    others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return f"{format_bytes(room)} left on {names[0]}{others}"


def _alive(stack: Sequence[_Layer], point: int) -> str:
    """Categories that hold something at a moment, largest first."""
    held = sorted(((layer.heights[point], layer.label) for layer in stack), reverse=True)
    return ", ".join(f"{label} {format_bytes(size)}" for size, label in held if size)


def _rows(timeline: Timeline, stack: Sequence[_Layer]) -> Iterator[tuple[str, tuple[str, ...]]]:
    totals, phases = stack[-1].upper, [phase_at(timeline, point) for point in range(len(stack[-1].upper))]
    for name in dict.fromkeys(phases):
        point = max((point for point, phase in enumerate(phases) if phase == name), key=totals.__getitem__)
        sizes = (totals[point], *(layer.heights[point] for layer in stack))
        yield name or "(before a phase)", tuple(format_bytes(size) if size else "0" for size in sizes)
