"""Operator to kernels: what each operator of a trace launches on a GPU, and what that asks of it."""

from collections.abc import Callable
from functools import lru_cache

from sslbench.bench.predict.convolution import convolution_kernels
from sslbench.bench.predict.kernel import Family, Kernel, Product, aligned, elements
from sslbench.bench.predict.operators import MATRIX_PRODUCTS
from sslbench.bench.trace.events import OperatorKind, Shape

ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}
LAYER_NORM_ROW_ELEMENTS = 600
"""What a row of a layer normalisation costs beside its elements, in elements. A block of 128 threads reduces each row
twice; an estimate, which the fit of the factors was made with."""
ATTENTION_TILE = 64
"""Queries and keys that a fused attention kernel pads to. The smaller side of FlashAttention's tiles."""
ATTENTION_HEAD = 32
"""Sizes of heads are padded to a multiple of this. As FlashAttention does."""
PLANE_STEP = 64
"""Values of a plane (H x W) that a normalisation's threads take at a time in NCHW. Two warps; an estimate."""
ATTENTION_BACKWARD_PRODUCTS = 2.5
"""Matrix products of a fused attention's backward pass, over the forward pass's two. Five (FlashAttention's paper)."""

_COPIES = (
    "clone contiguous copy_ cat stack index_select index roll constant_pad_nd repeat im2col col2im _unsafe_index flip"
)
_GRADIENT_COPIES = "slice_backward select_backward gather embedding"
_REDUCTIONS = "mean sum var var_mean std linalg_vector_norm norm amax max min"
_EXPONENTIALS = "silu silu_ sigmoid sigmoid_ tanh exp mish mish_ softplus elu"
_STREAMS: dict[str, Family] = {
    "_to_copy": "copy",
    "gelu": "error function",
    "gelu_backward": "error function backward",
    "silu_backward": "exponential backward",
    "mish_backward": "exponential backward",
    **dict.fromkeys(f"{_COPIES} {_GRADIENT_COPIES}".split(), "strided copy"),
    **dict.fromkeys(_REDUCTIONS.split(), "reduction"),
    **dict.fromkeys(_EXPONENTIALS.split(), "exponential"),
    "fused pointwise": "fused pointwise",  # these three: bench/predict/compiled.py
    "fused rows": "fused rows",
    "fused reduction": "fused reduction",
}
_LOOKUPS = ("embedding", "gather", "index_select", "index")
"""Of their first operand they read what they write, not all of it."""
_INTERPOLATIONS = ("upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d")


@lru_cache(maxsize=1 << 16)
def operator_kernels(kind: OperatorKind) -> tuple[Kernel, ...]:
    """The kernels of one call of an operator; none for a view."""
    if kind.is_view:
        return ()
    name = kind.name.removeprefix("aten.").partition(".")[0]
    for belongs, kernels in _RULES:
        if belongs(name, kind):
            return kernels(name, kind)
    moved = 2.0 * kind.bytes_written if name in _LOOKUPS else _moved(kind)
    return (Kernel(_stream_family(name, kind), moved, _largest(kind)),)


def item_bytes(kind: OperatorKind) -> int:
    """Size of an element of the type that the operator computes in."""
    return next((ITEM_BYTES[dtype] for dtype, _ in kind.inputs if dtype in ITEM_BYTES), 4)


def _moved(kind: OperatorKind) -> float:
    return float(kind.bytes_read + kind.bytes_written)


def _largest(kind: OperatorKind) -> float:
    return float(max((elements(shape) for _, shape in kind.inputs), default=0))


# ---------------------------------------------------------------------- arithmetic
def _is_convolution(name: str, kind: OperatorKind) -> bool:
    return "convolution" in name and all(len(shape) > 2 for _, shape in kind.inputs[:2])


def _convolution(name: str, kind: OperatorKind) -> tuple[Kernel, ...]:
    return convolution_kernels(kind, item_bytes(kind))


def _operands(kind: OperatorKind) -> list[Shape]:
    return [shape for _, shape in kind.inputs if len(shape) >= 2][-2:]


def _is_product(name: str, kind: OperatorKind) -> bool:
    operands = _operands(kind)
    return name in MATRIX_PRODUCTS and len(operands) == 2 and len(operands[0]) == len(operands[1])


def _product(name: str, kind: OperatorKind) -> tuple[Kernel, ...]:
    left, right = _operands(kind)
    count = left[0] if len(left) == 3 else 1
    m, k, n = left[-2], left[-1], right[-1]
    full = 2.0 * count * m * k * n
    product = Product(count, m, n, k, kind.flops / full if full else 0.0)
    family: Family = "batched product" if count > 1 else "matrix product"
    return (Kernel(family, _moved(kind), product=product),)


