"""Casts that ONNX Runtime put around operators which it has no half-precision kernel for. Imports no torch."""

from pathlib import Path

import onnx


def added_casts(model: Path, optimised: Path) -> int:
    """How many more casts the graph that runs has than the model."""
    return _casts(optimised) - _casts(model)


def _casts(path: Path) -> int:
    return sum(node.op_type == "Cast" for node in onnx.load(path, load_external_data=False).graph.node)
