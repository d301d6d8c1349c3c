"""`sslbench export`: a recipe's step as an ONNX model."""

from pathlib import Path
from typing import Any

import click

from sslbench.bench.commands.options import changes_from, recipe_options
from sslbench.bench.resolve import resolve_recipe
from sslbench.reports.units import format_bytes

_INFERENCE = """\
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession({model!r})
outputs = session.run(None, dict(np.load({inputs!r})))
print([output.shape for output in outputs])
"""
_TRAINING = """\
import json, numpy as np, onnxruntime
session, names = onnxruntime.InferenceSession({model!r}), json.load(open({names!r}))
values = {{**np.load({state!r}), **np.load({inputs!r})}}
for step in range(10):
    loss, *new = session.run([names["loss"], *names["updated"].values()], values)
    values.update(zip(names["updated"], new))
    print(step, loss)
"""


@click.command("export")
@recipe_options
@click.option("--train", is_flag=True, help="The whole training step: gradients and optimizer update, too.")
@click.option("--opset", type=int, metavar="N", help="Version of the ONNX operator set.  [default: torch's choice]")
@click.option("--no-cache", is_flag=True, help="Export an inference step again, and keep no model.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    required=True,
    help="Write the model there, and what it takes to run it beside it.",
)
def command(*, train: bool, opset: int | None, no_cache: bool, output: Path, **params: Any) -> None:
    """Write RECIPE's step as an ONNX model, checked against PyTorch.

    RECIPE is a name of `sslbench recipes` or a recipe TOML; its weights are random. Without --train it is the inference
    step that is written.
    """
    if train and params["stage"] == "infer":
        raise click.UsageError("--train is the training step, --stage infer the other one: leave one out")
    if train and opset is not None:
        raise click.UsageError("--opset goes with an inference step: a training step has torch's own choice")
    changes = {**changes_from(params), "stage": "train" if train or params["stage"] == "train" else "infer"}
    recipe = resolve_recipe(params["recipe"], changes)

    from sslbench.bench.export import export_inference_files, export_training_files  # noqa: PLC0415 - imports onnx
    from sslbench.bench.onnx.cache import ModelCache, model_folder  # noqa: PLC0415

    if recipe.stage == "train":
        handed = export_training_files(recipe, output)
    else:
        cache = ModelCache(None if no_cache else model_folder())
        handed = export_inference_files(recipe, output, cache=cache, opset=opset)
    _tell(handed, training=recipe.stage == "train")


def _tell(handed: Any, *, training: bool) -> None:
    width = max(len(path.name) for path in handed.files)
    for path in handed.files:
        click.echo(f"{path.name:{width}}  {format_bytes(path.stat().st_size)}")
    click.echo(f"\nopset {handed.opset}")
    for kind, entries in (("input", handed.inputs), ("output", handed.outputs)):
        for name, described in entries:
            click.echo(f"{kind:6} {name}: {described}")
    if training:
        count, size = handed.state
        click.echo(f"state: {count:,} tensors, {format_bytes(size)}")
        click.echo(f"checked against torch: every tensor of the state, twice; the loss is off by {handed.error:.2g}")
    else:
        click.echo(f"checked against torch: off by at most {handed.error:.2g} of the largest output")
    click.echo("\n" + snippet(handed.files[0], training=training), nl=False)
    for warning in handed.warnings:
        click.echo(f"warning: {warning}", err=True)


def snippet(model: Path, *, training: bool) -> str:
    """Python that runs the exported model, with numpy and onnxruntime alone."""
    from sslbench.bench.export import companion  # noqa: PLC0415 - imports onnx

    files = {"inputs": "inputs.npz", "state": "state.npz", "names": "training.json"}
    paths = {key: str(companion(model, name)) for key, name in files.items()}
    return (_TRAINING if training else _INFERENCE).format(model=str(model), **paths)
