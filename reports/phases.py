"""The phases of a measured step as a bar: how long each takes, and how much memory tensors hold in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sslbench.bench.measured import PhaseMeasured
from sslbench.reports.units import format_bytes, format_seconds, format_share


@dataclass(frozen=True, slots=True)
class PhaseSegment:
    """One phase; positions are percent of the bar's width."""

    label: str
    key: str
    """CSS class of its colour."""
    seconds: str
    share: str
    """Of all phases together."""
    memory: str
    """Most that tensors held in it; empty where that is not known."""
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class PhaseBar:
    """Phases side by side, in order; together they are the bar."""

    segments: tuple[PhaseSegment, ...]
    together: str
    summary: str


def phase_bar(phases: Sequence[PhaseMeasured]) -> PhaseBar | None:
    """The bar of a step's phases, or None where none has a time."""
    total = sum(phase.seconds or 0 for phase in phases)
    if total <= 0:
        return None
    segments = tuple(_segments(phases, total))
    parts = ", ".join(f"{segment.label} {segment.seconds}" for segment in segments)
    return PhaseBar(segments, format_seconds(total), f"{format_seconds(total)}: {parts}")


def _segments(phases: Sequence[PhaseMeasured], total: float) -> Iterator[PhaseSegment]:
    start = 0.0
    for phase in phases:
        seconds = phase.seconds or 0.0
        if seconds > 0 or phase.peak_allocated_bytes:
            yield PhaseSegment(
                label=phase.name,
                key=f"phase-{phase.name}",
                seconds=format_seconds(seconds) if seconds > 0 else "",
                share=format_share(seconds / total) if seconds > 0 else "",
                memory="" if phase.peak_allocated_bytes is None else format_bytes(phase.peak_allocated_bytes),
                left=round(100 * start / total, 3),
                width=round(100 * seconds / total, 3),
            )
            start += seconds
