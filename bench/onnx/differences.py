"""How far ONNX Runtime's outputs are from torch's. Imports no torch."""

from collections.abc import Sequence

import numpy as np

from sslbench.bench.errors import MeasureError

TOLERANCE = {"fp32": 1e-3, "tf32": 1e-2, "fp16": 2e-2, "int8": 0.25}
"""Largest difference allowed, as a share of the output's largest value, by precision; docs/onnx.md has the reasons."""


def check_outputs(
    found: Sequence[np.ndarray], expected: Sequence[np.ndarray], tolerance: float, names: Sequence[str] = ()
) -> float:
    """Compare output by output.

    Args:
        found: what ONNX Runtime computed.
        expected: what torch computed.
        tolerance: largest difference allowed, as a share of the largest expected value.
        names: of the outputs, in the model.

    Returns:
        The largest difference of all outputs, as such a share.

    Raises:
        MeasureError: names the worst output, the difference and the tolerance.
    """
    if len(found) != len(expected):
        raise MeasureError(f"the exported model has {len(found)} outputs, torch gave {len(expected)}")
    called = [f"output {names[index] if names else index}" for index in range(len(found))]
    for name, ours, theirs in zip(called, found, expected, strict=True):
        if ours.shape != theirs.shape:
            raise MeasureError(f"{name} has shape {ours.shape} in ONNX Runtime, {theirs.shape} in torch")
    shares = [_share(ours, theirs) for ours, theirs in zip(found, expected, strict=True)]
    worst = max(range(len(shares)), key=shares.__getitem__, default=None)
    if worst is None:
        return 0.0
    if not shares[worst] <= tolerance:
        raise MeasureError(
            f"{called[worst]} differs between ONNX Runtime and torch by {shares[worst]:.3g} of its largest value, "
            f"{_largest(expected[worst]):.3g}; {tolerance:g} is allowed: the exported model computes something else"
        )
    return shares[worst]


def _share(found: np.ndarray, expected: np.ndarray) -> float:
    difference, scale = _largest(found.astype(np.float64) - expected.astype(np.float64)), _largest(expected)
    if difference == 0:
        return 0.0
    return difference / scale if scale and np.isfinite(difference) else float("inf")


def _largest(values: np.ndarray) -> float:
    return float(np.max(np.abs(values.astype(np.float64)), initial=0.0))
