"""Whether an exported training step computes what torch computes, as closely as float32 lets anybody say. No torch.

How far two correct programs may differ depends on the step: the gradient of a key bias is zero but for rounding, and
AdamW divides it by its own size. So torch runs the same steps twice, the second time from numbers that were changed in
their last bit. What that changes in a tensor is what rounding does to it, and ONNX Runtime may differ by `SPREAD` times
as much, plus a share of the tensor's own change. A ReLU whose input is zero but for rounding opens or closes, and its
gradients jump: that hits other tensors in every run, so the share grows with what the change does to most of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sslbench.bench.errors import MismatchError

Arrays = Mapping[str, np.ndarray]

SPREAD = 30.0
"""One change in the last bit of the inputs stands for the rounding of every operator on the way."""
LOSS_SHARE = 1e-5
"""Of the loss, or of 1 if it is smaller: 80 units of float32; a small loss is a difference of larger logits."""
UPDATE_SHARE = 0.02
"""Of a tensor's change since the start; what a wrong operator computes differs by about all of it."""
COMMON = 3.0
"""Times the upper quartile, over the tensors, of what the move changes in a tensor's change: added to the share."""
LARGEST_SHARE = 0.2
"""Of both together: a wrong operator stays far outside."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Where some steps led."""

    loss: float
    """Of the last of them."""
    state: Arrays
    """After it."""


def nudged(array: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Every float32 number of an array, moved to its neighbour below or above by chance; others as they are."""
    if array.dtype != np.float32:
        return array
    towards = np.where(random.random(array.shape) < 0.5, -np.inf, np.inf).astype(np.float32)
    return np.where(array == 0, array, np.nextafter(array, towards))


def check_steps(
    start: Arrays, expected: Reached, nudge: Reached, found: Reached, *, steps: int, first_loss: float
) -> None:
    """Compare what ONNX Runtime reached with torch.

    Args:
        start: the state before the first step, for ONNX Runtime and for torch.
        expected: what torch reached.
        nudge: what torch reached from a `nudged` start.
        found: what ONNX Runtime reached.
        steps: how many there were, for the message.
        first_loss: torch's loss of the first step.

    Raises:
        MismatchError: the loss or a tensor of the state differs too much; names the worst tensor.
    """
    share = _share(start, expected.state, nudge.state, list(found.state))
    allowed = LOSS_SHARE * max(abs(expected.loss), 1.0) + SPREAD * abs(nudge.loss - expected.loss)
    allowed += share * abs(expected.loss - first_loss)  # what the updates that may be off by a share have done
    _check_loss(expected.loss, found.loss, allowed, steps)
    worst, excess = "", 1.0
    for name, array in found.state.items():
        ratio = _excess(start[name], expected.state[name], nudge.state[name], array, share)
        if ratio > excess:
            worst, excess = name, ratio
    if worst:
        raise MismatchError(
            f"the exported training step computes something else than torch: after {steps} steps {worst} is "
            f"{excess:.3g} times as far off as rounding explains"
        )


def _check_loss(expected: float, found: float, allowed: float, steps: int) -> None:
    if not abs(found - expected) <= allowed:
        raise MismatchError(
            f"the exported training step computes something else than torch: the loss of step {steps} is {found:.7g} "
            f"in ONNX Runtime, {expected:.7g} in torch, and rounding explains {allowed:.2g}"
        )


def _share(start: Arrays, expected: Arrays, nudge: Arrays, names: list[str]) -> float:
    """What part of its change a tensor may be off by, whatever the move does to it."""
    changes = [(_norm(nudge[name], expected[name]), _norm(expected[name], start[name])) for name in names]
    jumps = [moved / change for moved, change in changes if change > 0]
    common = float(np.quantile(jumps, 0.75)) if jumps else 0.0
    return min(UPDATE_SHARE + COMMON * common, LARGEST_SHARE)


def _excess(start: np.ndarray, expected: np.ndarray, nudge: np.ndarray, found: np.ndarray, share: float) -> float:
    """The difference over what is allowed, in the Euclidean norm of the tensor."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    off = _norm(found, expected)
    # The new value itself is rounded, in both: half a unit in its last place.
    unit = float(np.linalg.norm(np.spacing(np.abs(expected)).ravel())) if expected.dtype.kind == "f" else 0.0
    allowed = share * _norm(expected, start) + SPREAD * _norm(nudge, expected) + unit
    if allowed == 0:
        return 0.0 if off == 0 else float("inf")
    return off / allowed if np.isfinite(off) and np.isfinite(allowed) else float("inf")


def _norm(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.linalg.norm((left.astype(np.float64) - right.astype(np.float64)).ravel()))
