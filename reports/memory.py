"""Memory of one step as a bar: what it is made of, against what the machine has."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sslbench.bench.quantities import Memory
from sslbench.reports.units import format_bytes, format_bytes_interval, format_bytes_of
from sslbench.reports.words import LABEL_LENGTH, plain

_ORDER = ("parameter", "gradient", "optimizer state", "buffer", "input", "activation", "temporary")
"""Categories of tensors: what stays from step to step first, then what one step adds."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One category of the bar; positions are percent of the bar's width."""

    label: str
    key: str
    """CSS class of its colour."""
    bytes: int
    size: str
    share: str
    """Of all that is required."""
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class MemoryBar:
    """A stacked bar with the capacity and the 90 % interval marked, in percent of its width."""

    segments: tuple[Segment, ...]
    total: str
    summary: str
    capacity: str
    capacity_at: float | None
    over: float
    """What lies beyond the capacity."""
    interval: str
    interval_from: float | None
    interval_to: float | None


def memory_bar(memory: Memory) -> MemoryBar | None:
    """The bar of a step's memory, or None where the record does not break it down."""
    parts = [(label, key, size) for label, key, size in _parts(memory) if size > 0]
    total = sum(size for _, _, size in parts)
    if not total:
        return None
    capacity = memory.capacity_bytes if memory.capacity_bytes and memory.capacity_bytes > 0 else None
    interval = memory.interval_bytes
    scale = max(total, capacity or 0, interval[1] if interval else 0)
    return MemoryBar(
        segments=tuple(_segments(parts, total, scale)),
        total=format_bytes(total),
        summary=_summary(parts, total, capacity),
        capacity=format_bytes(capacity) if capacity else "",
        capacity_at=_percent(capacity, scale) if capacity else None,
        over=_percent(total - capacity, scale) if capacity else 0.0,
        interval=format_bytes_interval(interval, whole=capacity) if interval else "",
        interval_from=_percent(interval[0], scale) if interval else None,
        interval_to=_percent(interval[1], scale) if interval else None,
    )


def in_order(names: Collection[str]) -> list[str]:
    """Categories of tensors in the order in which they are stacked; unknown ones last."""
    return [name for name in _ORDER if name in names] + sorted(set(names) - set(_ORDER))


def category_key(name: str) -> str:
    """CSS class of a category's colour."""
    return name.replace(" ", "-") if name in _ORDER else "other"


def _parts(memory: Memory) -> Iterator[tuple[str, str, int]]:
    """Label, colour and bytes of every part, so that they add up to what is required."""
    for name in in_order(memory.breakdown):
        yield plain(name, LABEL_LENGTH), category_key(name), max(memory.breakdown[name], 0)
    tensors = sum(max(size, 0) for size in memory.breakdown.values())
    allocated = max(memory.peak_allocated_bytes or 0, tensors)
    yield "other tensors", "other", allocated - tensors
    reserved = max(memory.peak_reserved_bytes or 0, allocated)
    yield "allocator cache", "cache", reserved - allocated
    overhead = max(memory.fixed_overhead_bytes or 0, 0)
    yield "fixed overhead", "overhead", overhead
    yield "not attributed", "other", (memory.required_bytes or 0) - reserved - overhead


def _segments(parts: list[tuple[str, str, int]], total: int, scale: float) -> Iterator[Segment]:
    start = 0
    for label, key, size in parts:
        share = 100 * size / total
        yield Segment(
            label=label,
            key=key,
            bytes=size,
            size=format_bytes(size),
            share=f"{share:.0f} %" if share >= 1 else "< 1 %",
            left=_percent(start, scale),
            width=_percent(size, scale),
        )
        start += size


def _summary(parts: list[tuple[str, str, int]], total: int, capacity: int | None) -> str:
    whole = format_bytes_of(total, capacity) if capacity else format_bytes(total)
    return f"{whole}: " + ", ".join(f"{label} {format_bytes(size)}" for label, _, size in parts)


def _percent(value: float, scale: float) -> float:
    return round(min(max(100 * value / scale, 0.0), 100.0), 3)
