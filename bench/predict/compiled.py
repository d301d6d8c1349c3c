"""What torch.compile makes of a step on a GPU: pointwise operators, copies and normalisations in few kernels.

TorchInductor hands convolutions, matrix products and fused attention to libraries, as eager mode does. What lies
between two of them it generates: chains of pointwise operators, copies and reductions of rows (softmax, layer
normalisation) become one kernel, which reads its inputs once and writes only what others read.
https://dev-discuss.pytorch.org/t/torchinductor-a-pytorch-native-compiler-with-define-by-run-ir-and-symbolic-shapes/747

Known limitations: what the backward pass computes again instead of reading it (the partitioner's choice) is read here.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sslbench.bench.predict.compiled_layout import runs_channels_last
from sslbench.bench.predict.kernel import elements
from sslbench.bench.predict.operators import MATRIX_PRODUCTS
from sslbench.bench.trace.events import OPTIMIZER, Call, OperatorKind, Shape, Trace

_ITEM_BYTES = {"float64": 8, "int64": 8, "float16": 2, "bfloat16": 2, "bool": 1, "uint8": 1, "int8": 1}
"""Bytes of an element; 4 for every other type."""
_LIBRARY = (
    "convolution",
    "attention",
    "sort",
    "topk",
    "cumsum",
    "nonzero",
    "unique",
    "_foreach",
    "_fused_adam",
    "_cdist",
)
"""Parts of the names of operators that stay calls of a library; matrix products are the others."""
_FUSED_CAT = 8
"""Most tensors whose concatenation is part of another kernel; of more it has a buffer of its own.
https://github.com/pytorch/pytorch/blob/v2.9.1/torch/_inductor/lowering.py, `cat`."""
_IMAGE_DIMENSIONS = 4
_ROWS = ("layer_norm", "group_norm", "rms_norm", "softmax")
_REDUCTIONS = ("mean", "sum", "var", "std", "norm", "amax", "amin", "max", "min", "prod", "adaptive_avg_pool2d")


@dataclass(slots=True)
class _Node:
    """A part of an operator: what one kernel does, or a fused kernel with others."""

    call: Call
    kind: OperatorKind
    stage: int
    """How many library calls, and reductions of more than rows, lie on the longest way to it from the step's inputs."""
    loop: str
    """`library`, or the loop that is generated: `pointwise`, over `rows` in one piece, or any other `reduction`."""
    reads: list[int] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Value:
    """What a storage holds between two writes to it."""

    size: int
    """Bytes."""
    stage: int = 0
    maker: int = -1
    """The node that writes it; -1: it was there before the step."""
    readers: list[int] = field(default_factory=list)
    kept: bool = False
    """Whether it is there after the step."""


def compiled(trace: Trace) -> Trace:
    """A step's operators as torch.compile runs them; its storages stay those of eager mode.

    Args:
        trace: of a step in eager mode, for a CUDA target.
    """
    graph = _Graph(trace)
    kinds: dict[OperatorKind, int] = {}
    calls = [
        replace(call, kind=kinds.setdefault(kind, len(kinds)), reads=(), writes=()) for call, kind in graph.kernels()
    ]
    return replace(trace, kinds=tuple(kinds), calls=tuple(calls))


