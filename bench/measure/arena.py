"""What ONNX Runtime's arena held in a session of its own that is profiled. Part of the worker."""

from collections.abc import Callable
from pathlib import Path

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.messages import Outcome
from sslbench.bench.onnx.arena_use import read_arena_use


def count_arena(observe: Callable[[], Path], outcome: Outcome) -> int | None:
    """Most bytes of the arena that a step had in use; notes what the arena held, or why neither is known.

    Args:
        observe: runs two steps in a session that is profiled, for the second meets what the first made; returns the
            file of the profile, or raises a MeasureError, OSError or ValueError where there is none.
        outcome: is told.
    """
    use, reason = None, "ONNX Runtime does not tell what its arena holds"
    try:
        use = read_arena_use(observe())
    except (MeasureError, OSError, ValueError) as error:
        reason = f"no profile of ONNX Runtime: {error}"
    if use is None:
        for field in ("peak_allocated_bytes", "peak_reserved_bytes"):
            outcome.unknown[f"memory.{field}"] = reason
        return None
    outcome.peak_reserved_bytes = use.held_bytes
    return use.step_bytes
