"""The nodes of a recipe's inference step, exported to ONNX."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from sslbench.bench.errors import RecipeError
from sslbench.bench.gate.snapshot import OnnxGraph
from sslbench.bench.onnx.cache import ModelCache
from sslbench.bench.onnx.exported import MODEL_FILE
from sslbench.bench.onnx.models import exported_model
from sslbench.bench.recipe import Recipe


def onnx_nodes(recipe: Recipe, cache: ModelCache) -> OnnxGraph:
    """Nodes by operator of the exported model, before ONNX Runtime optimizes it, which depends on the processor.

    Args:
        recipe: whose inference step it is, whatever its stage.
        cache: where exported models are kept.

    Raises:
        RecipeError: it is a step of one's own, whose model is not known.
        MeasureError: it cannot be exported.
    """
    if recipe.factory:
        raise RecipeError(f"{recipe.name}: a step of one's own has no model that could be exported: leave --onnx away")
    with TemporaryDirectory() as folder:
        path = exported_model(recipe.with_options(stage="infer"), cache, Path(folder)) / MODEL_FILE
        model = onnx.load(path, load_external_data=False)
    operators = Counter(node.op_type for node in model.graph.node)
    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return OnnxGraph(opset=opset, nodes=operators.total(), operators=dict(sorted(operators.items())))
