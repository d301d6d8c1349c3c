"""Exports a recipe's whole training step as one ONNX graph and checks it against torch. Imports torch.

The folder then holds `model.onnx` (forward pass, loss, backward pass and update), `state.npz` (parameters, buffers,
optimizer state), `inputs.npz` (the batch, the learning rate) and `training.json`, which pairs inputs and outputs.
"""

import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch

from sslbench.bench.errors import MeasureError, MismatchError
from sslbench.bench.onnx.capture import LOSS, UPDATED, Captured, capture
from sslbench.bench.onnx.draws import Draw
from sslbench.bench.onnx.exported import INPUTS_FILE, MODEL_FILE
from sslbench.bench.onnx.manifest import MANIFEST_FILE, STATE_FILE, Manifest
from sslbench.bench.onnx.session import TrainingSession
from sslbench.bench.onnx.step import ExportStep
from sslbench.bench.onnx.translate import save, translate, with_own_draws
from sslbench.bench.onnx.verify import Arrays, Reached, check_steps, nudged
from sslbench.bench.recipe import Recipe

_SEEDS = (0, 1, 2)
_NUDGE_SEED = 0
_CHECKED_FILE = "checked.onnx"
_PACKAGES = ("onnx", "onnxruntime", "onnxscript", "torch", "transformers")


def export_training(recipe: Recipe, folder: Path, *, steps: int = 2) -> float:
    """Write the recipe's training step into a folder; an earlier export there is replaced.

    Weights and batch are those of seed 0, or of 1 or 2 where rounding makes a gradient jump. The graph is first checked
    against torch with the same random draws as inputs, and then gets random nodes of its own.

    Args:
        recipe: a training step of the catalog, in fp32.
        folder: is made if there is none.
        steps: how many are compared with torch, at least 1.

    Returns:
        Largest difference of a step's loss from torch's, as a share of it.

    Raises:
        MeasureError: the step cannot be exported (names the operator and its module), or computes something else than
            torch (names the worst tensor).
        RecipeError: the step cannot exist.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as scratch:
            loss_error = _export_one(recipe, Path(scratch), steps)
            _publish(Path(scratch), folder)
    except OSError as error:
        raise MeasureError(f"{folder}: the training step cannot be written: {error}") from error
    return loss_error


def _export_one(recipe: Recipe, folder: Path, steps: int) -> float:
    """The first of `_SEEDS` that agrees with torch: a jump hits one of them, a wrong operator is wrong in all."""
    first, *others = _SEEDS
    try:
        return _seeded(recipe, folder, steps, first)
    except MismatchError as error:
        for seed in others:
            with suppress(MismatchError):
                return _seeded(recipe, folder, steps, seed)
        raise error  # of the first


def _seeded(recipe: Recipe, folder: Path, steps: int, seed: int) -> float:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _export(recipe, folder, steps)


def _export(recipe: Recipe, folder: Path, steps: int) -> float:
    step = ExportStep(recipe)
    start = _arrays(step.state())
    inputs = _arrays(step.inputs())
    expected, draws = _torch_steps(step, steps)
    random = np.random.default_rng(_NUDGE_SEED)
    step.restore({name: nudged(array, random) for name, array in start.items()})
    nudge, _ = _torch_steps(step, steps, draws)
    captured = capture(step, draws[0])
    model = translate(captured, step.homes)
    manifest = _manifest(recipe, captured)
    state = {name: start[name] for name in (*manifest.fixed, *manifest.updated)}
    del step
    loss_error = _check(
        model, manifest, folder, state=state, inputs=inputs, draws=draws, expected=expected, nudge=nudge
    )
    save(with_own_draws(model, draws[0]), folder / MODEL_FILE)
    np.savez(folder / STATE_FILE, **state)  # type: ignore[arg-type]  # the stubs take the keywords for allow_pickle
    np.savez(folder / INPUTS_FILE, **{name: inputs[name] for name in manifest.inputs})  # type: ignore[arg-type]
    manifest.write(folder)
    return loss_error


def _torch_steps(
    step: ExportStep, steps: int, given: list[list[Draw]] | None = None
) -> tuple[list[Reached], list[list[Draw]]]:
    """What torch reaches after each step, and the draws of each: the given ones, or fresh ones."""
    reached, draws = [], []
    for index in range(steps):
        loss, used = step.run_checked(None if given is None else given[index])
        reached.append(Reached(loss, _arrays(step.state())))
        draws.append(used)
    return reached, draws


def _check(
    model: onnx.ModelProto,
    manifest: Manifest,
    folder: Path,
    *,
    state: Arrays,
    inputs: Arrays,
    draws: list[list[Draw]],
    expected: list[Reached],
    nudge: list[Reached],
) -> float:
    """Run the graph with the draws that torch had, and compare after every step; how far the loss was off, at most."""
    given = {entry.name for entry in model.graph.input}
    fed = [
        {f"draw.{index}": draw.values.numpy() for index, draw in enumerate(used) if f"draw.{index}" in given}
        for used in draws
    ]
    save(model, folder / _CHECKED_FILE)
    names, errors = [*manifest.inputs, *fed[0]], []
    session = TrainingSession(
        folder / _CHECKED_FILE, manifest.model_copy(update={"inputs": names}), state, {**inputs, **fed[0]}
    )
    for count, (arrays, wanted, other) in enumerate(zip(fed, expected, nudge, strict=True), 1):
        session.feed(arrays)
        found = Reached(session.step(), session.state())
        check_steps(state, wanted, other, found, steps=count, first_loss=expected[0].loss)
        errors.append(abs(found.loss - wanted.loss) / (abs(wanted.loss) or 1.0))
    for path in folder.glob(f"{_CHECKED_FILE}*"):
        path.unlink()
    return max(errors)


def _manifest(recipe: Recipe, captured: Captured) -> Manifest:
    updated = {name.removeprefix(UPDATED): name for name in captured.outputs if name != LOSS}
    state = [name for name in captured.tensors if name.startswith(("parameter.", "buffer.", "optimizer."))]
    return Manifest(
        recipe=recipe.name,
        versions={package: version(package) for package in _PACKAGES},
        loss=LOSS,
        inputs=[name for name in captured.tensors if name.startswith(("batch.", "learning_rate"))],
        fixed=[name for name in state if name not in updated],
        updated={name: updated[name] for name in state if name in updated},
    )


def _arrays(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().clone().numpy() for name, tensor in tensors.items()}


def _publish(scratch: Path, folder: Path) -> None:
    """Move the files into place, the manifest last: where it lies, the others are whole."""
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    (folder / f"{MODEL_FILE}.data").unlink(missing_ok=True)
    for path in sorted(scratch.iterdir(), key=lambda path: path.name == MANIFEST_FILE):
        path.replace(folder / path.name)
