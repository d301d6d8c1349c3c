"""What cuDNN's convolutions take beside their tensors."""

from collections.abc import Iterable
from math import prod

from sslbench.bench.predict.capacity import MIB
from sslbench.bench.predict.operators import classify
from sslbench.bench.trace.events import Shape, Trace

CUDNN_WORKSPACE_BYTES = 256 * MIB
"""Most that a cuDNN convolution takes beside its tensors, from the caching allocator.

SimCLR with ResNet-18 in fp32 needs 0.26 GiB (RTX A6000, 224 px) and 0.29 GiB (V100, 128 px) more than its tensors and
the evaluation's feature bank (lightly's published benchmarks).
"""
# Winograd's F(4x4, 3x3) holds 6x6 values for 4x4 of input and output, and for 3x3 of the weights: Lavin and Gray,
# https://arxiv.org/abs/1509.09308
_WINOGRAD_IMAGES, _WINOGRAD_WEIGHTS = 36 / 16, 36 / 9


def workspace_bytes(trace: Trace) -> int:
    """What cuDNN takes beside the tensors for the largest dense convolution of a CUDA step; 0 without one."""
    return bounded_workspace(workspace_needs(trace))


def workspace_needs(trace: Trace) -> list[int]:
    """Bytes of a Winograd transform of every dense convolution of a CUDA step."""
    if trace.target != "cuda":
        return []
    return [
        int(_WINOGRAD_IMAGES * (kind.bytes_read + kind.bytes_written))
        + int(_WINOGRAD_WEIGHTS * prod(_weight(kind.inputs)) * 4)
        for kind in trace.kinds
        if classify(kind) in ("convolution", "convolution backward")
    ]


def bounded_workspace(needs: Iterable[float]) -> int:
    """The workspace for convolutions of these needs."""
    return int(min(CUDNN_WORKSPACE_BYTES, max(needs, default=0)))


def _weight(inputs: tuple[tuple[str, Shape], ...]) -> Shape:
    """A convolution's weight, which is its last image-like input."""
    return [shape for _, shape in inputs if len(shape) >= 3][-1]
