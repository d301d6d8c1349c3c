"""A recipe's step as files for other people: an ONNX model, and what it takes to run it. Imports torch to export one.

Files are made in a folder beside their place, compared with torch there, and then renamed into place, the model last.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]  # ships no types

from sslbench.bench.errors import MeasureError, OutputError
from sslbench.bench.files import check_writable
from sslbench.bench.onnx.cache import ModelCache
from sslbench.bench.onnx.differences import TOLERANCE, check_outputs
from sslbench.bench.onnx.exported import INPUTS_FILE, MODEL_FILE, OUTPUTS_FILE, load_arrays, read_exported
from sslbench.bench.onnx.manifest import MANIFEST_FILE, STATE_FILE, read_manifest
from sslbench.bench.onnx.models import exported_model
from sslbench.bench.recipe import Recipe

_LARGE = 2**30  # a protobuf file ends at 2 GiB; weights of more than half lie beside the graph
_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What was written."""

    files: tuple[Path, ...]
    """The model first."""
    opset: int
    inputs: tuple[tuple[str, str], ...]
    """Name and type, as `float32[batch, 16]`; of a training step those that are no state."""
    outputs: tuple[tuple[str, str], ...]
    state: tuple[int, int]
    """Tensors and bytes of the state of a training step; zeros for inference."""
    error: float
    """Largest difference of the outputs from torch's, as a share of the largest value; of a training step that of the
    loss."""
    warnings: tuple[str, ...]


def companion(path: Path, name: str) -> Path:
    """Where a file of the model goes: `mini.onnx` has `mini.inputs.npz` beside it."""
    return path.with_name(f"{path.name.removesuffix('.onnx')}.{name}")


def export_inference_files(recipe: Recipe, path: Path, *, cache: ModelCache, opset: int | None = None) -> Handed:
    """Write the inference step: the model (large weights in `PATH.data`) and one batch.

    Args:
        recipe: an inference step of the catalog.
        path: of the model.
        cache: where exported models are kept.
        opset: version of the ONNX operator set; None: torch's own choice.

    Raises:
        MeasureError: the step cannot be exported, or ONNX Runtime computes something else than torch.
        OutputError: a file cannot be written; none is then there.
        RecipeError: the step cannot exist.
    """
    if recipe.precision not in TOLERANCE:
        raise MeasureError(f"--precision {recipe.precision}: models are exported in {', '.join(TOLERANCE)}")

    def make(scratch: Path, stage: Path) -> Handed:
        made = exported_model(recipe, cache, scratch, opset=opset)
        about = read_exported(made)
        files = [*_copy_model(made / MODEL_FILE, stage / path.name)]
        session = _session(files[0])
        arrays = load_arrays(made / INPUTS_FILE)
        feeds = {entry.name: array for entry, array in zip(session.get_inputs(), arrays, strict=True)}
        found = session.run(None, feeds)
        names = [entry.name for entry in session.get_outputs()]
        expected = load_arrays(made / OUTPUTS_FILE)
        error = check_outputs(found, expected, TOLERANCE[recipe.precision], names)
        files.append(companion(files[0], INPUTS_FILE))
        np.savez(files[-1], **feeds)  # type: ignore[arg-type]  # the stubs take the keywords for allow_pickle
        return Handed(
            files=tuple(files),
            opset=about.opset,
            inputs=_described(session.get_inputs()),
            outputs=_described(session.get_outputs()),
            state=(0, 0),
            error=error,
            warnings=tuple(about.warnings),
        )

    return _written(path, make)


def export_training_files(recipe: Recipe, path: Path) -> Handed:
    """Write the whole training step: the graph, its state, one batch, and which output is the new value of which input.

    Args:
        recipe: a training step of the catalog, in fp32.
        path: of the graph.

    Raises:
        MeasureError: the step cannot be exported, or ONNX Runtime computes something else than torch.
        OutputError: a file cannot be written; none is then there.
        RecipeError: the step cannot exist.
    """

    def make(scratch: Path, stage: Path) -> Handed:
        from sslbench.bench.onnx.inference_export import quiet  # noqa: PLC0415 - imports torch
        from sslbench.bench.onnx.training_export import export_training  # noqa: PLC0415 - imports torch

        with quiet():
            error = export_training(recipe, scratch)
        about = read_manifest(scratch)
        files = [*_copy_model(scratch / MODEL_FILE, stage / path.name)]
        for name in (STATE_FILE, INPUTS_FILE, MANIFEST_FILE):
            files.append(companion(files[0], name))
            shutil.move(scratch / name, files[-1])
        session = _session(files[0])
        with np.load(companion(files[0], STATE_FILE)) as state:
            sizes = [state[name].nbytes for name in state.files]
        return Handed(
            files=tuple(files),
            opset=_opset(files[0]),
            inputs=_described([entry for entry in session.get_inputs() if entry.name in about.inputs]),
            outputs=_described([entry for entry in session.get_outputs() if entry.name == about.loss]),
            state=(len(sizes), sum(sizes)),
            error=error,
            warnings=(),
        )

    return _written(path, make)


def _written(path: Path, make: Callable[[Path, Path], Handed]) -> Handed:
    check_writable(path)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            scratch, stage = Path(folder, "scratch"), Path(folder, "stage")
            scratch.mkdir()
            stage.mkdir()
            handed = make(scratch, stage)
            path.with_name(f"{path.name}.data").unlink(missing_ok=True)  # of an earlier, larger model
            for made in reversed(handed.files):
                made.replace(path.with_name(made.name))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    files = tuple(path.with_name(made.name) for made in handed.files)
    return Handed(**{**{name: getattr(handed, name) for name in Handed.__slots__}, "files": files})


def _copy_model(source: Path, target: Path) -> list[Path]:
    """The model in one file, or with its weights beside it where they are large."""
    model = onnx.load(source)
    large = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > _LARGE
    beside = f"{target.name}.data"
    onnx.save_model(model, target, save_as_external_data=large, location=beside)
    return [target, target.with_name(beside)] if large else [target]


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions share no public base class
        raise MeasureError(f"ONNX Runtime cannot load the exported model: {error}") from error


def _opset(path: Path) -> int:
    model = onnx.load(path, load_external_data=False)
    return next(int(entry.version) for entry in model.opset_import if not entry.domain)


def _described(entries: Sequence[Any]) -> tuple[tuple[str, str], ...]:
    kinds = {"float": "float32", "double": "float64"}
    found = []
    for entry in entries:
        kind = entry.type.removeprefix("tensor(").removesuffix(")")
        found.append((entry.name, f"{kinds.get(kind, kind)}[{', '.join(map(str, entry.shape))}]"))
    return tuple(found)
