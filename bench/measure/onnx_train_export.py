"""Exports a recipe's whole training step as one ONNX graph and checks it against torch. Part of the worker."""

import json
from pathlib import Path

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.onnx_backend import VERIFIED_FILE
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.onnx.providers import check_provider
from sslbench.bench.onnx.training_export import export_training
from sslbench.bench.recipe import Recipe


def run(spec: Spec, reporter: Reporter) -> Outcome:
    """Write the step into the specification's folder; the loss and the new state of two steps are those of torch.

    Raises:
        MeasureError: the provider or the opset is not there, the step cannot be exported, or ONNX Runtime computes
            something else.
        RecipeError: the step cannot exist.
    """
    check_provider(spec.backend)
    if "opset" in spec.onnx:
        raise MeasureError("--onnx opset: a training step is exported in torch's own choice: leave it out")
    reporter.phase("export")
    folder = Path(spec.folder)
    error = export_training(Recipe.model_validate(spec.recipe), folder)
    (folder / VERIFIED_FILE).write_text(json.dumps({"output_error": error}), encoding="utf-8")
    return Outcome()
