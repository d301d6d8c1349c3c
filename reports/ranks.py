"""A step on several devices in words."""

from dataclasses import dataclass

from sslbench.bench.measured import Scaling
from sslbench.reports.units import format_bytes, format_seconds, format_share
from sslbench.reports.words import LABEL_LENGTH, NOT_KNOWN, plain


@dataclass(frozen=True, slots=True)
class ScalingView:
    """A step on several devices."""

    summary: str
    ranks: tuple[tuple[str, str, str, str], ...]
    """Rank, device, step time, memory."""


def scaling_view(scaling: Scaling | None) -> ScalingView | None:
    """What a report shows of the devices; None for a step on one."""
    if scaling is None:
        return None
    parts = [f"{scaling.devices:,} devices, {scaling.strategy} over {plain(scaling.communication, LABEL_LENGTH)}"]
    if scaling.efficiency is not None:
        parts.append(f"efficiency {format_share(scaling.efficiency)}")
    if scaling.single_step_seconds is not None:
        parts.append(f"one device takes {format_seconds(scaling.single_step_seconds)}")
    ranks = []
    for rank in scaling.ranks:
        held = next((size for size in (rank.peak_allocated_bytes, rank.resident_bytes) if size is not None), None)
        memory = NOT_KNOWN if held is None else format_bytes(held)
        ranks.append((str(rank.rank), plain(rank.device, LABEL_LENGTH), format_seconds(rank.step_seconds), memory))
    return ScalingView("; ".join(parts), tuple(ranks))