def _is_attention(name: str, kind: OperatorKind) -> bool:
    backward = "backward" in name
    shapes = [shape for _, shape in kind.inputs if len(shape) == 4]
    return "attention" in name and len(shapes) >= 2 + backward


def _attention(name: str, kind: OperatorKind) -> tuple[Kernel, ...]:
    backward = "backward" in name
    query, key = [shape for _, shape in kind.inputs if len(shape) == 4][backward : backward + 2]
    batch, heads, queries, head = query
    scores = float(batch * heads) * queries * key[2]
    passes = ATTENTION_BACKWARD_PRODUCTS if backward else 1.0
    full = 4.0 * scores * head * passes
    padded = float(batch * heads) * aligned(queries, ATTENTION_TILE) * aligned(key[2], ATTENTION_TILE)
    share = min(1.0, kind.flops / full) if full and kind.flops else 1.0  # a causal mask skips tiles
    family: Family = "flash attention" if "flash" in name or "cudnn" in name else "efficient attention"
    if backward:
        family = "flash attention backward" if family == "flash attention" else "efficient attention backward"
    flops = share * 4.0 * padded * aligned(head, ATTENTION_HEAD) * passes
    return (Kernel(family, _moved(kind), share * padded, flops=flops),)


# ---------------------------------------------------------------------- traffic
def _is_norm(name: str, kind: OperatorKind) -> bool:
    return any(part in name for part in ("batch_norm", "layer_norm", "rms_norm", "group_norm")) and bool(kind.inputs)


def _norm(name: str, kind: OperatorKind) -> tuple[Kernel, ...]:
    backward = "backward" in name
    x, size = kind.inputs[0][1], _largest(kind)
    if "batch_norm" in name:
        plane = elements(x[2:]) if len(x) > 2 else 1
        padded = size if kind.channels_last else size * aligned(plane, PLANE_STEP) / max(1, plane)
        if not backward and name == "native_batch_norm":  # inference: the statistics are known
            return (Kernel("pointwise", _moved(kind), size),)
        return (Kernel("batch normalisation backward" if backward else "batch normalisation", _moved(kind), padded),)
    if "group_norm" in name:
        return (Kernel("group normalisation backward" if backward else "group normalisation", _moved(kind), size),)
    width = next((shape[-1] for _, shape in kind.inputs[1:] if len(shape) == 1), x[-1] if x else 1)
    size += elements(x) / max(1, width) * LAYER_NORM_ROW_ELEMENTS
    return (Kernel("layer normalisation backward" if backward else "layer normalisation", _moved(kind), size),)


def _interpolation(name: str, kind: OperatorKind) -> tuple[Kernel, ...]:
    """In NCHW one thread has one output pixel, and goes through all channels of all images."""
    x = kind.inputs[0][1]
    steps = 0.0 if kind.channels_last else float(x[0] * x[1])
    return (Kernel("interpolation", _moved(kind), _largest(kind), serial_steps=steps),)


def _one(family: Family) -> Callable[[str, OperatorKind], tuple[Kernel, ...]]:
    return lambda name, kind: (Kernel(family, _moved(kind), _largest(kind)),)


def _stream_family(name: str, kind: OperatorKind) -> Family:
    if name in _STREAMS:
        return _STREAMS[name]
    tensors = [(dtype, shape) for dtype, shape in kind.inputs if elements(shape) > 1 and dtype != "bool"]
    alike = len({dtype for dtype, _ in tensors}) <= 1 and len({shape for _, shape in tensors}) <= 1
    return "pointwise" if alike else "broadcast"


_Rule = tuple[Callable[[str, OperatorKind], bool], Callable[[str, OperatorKind], tuple[Kernel, ...]]]
_RULES: tuple[_Rule, ...] = (
    (_is_convolution, _convolution),
    (_is_product, _product),
    (_is_attention, _attention),
    (lambda name, kind: "softmax" in name, _one("softmax")),
    (_is_norm, _norm),
    (lambda name, kind: name.startswith(("_foreach", "_fused")), _one("optimizer")),
    (lambda name, kind: name in _INTERPOLATIONS and bool(kind.inputs), _interpolation),
    (lambda name, kind: "pool" in name or "upsample" in name, _one("pooling")),
)
"""Tried in this order; what is left streams through memory once."""
