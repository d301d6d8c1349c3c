"""Which storages are alive when: the peak of a trace, and what each moment holds. Plain data, no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from sslbench.bench.trace.events import Trace

Part = Literal["build", "first step", "second step"]
LATEST_FIRST: tuple[Part, ...] = ("second step", "first step", "build")


@dataclass(frozen=True, slots=True)
class Peak:
    """The moment when most bytes are alive, before an allocator rounds."""

    bytes: int
    position: int
    """Index into `Trace.events` of the allocation that reaches it; -1 in a trace without events."""
    part: Part
    """Where it lies; the second step, which every later one repeats, if that reaches it too."""


def part_range(trace: Trace, part: Part) -> range:
    """Positions of a part's events."""
    bounds = (0, *trace.marks)
    place = len(LATEST_FIRST) - 1 - LATEST_FIRST.index(part)
    return range(bounds[place], bounds[place + 1])


def totals(trace: Trace) -> list[int]:
    """Bytes alive after each event."""
    storages = trace.storages
    return list(accumulate(storages[event].size if event >= 0 else -storages[~event].size for event in trace.events))


def find_peak(trace: Trace, alive: Sequence[int] | None = None) -> Peak:
    """The peak of a trace.

    Args:
        trace: what is looked at.
        alive: its `totals`, if they are at hand.
    """
    alive = totals(trace) if alive is None else alive
    most = max(alive, default=0)
    for part in LATEST_FIRST:
        positions = part_range(trace, part)
        position = next((position for position in positions if alive[position] == most), None)
        if position is not None:
            return Peak(most, position, part)
    return Peak(0, -1, "second step")


def alive_after(trace: Trace, position: int) -> set[int]:
    """Indices of the storages that are alive after the event at a position."""
    alive: set[int] = set()
    for event in trace.events[: position + 1]:
        if event >= 0:
            alive.add(event)
        else:
            alive.discard(~event)
    return alive
