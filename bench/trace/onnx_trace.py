"""An ONNX graph as a trace: its operators with their work, its buffers as storages, two steps alike.

Operators are named `<class>.<operator>` (`mm.Gemm`, `convolution.Conv`) where their class is not pointwise, so that
`sslbench.bench.predict.operators.classify` knows them.
"""

from collections.abc import Sequence
from math import prod

from sslbench.bench.trace.events import BUILD, FORWARD, Call, OperatorKind, Storage, Trace
from sslbench.bench.trace.onnx_plan import ALIASES, Buffer, moments
from sslbench.bench.trace.onnx_values import Node, OnnxGraph, Value

_CLASSES = {
    "Gemm": "mm",
    "MatMul": "mm",
    "FusedMatMul": "mm",
    "Conv": "convolution",
    "FusedConv": "convolution",
    "Softmax": "softmax",
    "LogSoftmax": "softmax",
    "LayerNormalization": "layer_norm",
    "SkipLayerNormalization": "layer_norm",
    "InstanceNormalization": "group_norm",
    "SimplifiedLayerNormalization": "rms_norm",
    "BatchNormalization": "batch_norm",
    **dict.fromkeys(("Transpose", "Concat", "Split", "Slice", "Gather", "Expand", "Pad", "Cast"), "clone"),
    **dict.fromkeys(("ReorderInput", "ReorderOutput"), "clone"),
}
_LOOKUPS = ("Gather", "GatherElements", "GatherND", "Slice")
"""Read as much of their first input as they write."""


def trace_of(graph: OnnxGraph, buffers: Sequence[Buffer], batch_size: int | None) -> Trace:
    """The trace of a graph whose buffers are planned."""
    storages = [Storage(graph.values[name].size, "parameter", BUILD, 0, "weights") for name in graph.weights]
    storages += [Storage(graph.values[name].size, "input", BUILD, 0, "input") for name in graph.inputs]
    storages += [_storage(buffer, BUILD) for buffer in buffers if buffer.is_output]  # bound before the first step
    events = list(range(len(storages)))
    within = [buffer for buffer in buffers if not buffer.is_output]
    marks = [len(events)]
    for _ in range(2):
        first = len(storages)
        storages += [_storage(buffer, FORWARD) for buffer in within]
        events += [first + index if is_birth else ~(first + index) for is_birth, index, _ in moments(within)]
        marks.append(len(events))
    kinds = tuple(operator_kind(node, graph) for node in graph.nodes)
    return Trace(
        target="cpu",
        batch_size=batch_size,
        storages=tuple(storages),
        events=tuple(events),
        marks=tuple(marks),
        phase_marks=((0, BUILD), (marks[0], FORWARD)),
        kinds=kinds,
        calls=tuple(Call(index, FORWARD, 0) for index in range(len(kinds))),
        modules=("",),
        parameters=graph.parameters,
    )


def _storage(buffer: Buffer, phase: int) -> Storage:
    category = "temporary" if buffer.is_scratch else "activation"
    return Storage(buffer.size, category, phase, 0, buffer.operator)


def operator_kind(node: Node, graph: OnnxGraph) -> OperatorKind:
    """What one operator computes and moves."""
    own = node.operator.rpartition(".")[2]
    inputs = [graph.values[name] for name in node.inputs if name]
    outputs = [graph.values[name] for name in node.outputs if name]
    written = sum(value.size for value in outputs)
    read = written if own in _LOOKUPS else sum(value.size for value in inputs)
    kind = _CLASSES.get(own)
    return OperatorKind(
        name=f"{kind}.{own}" if kind else own,
        inputs=tuple((value.dtype, value.shape) for value in inputs),
        flops=_flops(kind, node, inputs, outputs),
        bytes_read=read,
        bytes_written=written,
        # An alias moves nothing, unless it ends in an output, which has memory of its own.
        is_view=own in ALIASES and not set(node.outputs) & set(graph.outputs),
    )


def _flops(kind: str | None, node: Node, inputs: Sequence[Value], outputs: Sequence[Value]) -> int:
    """Of matrix products and convolutions, a multiply-add counted as two; nothing else counts."""
    if kind == "convolution":
        return 2 * prod(outputs[0].shape) * prod(inputs[1].shape[1:])
    if kind != "mm":
        return 0
    first = inputs[0].shape
    inner = first[-2] if node.attributes.get("transA") and len(first) > 1 else first[-1]
    return 2 * prod(outputs[0].shape) * inner
