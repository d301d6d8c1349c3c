"""A captured step as an ONNX file, with random draws as inputs or made by the graph. Imports torch."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper
from torch import fx
from torch.export import ExportedProgram
from torch.export.exported_program import ModuleCallEntry, ModuleCallSignature
from torch.export.graph_signature import (
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)
from torch.utils import _pytree as pytree

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.capture import Captured, decomposed
from sslbench.bench.onnx.draws import NORMAL, UNIFORM, Draw
from sslbench.bench.onnx.homes import Homes

_MISSING = re.compile(r"OpOverload\(op='([^']+)', overload='([^']+)'\)")
_RANDOM: dict[str, tuple[str, dict[str, Any]]] = {
    UNIFORM: ("RandomUniform", {"low": 0.0, "high": 1.0}),
    NORMAL: ("RandomNormal", {"mean": 0.0, "scale": 1.0}),
}
_LARGE = 2**30
"""Bytes of constants above which a file has them beside it; a protobuf file ends at 2 GiB."""


def translate(captured: Captured, homes: Homes) -> onnx.ModelProto:
    """The step as an ONNX model whose inputs are the captured ones, but for constants.

    The exporter's own optimizer stays off: it takes `x + 1e-8` for x, with which AdamW divides zero by zero.

    Raises:
        MeasureError: an operator has no translation; names it and the module that uses it.
    """
    values = tuple(tensor.detach() for tensor in captured.tensors.values())
    program = _Program.of(captured.module, values)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, about itself
            exported = torch.onnx.export(
                program,
                values,
                dynamo=True,
                optimize=False,
                verbose=False,
                input_names=list(captured.tensors),
                output_names=captured.outputs,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise MeasureError(f"cannot be exported for training: {_cause(error, program, homes)}") from error
    assert exported is not None  # noqa: S101 - only the old exporter returns None
    model = exported.model_proto
    _freeze_constants(model.graph, captured)
    return model


def with_own_draws(model: onnx.ModelProto, draws: list[Draw]) -> onnx.ModelProto:
    """The model with a random node in the place of every draw among its inputs; no seed: each run draws anew."""
    free = onnx.ModelProto()
    free.CopyFrom(model)
    given = {entry.name for entry in free.graph.input}
    nodes = []
    for index, draw in enumerate(draws):
        if (name := f"draw.{index}") in given:
            operator, attributes = _RANDOM[draw.kind]
            shape = list(draw.values.shape)
            nodes.append(helper.make_node(operator, [], [name], name=f"random.{index}", shape=shape, **attributes))
    _keep_inputs(free.graph, lambda name: not name.startswith("draw."))
    for node in reversed(nodes):
        free.graph.node.insert(0, node)
    return free


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, large constants beside it, and check the file.

    Raises:
        MeasureError: onnx.checker rejects it.
    """
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    onnx.save_model(model, path, save_as_external_data=size > _LARGE, location=f"{path.name}.data")
    try:
        onnx.checker.check_model(path)  # by path: models above 2 GiB cannot be checked in memory
    except onnx.checker.ValidationError as error:
        raise MeasureError(f"the exported training step is no valid ONNX model: {error}") from error


class _Program(ExportedProgram):
    """A graph that is functional already, as `torch.onnx.export` takes it.

    `torch.export.export` would trace the graph once more for the same, and the decompositions of its programs twice.
    """

    decomposed: fx.GraphModule | None = None
    """What the exporter translates, once it has asked for it."""

    @classmethod
    def of(cls, module: fx.GraphModule, values: tuple[torch.Tensor, ...]) -> "_Program":
        """The program of a module that is called on `values`."""
        inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
        outputs: tuple[fx.Node, ...] = tuple(module.graph.output_node().args[0])  # type: ignore[arg-type]
        signature = ExportGraphSignature(
            [InputSpec(InputKind.USER_INPUT, TensorArgument(node.name), None) for node in inputs],
            [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(node.name), None) for node in outputs],
        )
        call = ModuleCallSignature([], [], pytree.tree_structure((values, {})), pytree.tree_structure(outputs))
        return cls(module, module.graph, signature, {}, {}, [ModuleCallEntry("", call)], example_inputs=(values, {}))

    def run_decompositions(self, decomp_table: Any = None, **_: Any) -> "_Program":
        """The program in terms of what the exporter has no rule for in its table."""
        values = self.example_inputs[0]
        self.decomposed = decomposed(self.graph_module, values, decomp_table)
        return _Program.of(self.decomposed, values)


def _cause(error: Exception, program: _Program, homes: Homes) -> str:
    found = _MISSING.search(_chain(error))
    if found is None:
        summary = str(error).partition("## Exception summary")[2].partition("(Refer to")[0]
        return " ".join((summary or str(error)).split())
    operator = f"{found[1]}.{found[2]}"
    origin = _origin(program, operator)
    part = "" if origin == operator else f", a part of {origin},"
    return f"operator {operator}{part} of {homes.of(origin)} has no ONNX translation"


def _origin(program: _Program, operator: str) -> str:
    """The operator that an operator was decomposed from, or itself."""
    nodes = program.decomposed.graph.nodes if program.decomposed is not None else ()
    origins = [str(node.meta.get("original_aten") or operator) for node in nodes if str(node.target) == operator]
    return origins[0] if origins else operator


def _chain(error: BaseException | None) -> str:
    """The messages of an error and of those that it was raised from, innermost first."""
    return "" if error is None else _chain(error.__cause__) + "\n" + str(error)


def _freeze_constants(graph: onnx.GraphProto, captured: Captured) -> None:
    for name in sorted(captured.constants):
        graph.initializer.append(numpy_helper.from_array(captured.tensors[name].detach().numpy(), name))
    _keep_inputs(graph, lambda name: name not in captured.constants)


def _keep_inputs(graph: onnx.GraphProto, wanted: Callable[[str], bool]) -> None:
    kept = [entry for entry in graph.input if wanted(entry.name)]
    del graph.input[:]
    graph.input.extend(kept)
