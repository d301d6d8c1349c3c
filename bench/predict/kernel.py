"""What the kernels of an operator ask of a GPU, without saying which GPU: plain numbers, derived from shapes."""

from dataclasses import dataclass
from typing import Literal

Family = Literal[
    "matrix product",
    "batched product",
    "convolution 1x1",
    "convolution",
    "grouped convolution",
    "first convolution",
    "depthwise convolution NCHW",
    "depthwise convolution NHWC",
    "convolution 1x1 backward",
    "convolution backward",
    "grouped convolution backward",
    "first convolution backward",
    "depthwise convolution NCHW backward",
    "depthwise convolution NHWC backward",
    "layout conversion",
    "flash attention",
    "efficient attention",
    "flash attention backward",
    "efficient attention backward",
    "softmax",
    "batch normalisation",
    "batch normalisation backward",
    "layer normalisation",
    "layer normalisation backward",
    "group normalisation",
    "group normalisation backward",
    "copy",
    "strided copy",
    "pointwise",
    "broadcast",
    "exponential",
    "exponential backward",
    "error function",
    "error function backward",
    "pooling",
    "reduction",
    "interpolation",
    "optimizer",
    "fused pointwise",
    "fused rows",
    "fused reduction",
]


@dataclass(frozen=True, slots=True)
class Product:
    """Matrix products on the matrix units: `count` times (m x k) by (k x n), as a tiled kernel sees them."""

    count: int
    m: int
    n: int
    k: int
    share: float = 1.0
    """Part of it that is computed: the counted FLOPs over those of the full product."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel launch, or several that do the same to the same data."""

    family: Family
    bytes: float
    """Moved to and from memory, each operand once."""
    elements: float = 0.0
    """What the family's instructions are counted for."""
    product: Product | None = None
    flops: float = 0.0
    """On the matrix units without tiles of its own (attention), padding included."""
    winograd: bool = False
    """Whether it is a convolution that takes fewer multiplications where the ordinary lanes do them."""
    serial_steps: float = 0.0
    """Steps that one thread takes one after the other, each as long as memory's latency."""


def aligned(size: int, multiple: int = 8) -> int:
    """A size rounded up: the matrix units read 16 bytes, 8 values of 2 bytes, at a time."""
    return -(-size // multiple) * multiple


def elements(shape: tuple[int, ...]) -> int:
    """Number of elements of a shape."""
    total = 1
    for size in shape:
        total *= size
    return total
