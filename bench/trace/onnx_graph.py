"""The graph that ONNX Runtime runs: exported, optimised by the runtime itself for this processor, with every shape.

No step is run. The runtime's optimiser fuses operators, folds constants and lays convolutions out in blocks
(https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html); the graph that it writes is in
the order of execution. Shapes come from the runtime's own inference, which knows its fused operators: the graph is
loaded once more with every value as an output. Imports torch.
"""

import tempfile
from math import prod
from pathlib import Path
from typing import Any

import onnx
import onnxruntime  # type: ignore[import-untyped]  # ships no types
import psutil

from sslbench.bench.errors import MeasureError, TraceError
from sslbench.bench.onnx.cache import ModelCache
from sslbench.bench.onnx.exported import INPUTS_FILE, MODEL_FILE, load_arrays, read_exported
from sslbench.bench.onnx.models import exported_model
from sslbench.bench.recipe import Recipe
from sslbench.bench.trace.onnx_values import Node, OnnxGraph, Value
from sslbench.bench.trace.recipes import trace_recipe

GIB = 2**30
COPIES_OF_WEIGHTS = 4
"""Most copies of the weights that exporting and optimising hold at one time: torch's, the exporter's folded constants,
the runtime's, and the pages of the files."""
_OPTIMISED_FILE, _EVERY_VALUE_FILE = "optimised.onnx", "every-value.onnx"
_INLINE_BYTES = 1024
_ERRORS_ONLY = 3
_PACKING = "session.disable_prepacking"
_WEIGHTS_FILE = "session.optimized_model_external_initializers_file_name"
_WEIGHTS_FROM = "session.optimized_model_external_initializers_min_size_in_bytes"
_SIZES = {
    "float": ("float32", 4),
    "float16": ("float16", 2),
    "bfloat16": ("bfloat16", 2),
    "double": ("float64", 8),
    "bool": ("bool", 1),
    **{f"{sign}int{bits}": (f"{sign}int{bits}", bits // 8) for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""Element type and bytes an element, by ONNX Runtime's name."""


def recipe_graph(recipe: Recipe, cache: ModelCache) -> OnnxGraph:
    """The optimised inference graph of a catalog recipe, with random weights.

    Args:
        recipe: what is run.
        cache: where exported models are kept.

    Raises:
        RecipeError: the step cannot be built, or is a factory's.
        TraceError: the module cannot be exported (names the operator), the runtime lacks a kernel, or this host has too
            little memory for the weights.
    """
    with tempfile.TemporaryDirectory(prefix="sslbench-") as name:
        folder = Path(name)
        try:
            model = exported_model(recipe, cache, folder, before_export=lambda: _check_room(recipe))
        except MeasureError as error:
            raise TraceError(f"recipe {recipe.name}: {error}") from error
        return load_graph(model, folder)


def _check_room(recipe: Recipe) -> None:
    """Refuse before anything is allocated: the step's trace, on tensors without data, has the bytes of the weights."""
    trace = trace_recipe(recipe, "cpu", (0, 0))
    weights = sum(storage.size for storage in trace.storages if storage.category in ("parameter", "buffer"))
    available = psutil.virtual_memory().available
    if COPIES_OF_WEIGHTS * weights > available:
        raise TraceError(
            f"recipe {recipe.name}: exporting to ONNX needs {COPIES_OF_WEIGHTS * weights / GIB:.1f} GiB here for "
            f"weights of {weights / GIB:.1f} GiB, {available / GIB:.1f} GiB are free: leave "
            "--backend onnx-cpu away, or ask on a larger host"
        )


def load_graph(model_folder: Path, folder: Path) -> OnnxGraph:
    """The optimised graph of an exported model, at the batch that lies beside it.

    Args:
        model_folder: holds the model, see `sslbench.bench.onnx.exported`.
        folder: where the runtime writes what it makes of it.

    Raises:
        TraceError: ONNX Runtime cannot load the model, or a shape is not fixed.
    """
    exported = read_exported(model_folder)
    options = _options()
    if exported.batch:
        options.add_free_dimension_override_by_name(exported.batch, len(load_arrays(model_folder / INPUTS_FILE)[0]))
    options.optimized_model_filepath = str(folder / _OPTIMISED_FILE)
    options.add_session_config_entry(_WEIGHTS_FILE, f"{_OPTIMISED_FILE}.data")
    options.add_session_config_entry(_WEIGHTS_FROM, str(_INLINE_BYTES))
    _session(model_folder / MODEL_FILE, options)
    model = onnx.load(str(folder / _OPTIMISED_FILE), load_external_data=False)
    values = _weights(model) | _results(model, folder)
    return OnnxGraph(
        nodes=tuple(_node(node) for node in model.graph.node),
        values=values,
        inputs=tuple(value.name for value in model.graph.input),
        outputs=tuple(value.name for value in model.graph.output),
        weights=tuple(weight.name for weight in model.graph.initializer),
        parameters=exported.parameters,
    )


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = 1
    options.add_session_config_entry(_PACKING, "1")  # nothing is run: weights stay in their file
    return options


def _session(path: Path, options: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions share no public base class
        raise TraceError(f"onnx-cpu: ONNX Runtime cannot load the exported model: {error}") from error


def _weights(model: onnx.ModelProto) -> dict[str, Value]:
    kinds = onnx.TensorProto.DataType
    found = {}
    for weight in model.graph.initializer:
        dtype, size = _SIZES[kinds.Name(weight.data_type).lower()]
        shape = tuple(weight.dims)
        found[weight.name] = Value(dtype, shape, prod(shape) * size)
    return found


def _results(model: onnx.ModelProto, folder: Path) -> dict[str, Value]:
    """Every input and result; all results are declared outputs of a copy, whose types the runtime infers."""
    every = onnx.ModelProto()
    every.CopyFrom(model)
    declared = {value.name for value in every.graph.output}
    for node in every.graph.node:
        for name in node.output:
            if name and name not in declared:
                every.graph.output.add(name=name)
    (folder / _EVERY_VALUE_FILE).write_bytes(every.SerializeToString())
    options = _options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = _session(folder / _EVERY_VALUE_FILE, options)
    return {value.name: _value(value) for value in (*session.get_inputs(), *session.get_outputs())}


def _value(argument: Any) -> Value:
    kind = argument.type.removeprefix("tensor(").removesuffix(")")
    if kind not in _SIZES or not all(isinstance(size, int) for size in argument.shape):
        raise TraceError(f"onnx-cpu: the size of {argument.name} ({argument.type} {argument.shape}) is not fixed")
    dtype, size = _SIZES[kind]
    return Value(dtype, tuple(argument.shape), prod(argument.shape) * size)


def _node(node: onnx.NodeProto) -> Node:
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    return Node(operator, tuple(node.input), tuple(node.output), attributes)
