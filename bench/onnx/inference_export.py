"""Exports a recipe's inference step to ONNX, with what torch computes beside it. Imports torch."""

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from sslbench.bench.build import inference_module
from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.any_batch import BATCH, Inputs, array, arrays, batch_dimensions, why_not_any_batch
from sslbench.bench.onnx.exported import INPUTS_FILE, MODEL_FILE, OUTPUTS_FILE, Exported
from sslbench.bench.onnx.homes import Homes
from sslbench.bench.recipe import Recipe

_SEED = 0
_CANNOT = "the inference step cannot be exported to ONNX"
_LONGEST = 400
"""Letters of the exporter's message that are told."""
_OPERATOR = re.compile(r"OpOverload\(op='([^']+)', overload='([^']+)'\)")
_TRACEBACK = "Original traceback:"
"""What follows it in the exporter's message is a page long."""


def export_inference(recipe: Recipe, folder: Path, *, opset: int | None = None) -> Exported:
    """Write the recipe's inference step into an empty folder, without autocast; weights and batch are those of seed 0.

    Raises:
        MeasureError: torch.onnx cannot export the module (names the operator and the module that uses it), the opset is
            not there, or onnx.checker rejects the file.
        RecipeError: the step cannot exist.
    """
    check_opset(opset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        module, inputs = inference_module(recipe, torch.device("cpu"))
    with torch.inference_mode():
        expected = arrays(module(*inputs))
    np.savez(folder / INPUTS_FILE, *map(array, inputs))
    np.savez(folder / OUTPUTS_FILE, *expected)
    exported = export(module, inputs, folder, opset=opset)
    exported.write(folder)
    return exported


def check_opset(opset: int | None) -> None:
    """Refuse an operator set that the installed onnx does not know.

    Raises:
        MeasureError: names the newest that it knows.
    """
    newest = onnx.defs.onnx_opset_version()
    if opset is not None and opset > newest:
        raise MeasureError(f"--onnx opset: onnx {onnx.__version__} has none newer than {newest}, got {opset}")


def export(module: torch.nn.Module, inputs: Inputs, folder: Path, *, opset: int | None = None) -> Exported:
    """Write `MODEL_FILE`, weights beside it, for a batch of any size where the module can be exported so.

    Args:
        module: in eval mode; gives tensors.
        inputs: one batch; those whose first dimension is as long as that of the first input have the batch there.
        folder: where.
        opset: version of the ONNX operator set; None: torch's own choice.

    Raises:
        MeasureError: as `export_inference`.
    """
    path, reason = folder / MODEL_FILE, ""
    with quiet():
        try:
            program = _program(module, inputs, batch_dimensions(inputs), opset)
            _save(program, path)
            reason = why_not_any_batch(path, module, inputs)
        except torch.onnx.errors.OnnxExporterError as error:
            reason = _cause(error)
            if missing := _missing(error):  # no fixed size mends that
                raise MeasureError(f"{_CANNOT}: {_named(missing, module, inputs)}") from error
        if reason:
            program = _fixed_program(module, inputs, opset)
            _save(program, path)
    found = program.model.opset_imports[""]
    if opset not in (None, found):
        raise MeasureError(f"--onnx opset: the model cannot be written in opset {opset}, it is one of {found}")
    return Exported(
        opset=found,
        batch="" if reason else BATCH,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        warnings=[f"the model is exported for this batch alone: {_line(reason)}"] if reason else [],
    )


def _program(module: torch.nn.Module, inputs: Inputs, dimensions: Any, opset: int | None) -> torch.onnx.ONNXProgram:
    # Fused attention gives its result in another layout when it runs than when the exporter traces its graph once more
    # (BEiT's, with a bias; Swin's): views of it would not fit. The exported operator is the same.
    with sdpa_kernel(SDPBackend.MATH):
        program = torch.onnx.export(
            module, inputs, dynamo=True, verbose=False, dynamic_shapes=dimensions, opset_version=opset
        )
    assert program is not None  # noqa: S101 - only the old exporter returns None
    return program


def _fixed_program(module: torch.nn.Module, inputs: Inputs, opset: int | None) -> torch.onnx.ONNXProgram:
    """The program for the batch of the inputs alone."""
    try:
        return _program(module, inputs, None, opset)
    except torch.onnx.errors.OnnxExporterError as error:
        raise MeasureError(f"{_CANNOT}: {_cause(error)}") from error


def _save(program: torch.onnx.ONNXProgram, path: Path) -> None:
    for earlier in path.parent.glob(f"{path.name}*"):
        earlier.unlink()
    program.save(path, external_data=True)
    try:
        onnx.checker.check_model(path)  # by path: models above 2 GiB cannot be checked in memory
    except onnx.checker.ValidationError as error:
        raise MeasureError(f"the exported model is no valid ONNX model: {_line(str(error))}") from error


def _missing(error: BaseException | None) -> str:
    """The operator that has no translation, from the errors that led to this one."""
    while error is not None:
        found = _OPERATOR.search(str(error))
        if found is not None:
            return f"{found[1]}.{found[2]}"
        error = error.__cause__
    return ""


def _named(operator: str, module: torch.nn.Module, inputs: Inputs) -> str:
    """The operator with the module that first runs it, which a run of the module shows."""
    homes = Homes(module)
    with torch.no_grad(), homes.watching(), _Watch(homes):
        module(*inputs)
    home = homes.of(operator)
    return f"operator {operator}{f' of {home}' if home.endswith(')') else ''} has no ONNX translation"


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own is untyped
    """Tells where operators are run."""

    def __init__(self, homes: Homes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._homes = homes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._homes.note(func)
        return func(*args, **(kwargs or {}))


def _cause(error: Exception) -> str:
    """The cause alone, out of the page that the exporter writes."""
    text = str(error).partition("## Exception summary")[2].partition("(Refer to")[0] or str(error)
    return _line(text.partition(_TRACEBACK)[0])


def _line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]


@contextmanager
def quiet() -> Iterator[None]:
    """The exporter's remarks about its own passes and deprecations are no part of the answer."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