class _Graph:
    """Nodes and values of a step, and which nodes run in one kernel."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._channels_last = runs_channels_last(trace)
        self.nodes: list[_Node] = []
        self.values: list[_Value] = []
        self._current: dict[int, int] = {}
        """Value that a storage holds."""
        for call in trace.calls:
            kind = trace.kinds[call.kind]
            if not kind.is_view:
                self._add(call, kind)
        freed = {~event for event in trace.events[trace.marks[1] :] if event < 0}
        for storage, value in self._current.items():
            self.values[value].kept |= storage not in freed
        self._group = list(range(len(self.nodes)))
        self._join()

    # ------------------------------------------------------------------ nodes
    def _add(self, call: Call, kind: OperatorKind) -> None:
        name = kind.name.removeprefix("aten.").partition(".")[0]
        if "convolution" in name and "backward" not in name:
            self._add_convolution(call, kind)
        elif call.phase == OPTIMIZER or name in MATRIX_PRODUCTS or any(part in name for part in _LIBRARY):
            self._node(call, kind, "library", call.writes, after=1)
        elif "batch_norm" in name and name != "native_batch_norm":  # statistics of a batch: read, then read again
            self._node(call, kind, "reduction", ())
            self._node(call, kind, "pointwise", call.writes, later=1)
        else:
            loop, ends = _loop(name, kind, channels_last=kind.channels_last or self._channels_last)
            self._node(call, kind, loop, call.writes, after=int(ends))

    def _add_convolution(self, call: Call, kind: OperatorKind) -> None:
        """The bias is added by whatever kernel comes next."""
        bare = replace(kind, inputs=kind.inputs[:2], channels_last=kind.channels_last or self._channels_last)
        self._node(call, bare, "library", call.writes, after=1)
        if len(kind.inputs) > len(bare.inputs):
            dtype, size = kind.inputs[0][0], kind.bytes_written
            output = (dtype, (size // _ITEM_BYTES.get(dtype, 4),))
            bias = OperatorKind("bias", (output,), 0, size, size)
            self._node(replace(call, reads=call.writes), bias, "pointwise", call.writes)

    def _node(
        self, call: Call, kind: OperatorKind, loop: str, writes: tuple[int, ...], *, later: int = 0, after: int = 0
    ) -> None:
        """A node, `later` stages after what it reads; what it makes is there `after` stages after it."""
        index = len(self.nodes)
        reads = [self._value(storage) for storage in call.reads]
        stage = max((self.values[value].stage for value in reads), default=0) + later
        for value in reads:
            self.values[value].readers.append(index)
        made = list(range(len(self.values), len(self.values) + len(writes)))
        for storage in writes:
            self._current[storage] = len(self.values)
            self.values.append(_Value(self._trace.storages[storage].size, stage + after, index))
        self.nodes.append(_Node(call, kind, stage, loop, reads, made))

    def _value(self, storage: int) -> int:
        if storage not in self._current:
            self._current[storage] = len(self.values)
            self.values.append(_Value(self._trace.storages[storage].size))
        return self._current[storage]

    # ------------------------------------------------------------------ kernels
    def _join(self) -> None:
        """Nodes of one stage that hand a value on, or read a large one together, become one kernel."""
        for value in self.values:
            first: dict[tuple[int, int], int] = {}
            members = [value.maker] if value.maker >= 0 else []
            members += [reader for reader in value.readers if 2 * value.size >= self.nodes[reader].kind.bytes_read]
            for index in members:
                node = self.nodes[index]
                if node.loop != "library":
                    self._group[self._root(index)] = self._root(first.setdefault((node.call.phase, node.stage), index))

    def _root(self, node: int) -> int:
        while self._group[node] != node:
            self._group[node] = self._group[self._group[node]]
            node = self._group[node]
        return node

    def kernels(self) -> Iterator[tuple[Call, OperatorKind]]:
        """Each kernel, with the call that it stands at."""
        groups: dict[int, list[int]] = defaultdict(list)
        for index in range(len(self.nodes)):
            groups[self._root(index)].append(index)
        for members in groups.values():
            first = self.nodes[members[0]]
            yield first.call, first.kind if first.loop == "library" else self._fused(members)

    def _fused(self, members: list[int]) -> OperatorKind:
        """One kernel of several nodes: it reads what none of them made, and writes what others read."""
        inside = set(members)
        read: dict[int, float] = defaultdict(float)
        inputs: dict[int, tuple[str, Shape]] = {}
        written = 0
        for node in (self.nodes[index] for index in members):
            for value, size, tensor in self._taken(node):
                if self.values[value].maker not in inside:
                    read[value] += size
                    inputs.setdefault(value, tensor)
            written += sum(self.values[value].size for value in node.writes if self._is_written(value, node, inside))
        loops = {self.nodes[index].loop for index in members}
        loop = next(loop for loop in ("reduction", "rows", "pointwise") if loop in loops)
        return OperatorKind(
            f"fused {loop}",
            tuple(inputs.values()),
            0,
            sum(min(self.values[value].size, int(size)) for value, size in read.items()),
            written,
        )

    def _taken(self, node: _Node) -> Iterator[tuple[int, int, tuple[str, Shape]]]:
        """Value, bytes, and type and shape of everything that a node reads."""
        if len(node.kind.inputs) != len(node.reads):  # tensors on the host, or a part of an operator
            for value in node.reads:
                size = self.values[value].size
                yield value, size, ("float16", (size // 2,))
            return
        for value, (dtype, shape) in zip(node.reads, node.kind.inputs, strict=True):
            yield value, elements(shape) * _ITEM_BYTES.get(dtype, 4), (dtype, shape)

    def _is_written(self, index: int, node: _Node, inside: set[int]) -> bool:
        value = self.values[index]
        unread = not value.readers and len(node.writes) == 1
        return value.kept or unread or any(reader not in inside for reader in value.readers)


def _loop(name: str, kind: OperatorKind, *, channels_last: bool) -> tuple[str, bool]:
    """The loop of an operator, and whether its result must be there before anything that needs it begins."""
    if any(part in name for part in _ROWS):
        return "rows", False
    if name not in _REDUCTIONS or not kind.inputs or not kind.bytes_written:
        return "pointwise", name == "cat" and len(kind.inputs) > _FUSED_CAT
    dtype, shape = kind.inputs[0]
    reduced = elements(shape) * _ITEM_BYTES.get(dtype, 4) / kind.bytes_written
    if shape and reduced == shape[-1]:
        return "rows", False
    is_plane = len(shape) == _IMAGE_DIMENSIONS and not channels_last and reduced == shape[-1] * shape[-2]
    return ("rows" if is_plane else "reduction"), True
