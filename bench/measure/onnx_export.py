"""Exports a recipe's inference step to ONNX and checks it against torch before it is timed. Part of the worker."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch

from sslbench.bench.build import inference_module
from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.onnx_backend import (
    INPUTS_FILE,
    MODEL_FILE,
    check_provider,
    load_inputs,
    open_session,
)
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.recipe import Recipe

# Largest difference allowed between the two runtimes, as a share of the largest value of the output. fp32 kernels that
# sum in another order differ by some 1e-6 a layer; 16-bit types keep 8 (bf16) or 11 (fp16) bits.
TOLERANCE = {"fp32": 1e-3, "tf32": 1e-2, "fp16": 2e-2, "bf16": 5e-2}


def run(spec: Spec, reporter: Reporter) -> Outcome:
    """Write model and inputs into the specification's folder, and verify them.

    Raises:
        MeasureError: the module cannot be exported, the file is invalid, or ONNX Runtime computes something else.
    """
    check_provider(spec.backend)
    recipe = Recipe.model_validate(spec.recipe)
    folder = Path(spec.folder)
    reporter.phase("build")
    module, inputs = inference_module(recipe, torch.device("cpu"))
    with torch.inference_mode():
        expected = _arrays(module(*inputs))
    reporter.phase("export")
    export(module, inputs, folder)
    del module
    reporter.phase("verify")
    session = open_session(folder, spec.backend)
    found = session.run(None, load_inputs(folder, session))
    check_outputs(found, expected, TOLERANCE[recipe.precision])
    return Outcome()


def export(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], folder: Path) -> None:
    """Write `MODEL_FILE` (weights beside it) and `INPUTS_FILE`.

    Raises:
        MeasureError: torch.onnx cannot export the module, or onnx.checker rejects the result.
    """
    path = folder / MODEL_FILE
    arrays = [_array(tensor) for tensor in inputs]
    try:
        program = torch.onnx.export(module, inputs, dynamo=True, verbose=False)
        assert program is not None  # noqa: S101 - only the old exporter returns None
        program.save(path, external_data=True)
        onnx.checker.check_model(path)  # by path: models above 2 GiB cannot be checked in memory
    except (torch.onnx.errors.OnnxExporterError, onnx.checker.ValidationError) as error:
        raise MeasureError(f"the inference step cannot be exported to ONNX: {_summary(error)}") from error
    np.savez(folder / INPUTS_FILE, *arrays)


def _summary(error: Exception) -> str:
    """The cause alone, out of the page that the exporter writes."""
    cause = str(error).partition("## Exception summary")[2].partition("(Refer to")[0]
    return " ".join((cause or str(error)).split())


def check_outputs(found: Sequence[np.ndarray], expected: Sequence[np.ndarray], tolerance: float) -> None:
    """Compare output by output.

    Args:
        found: what ONNX Runtime computed.
        expected: what torch computed.
        tolerance: largest difference allowed, as a share of the largest expected value.

    Raises:
        MeasureError: names the output, the difference and the tolerance.
    """
    if len(found) != len(expected):
        raise MeasureError(f"the exported model has {len(found)} outputs, torch gave {len(expected)}")
    for index, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        if ours.shape != theirs.shape:
            raise MeasureError(f"output {index} has shape {ours.shape} in ONNX Runtime, {theirs.shape} in torch")
        difference = np.max(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)), initial=0.0)
        scale = np.max(np.abs(theirs.astype(np.float64)), initial=0.0)
        if not difference <= tolerance * scale:  # also where a value is not a number
            raise MeasureError(
                f"output {index} differs between ONNX Runtime and torch by {difference:.3g}, more than {tolerance:g} "
                f"of its largest value {scale:.3g}: the exported model computes something else"
            )


def _arrays(output: object) -> list[np.ndarray]:
    leaves = torch.utils._pytree.tree_leaves(output)  # what torch.export itself flattens outputs with
    return [_array(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor)]


def _array(tensor: torch.Tensor) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:
        raise MeasureError("onnx backends take no bf16 inputs or outputs (numpy has no bf16): use --precision fp32")
    return tensor.detach().cpu().numpy()
