"""Exported models whose batch is free: which inputs have it, and whether the model keeps the promise. Imports torch.

The exporter may take a size for free that the module's own code fixes: `x.reshape(2, 3)` is exported, with a promise
that only a batch of 2 keeps. So a model is run at another batch before anybody is told that it takes any.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # ships no types
import torch

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.differences import TOLERANCE, check_outputs
from sslbench.bench.onnx.options import session_options

BATCH = "batch"
"""Name of the dimension that is free in an exported model."""
Inputs = tuple[torch.Tensor, ...]


def batch_dimensions(inputs: Inputs) -> tuple[dict[int, Any], ...]:
    """What `torch.export` calls dynamic shapes: the first dimension of those inputs where it is the first input's."""
    size = inputs[0].shape[:1]
    return tuple({0: torch.export.Dim(BATCH)} if size and tensor.shape[:1] == size else {} for tensor in inputs)


def why_not_any_batch(path: Path, module: torch.nn.Module, inputs: Inputs) -> str:
    """What goes wrong at another batch than the exported one, in ONNX Runtime or in torch; empty where nothing does.

    Args:
        path: of the model.
        module: what was exported.
        inputs: one batch of it.
    """
    count = len(inputs[0])
    other = 3 if count == 2 else 2
    rows = torch.arange(other) % count
    given = [tensor[rows] if free else tensor for tensor, free in zip(inputs, batch_dimensions(inputs), strict=True)]
    try:
        with torch.inference_mode():
            expected = arrays(module(*given))
        options = session_options({"graph": "off"})
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [entry.name for entry in session.get_inputs()]
        found = session.run(None, dict(zip(names, map(array, given), strict=True)))
        check_outputs(found, expected, TOLERANCE["fp16" if expected[0].dtype == np.float16 else "fp32"])
    except Exception as error:  # torch's, for a module of one batch; the runtime's, which share no public base class
        return f"at a batch of {other}, {error}"
    return ""


def arrays(output: object) -> list[np.ndarray]:
    """The tensors of a module's output, flattened as torch.export does it."""
    leaves = torch.utils._pytree.tree_leaves(output)
    return [array(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor)]


def array(tensor: torch.Tensor) -> np.ndarray:
    """The numbers of a tensor.

    Raises:
        MeasureError: numpy has no such type.
    """
    if tensor.dtype == torch.bfloat16:
        raise MeasureError("onnx backends take no bf16 inputs or outputs (numpy has no bf16): use --precision fp32")
    return tensor.detach().cpu().numpy()
