"""Has a recipe's inference step as an ONNX model, and compares it with torch before it is timed. Part of the worker.

Where the model is kept from an earlier time, torch is not even imported: what it computed lies beside the model.
"""

import json
from pathlib import Path

from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.onnx_backend import VERIFIED_FILE
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.onnx.cache import ModelCache, model_folder
from sslbench.bench.onnx.differences import TOLERANCE, check_outputs
from sslbench.bench.onnx.exported import OUTPUTS_FILE, load_arrays
from sslbench.bench.onnx.models import exported_model
from sslbench.bench.onnx.providers import check_provider
from sslbench.bench.onnx.runner import Runner
from sslbench.bench.recipe import Recipe


def run(spec: Spec, reporter: Reporter) -> Outcome:
    """Verify the recipe's model, and write down in the specification's folder where it is and how far off.

    Raises:
        MeasureError: the module cannot be exported, the file is invalid, or ONNX Runtime computes something else.
    """
    check_provider(spec.backend)
    recipe = Recipe.model_validate(spec.recipe)
    folder = Path(spec.folder)
    reporter.phase("export")
    model = exported_model(recipe, ModelCache(model_folder()), folder, opset=spec.onnx.get("opset"))
    reporter.phase("verify")
    runner = Runner(model, spec.backend, spec.onnx, precision=recipe.precision)
    runner.step()
    expected = load_arrays(model / OUTPUTS_FILE)
    error = check_outputs(runner.outputs(), expected, TOLERANCE[recipe.precision], runner.output_names)
    text = json.dumps({"model": str(model), "output_error": error})
    (folder / VERIFIED_FILE).write_text(text, encoding="utf-8")
    return Outcome()
