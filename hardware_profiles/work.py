"""What a timed kernel computes and moves, from its sizes: the rates that its times stand for."""

from collections.abc import Callable
from math import prod

from sslbench.hardware_profiles.schema import DType

Shape = tuple[int, ...]

ITEM_BYTES: dict[DType, int] = {"fp64": 8, "fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "int8": 1}
_BACKWARD = {"convolution": 2.0, "attention": 2.5}
"""FLOP of the backward pass over those of the forward pass: both gradients; five products for two (FlashAttention)."""


def kernel_flops(kernel: str, shape: Shape) -> float | None:
    """FLOP of one call, None for a kernel that is not made of multiplications and additions."""
    name, backward = _family(kernel)
    if name not in _WORK:
        return None
    return _WORK[name](shape)[0] * (_BACKWARD[name] if backward else 1.0)


def kernel_bytes(kernel: str, dtype: DType, shape: Shape) -> float | None:
    """Bytes of one call, each operand and result once; None for a kernel that moves next to nothing, or is not known.

    A transfer between host and device counts once, a copy as read and as written; a backward pass moves about twice
    what the forward pass does.
    """
    name, backward = _family(kernel)
    if name == "copy":
        return 2.0 * shape[0]
    if name.startswith(("host_to_device", "device_to_host")):
        return float(shape[0])
    if name in _STREAMED:
        elements = _STREAMED[name] * prod(shape)
    elif name in _WORK:
        elements = _WORK[name](shape)[1]
    else:
        return None
    return ITEM_BYTES[dtype] * elements * (2.0 if backward else 1.0)


def _family(kernel: str) -> tuple[str, bool]:
    name = kernel.removesuffix("_nhwc")
    return name.removesuffix("_backward"), name.endswith("_backward")


def _matmul(shape: Shape) -> tuple[float, int]:
    m, n, k = shape
    return 2.0 * m * n * k, m * k + n * k + m * n


def _batched_matmul(shape: Shape) -> tuple[float, int]:
    flops, elements = _matmul(shape[1:])
    return shape[0] * flops, shape[0] * elements


def _convolution(shape: Shape) -> tuple[float, int]:
    """Padded by half the kernel; patches (a stride of the kernel's size) are not."""
    n, c, h, w, o, kernel, stride, groups = shape
    padding = 0 if kernel == stride else kernel // 2
    outputs = n * o * prod((size + 2 * padding - kernel) // stride + 1 for size in (h, w))
    taps = c // groups * kernel**2
    return 2.0 * outputs * taps, n * c * h * w + outputs + o * taps


def _attention(shape: Shape) -> tuple[float, int]:
    b, heads, queries, keys, head_dim = shape
    return 4.0 * b * heads * queries * keys * head_dim, 2 * b * heads * (queries + keys) * head_dim


_WORK: dict[str, Callable[[Shape], tuple[float, int]]] = {
    "matmul": _matmul,
    "batched_matmul": _batched_matmul,
    "convolution": _convolution,
    "attention": _attention,
}
"""FLOP of the forward pass, and elements of its operands and result."""
_STREAMED: dict[str, float] = {
    "add": 3.0,
    **dict.fromkeys(("mul_inplace", "sqrt", "silu", "gelu", "bernoulli", "strided_copy"), 2.0),
    **dict.fromkeys(("softmax", "log_softmax", "layer_norm", "batch_norm"), 2.0),
    "max_pool": 1.75,
    **dict.fromkeys(("norm", "sum_rows"), 1.0),
}
"""Elements that a streaming kernel moves, over those of its input."""
