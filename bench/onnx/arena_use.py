"""What a session's arena held and what was in use of it, from ONNX Runtime's own profile. Imports no torch.

Every node event of a profile has the arena's statistics after the node: bytes in use, their high-water mark, and bytes
that the arena holds from the system. Seen in onnxruntime 1.31; a version that leaves them out gives None.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STEP_ENDS = "model_run"


@dataclass(frozen=True, slots=True)
class ArenaUse:
    """Bytes of a session's arena."""

    step_bytes: int
    """Most that the results within a step took, beside what was in use before it (weights that kernels repacked)."""
    held_bytes: int
    """What the arena took from the system."""


def read_arena_use(profile: Path) -> ArenaUse | None:
    """The arena's figures from the profile of a session that ran at least two steps.

    What a step needs is read off the first: from the second on the arena gives one block for all of a step's results,
    as long as it was in the first.

    Raises:
        ValueError, OSError: the file is no profile, or cannot be read.
    """
    events = json.loads(profile.read_text(encoding="utf-8"))
    ends = [place for place, event in enumerate(events) if event.get("name") == _STEP_ENDS]
    if not ends:
        return None
    first = [args for event in events[: ends[0]] if (args := _statistics(event)) is not None]
    every = [args for event in events if (args := _statistics(event)) is not None]
    if not first:
        return None
    before = first[0]["mem_bytes_in_use"] - first[0]["mem_in_use_delta"]
    marks = [args["mem_in_use_peak"] for args in first]
    # While weights are repacked more may be in use than in the step: then its mark stands still.
    peak = marks[-1] if marks[-1] > marks[0] else max(args["mem_bytes_in_use"] for args in first)
    return ArenaUse(step_bytes=peak - before, held_bytes=max(args["mem_arena_held"] for args in every))


def _statistics(event: dict[str, Any]) -> dict[str, int] | None:
    args = event.get("args") or {}
    names = ("mem_bytes_in_use", "mem_in_use_delta", "mem_in_use_peak", "mem_arena_held")
    return {name: int(args[name]) for name in names} if all(name in args for name in names) else None
