"""Which buffer holds each result of an ONNX graph, and from when to when: ONNX Runtime's allocation plan.

The rules are those of the runtime's planner for one stream (onnxruntime/core/framework/allocation_planner.cc):
a result takes its input's buffer where the kernel allows it (an alias such as Reshape; in place if nobody else reads
the input and the shapes agree), else a buffer of the same shape that nobody reads any more, else a new one. Outputs of
the graph always have a buffer of their own.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from sslbench.bench.trace.events import Shape
from sslbench.bench.trace.onnx_values import Node, OnnxGraph, Value

ALIASES = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
"""Operators whose result is their input under another shape."""
_BINARY = frozenset({"Add", "Sub", "Mul", "Div"})
_UNARY = frozenset(
    {
        *("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Log", "Neg", "Reciprocal", "Round", "Sin", "Sqrt"),
        *("Elu", "HardSigmoid", "LeakyRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh"),
        *("Cast", "Clip", "Dropout", "LogSoftmax", "Softmax"),
        *("com.microsoft.BiasGelu", "com.microsoft.FastGelu", "com.microsoft.QuickGelu"),
    }
)
"""Not Gelu: its kernel has no in-place form (onnxruntime/core/providers/cpu/tensor/gelu.cc)."""
_SUMMED = {"com.microsoft.nchwc.Conv": 3, "com.microsoft.FusedConv": 3}
"""Input that a convolution adds its result to, in place."""


@dataclass(slots=True)
class Buffer:
    """One allocation of a step."""

    size: int
    """Bytes."""
    born: int
    """Index of the node that allocates it."""
    died: int
    """Index of the last node that uses it; the number of nodes for outputs, which the caller holds."""
    operator: str
    is_output: bool = False
    is_scratch: bool = False


def plan(graph: OnnxGraph) -> list[Buffer]:
    """The buffers of one step in the order of their allocation."""
    return _Planner(graph).run()


def moments(buffers: Iterable[Buffer]) -> list[tuple[bool, int, Buffer]]:
    """(is it born, its index, the buffer) in order: a node allocates, runs, and then what nobody needs is freed."""
    births = [(buffer.born, 0, index, buffer) for index, buffer in enumerate(buffers)]
    deaths = [(buffer.died, 1, index, buffer) for _, _, index, buffer in births]
    ordered = sorted([*births, *deaths], key=lambda moment: moment[:3])
    return [(late == 0, index, buffer) for _, late, index, buffer in ordered]


class _Planner:
    def __init__(self, graph: OnnxGraph) -> None:
        self._graph = graph
        self._outputs = frozenset(graph.outputs)
        self._held = frozenset((*graph.inputs, *graph.weights))
        self._root: dict[str, str] = {}
        self._buffers: dict[str, Buffer] = {}
        self._free: list[str] = []
        self._uses = Counter(name for node in graph.nodes for name in node.inputs if name)
        self._uses.update((*graph.inputs, *graph.weights, *graph.outputs))

    def run(self) -> list[Buffer]:
        scratch: list[Buffer] = []
        for position, node in enumerate(self._graph.nodes):
            for place, name in enumerate(node.outputs):
                if name:
                    self._place(node, place, name, position)
            size = scratch_bytes(node, self._graph.values)
            if size:
                scratch.append(Buffer(size, position, position, node.operator, is_scratch=True))
            self._release(node, position)
        return sorted([*self._buffers.values(), *scratch], key=lambda buffer: (buffer.born, buffer.is_scratch))

    def _place(self, node: Node, place: int, name: str, position: int) -> None:
        output = name in self._outputs
        reused = None if output else self._reusable(node, place, name)
        if reused is not None:
            root = self._root_of(reused)
            self._uses[root] += self._uses[name]
            self._root[name] = root
            return
        value = self._graph.values[name]
        died = len(self._graph.nodes) if output else position
        self._buffers[name] = Buffer(value.size, position, died, node.operator, is_output=output)

    def _reusable(self, node: Node, place: int, name: str) -> str | None:
        if place == 0:
            if node.operator in ALIASES:
                return node.inputs[0]
            for index in in_place_inputs(node):
                given = node.inputs[index] if index < len(node.inputs) else ""
                if given and self._uses[self._root_of(given)] == 1 and self._same(given, name):
                    return given
        return self._from_free(name)

    def _from_free(self, name: str) -> str | None:
        if not self._graph.values[name].shape:
            return None  # the planner keeps scalars apart
        for index, candidate in enumerate(self._free):
            if self._same(candidate, name):
                return self._free.pop(index)
        return None

    def _same(self, one: str, other: str) -> bool:
        """Whether two values have the same shape and bytes; the same number of elements alone does not do."""
        first, second = self._graph.values[one], self._graph.values[other]
        return first.shape == second.shape and first.size == second.size

    def _root_of(self, name: str) -> str:
        return self._root.get(name, name)

    def _release(self, node: Node, position: int) -> None:
        for name in filter(None, node.inputs):
            root = self._root_of(name)
            self._uses[root] -= 1
            self._used(root, position)
            if self._uses[root] == 0 and root not in self._held:
                self._free.insert(0, root)
        for name in filter(None, node.outputs):
            root = self._root_of(name)
            self._used(root, position)
            if self._uses[root] == 0 and root not in self._held and root not in self._free:
                self._free.insert(0, root)

    def _used(self, root: str, position: int) -> None:
        buffer = self._buffers.get(root)
        if buffer is not None:
            buffer.died = max(buffer.died, position)


def in_place_inputs(node: Node) -> tuple[int, ...]:
    """Inputs whose buffer the operator's CPU kernel may write its result to (`MayInplace` of its definition)."""
    if node.operator in _BINARY:
        return (0, 1)
    if node.operator in _UNARY:
        return (0,)
    return (_SUMMED[node.operator],) if node.operator in _SUMMED else ()


def scratch_bytes(node: Node, values: dict[str, Value]) -> int:
    """What a kernel allocates for itself beside its results.

    Where selects from both sides into tensors of their own before it merges them
    (onnxruntime/core/providers/cpu/tensor/where_op.cc).
    """
    if node.operator != "Where":
        return 0
    condition, *sides = (values[name] for name in node.inputs)
    item = sides[0].size // max(1, prod(sides[0].shape))
    return sum(prod(_broadcast(condition.shape, side.shape)) * item for side in sides)


def _broadcast(one: Shape, other: Shape) -> Shape:
    rank = max(len(one), len(other))
    first, second = ((1,) * (rank - len(shape)) + shape for shape in (one, other))
    return tuple(max(a, b) for a, b in zip(first, second, strict=True))
