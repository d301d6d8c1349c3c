"""Whether torch.compile runs a step's convolutions in NHWC, whatever layout the model has."""

from collections import Counter

from sslbench.bench.trace.events import BACKWARD, OperatorKind, Trace

_CALLS_A_CONVOLUTION = 300
"""A graph with more operators for each convolution is left as it is."""
_SMALL = 64
"""Channels, in and out, up to which a convolution is a small one."""
_COST = {"grouped": 1.358, "default": 0.823, "narrowing": 0.725, "small": 0.783}
"""Time in NHWC over time in NCHW that the compiler takes for each sort."""


def runs_channels_last(trace: Trace) -> bool:
    """TorchInductor's own rule for GPUs.

    https://github.com/pytorch/pytorch/blob/v2.9.1/torch/_inductor/graph.py, `decide_layout_opt`.
    """
    kinds = [trace.kinds[call.kind] for call in trace.calls]
    convolutions = [kind for kind in kinds if kind.name.startswith("aten.convolution.")]
    if not convolutions or len(kinds) >= _CALLS_A_CONVOLUTION * len(convolutions):
        return False
    flops: Counter[str] = Counter()
    for kind in convolutions:
        flops[_sort(kind)] += kind.flops
    if not any(call.phase == BACKWARD for call in trace.calls):
        return sum(_COST[sort] * count for sort, count in flops.items()) <= flops.total()
    return "grouped" not in flops and "narrowing" not in flops and "default" in flops


def _sort(kind: OperatorKind) -> str:
    (_, image), (_, weight) = kind.inputs[:2]
    if weight[1] > 1 and image[1] > weight[1]:
        return "grouped"
    if weight[0] <= _SMALL and weight[1] <= _SMALL:
        return "small"
    return "narrowing" if weight[0] * 2 <= weight[1] and weight[2] > 1 else "default"
