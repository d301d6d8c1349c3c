"""Operator to kernel on a processor: which of the probe's kernels an operator is like, at which sizes, and its work.

Kernels and the order of their sizes are those of `sslbench.kernels.micro`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod, sqrt

from sslbench.bench.predict.kernel import elements
from sslbench.bench.predict.operators import MATRIX_PRODUCTS
from sslbench.bench.trace.events import OperatorKind, Shape
from sslbench.hardware_profiles.work import kernel_flops

FP32_BYTES = 4
_NOTHING = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided", "nll_loss_forward", "item")
"""Read and write next to nothing of what they are given."""
_FILLS = ("zeros", "zero_", "fill_", "zeros_like", "new_zeros", "full", "full_like", "ones_like", "nll_loss_backward")
_TRANSCENDENTAL = (
    "silu silu_backward sigmoid sigmoid_backward tanh tanh_backward exp exp_ log log_ sin cos erf softplus"
)
_COPIES = "clone copy_ _to_copy cat stack index_select index roll constant_pad_nd slice_backward select_backward gather"
_LIKE: dict[str, str] = {
    **dict.fromkeys(_TRANSCENDENTAL.split(), "silu"),
    **dict.fromkeys(_COPIES.split(), "strided_copy"),
    **dict.fromkeys(("bernoulli_", "bernoulli", "normal_", "uniform_", "exponential_"), "bernoulli"),
    **dict.fromkeys(("linalg_vector_norm", "_foreach_norm", "mean", "var_mean", "amax", "argmax", "logsumexp"), "norm"),
    "gelu": "gelu",
    "gelu_backward": "gelu_backward",
    "sqrt": "sqrt",
    "_foreach_sqrt": "sqrt",
}
_ROWS: dict[str, str] = {
    "_softmax": "softmax",
    "_safe_softmax": "softmax",
    "_softmax_backward_data": "softmax_backward",
    "_log_softmax": "log_softmax",
    "_log_softmax_backward_data": "log_softmax_backward",
}


@dataclass(frozen=True, slots=True)
class Work:
    """What one call of an operator asks of a processor."""

    kernel: str
    """The kernel of the probe that it is like."""
    shape: Shape = ()
    """Its sizes, in that kernel's order."""
    share: float = 1.0
    """Part of that kernel's work that it is: a gradient that is not wanted costs nothing."""


@lru_cache(maxsize=1 << 16)
def operator_work(kind: OperatorKind) -> Work | None:
    """The work of one call of an operator; None for one that has none."""
    name = kind.name.removeprefix("aten.").partition(".")[0]
    if kind.is_view or name in _NOTHING:
        return None
    for belongs, work in _RULES:
        if belongs(name, kind):
            return work(name, kind)
    return stream(_LIKE.get(name, "mul_inplace" if name.endswith("_") else "add"), kind)


def stream(kernel: str, kind: OperatorKind) -> Work:
    """An operator that goes through its tensors once."""
    moved = kind.bytes_read + kind.bytes_written
    if kernel in ("add", "mul_inplace"):  # by their traffic: other operators have more operands, or fewer
        return Work(kernel, (max(1, moved // (FP32_BYTES * (3 if kernel == "add" else 2))),))
    size = max((elements(shape) for _, shape in kind.inputs), default=kind.bytes_written // FP32_BYTES)
    return Work(kernel, (max(1, size),))


# ---------------------------------------------------------------------- arithmetic
def _is_product(name: str, kind: OperatorKind) -> bool:
    return name in MATRIX_PRODUCTS and sum(len(shape) >= 2 for _, shape in kind.inputs) >= 2


def _product(name: str, kind: OperatorKind) -> Work:
    """The columns of the result follow from the FLOPs: a weight may stand either way."""
    matrices = [shape for _, shape in kind.inputs if len(shape) >= 2]
    left, right = matrices[-2:] if name in ("addmm", "baddbmm") else matrices[:2]  # those begin with what is added
    batch = prod(left[:-2]) if len(right) > 2 else 1
    m, k = prod(left[:-1]) // batch if batch else 0, left[-1]
    n = round(kind.flops / (2 * batch * m * k)) if batch * m * k else 0
    return Work("batched_matmul", (batch, m, n, k)) if len(right) > 2 else Work("matmul", (m, n, k))


def _is_convolution(name: str, kind: OperatorKind) -> bool:
    return "convolution" in name and len(kind.inputs) >= 2 + ("backward" in name)


def _convolution(name: str, kind: OperatorKind) -> Work:
    """In one or three dimensions like one of square images and kernels with as many pixels and taps."""
    backward = "backward" in name
    image, weight = (shape for _, shape in kind.inputs[backward : backward + 2])
    kernel = "convolution_backward" if backward else "convolution"
    products = 2.0 * prod(weight) * image[0]
    pixels = prod(image[2:])
    out = prod(kind.inputs[0][1][2:]) if backward else kind.flops / products if products else 0
    stride = max(1, round(sqrt(pixels / out))) if out else 1
    height, width = image[2:] if len(image) == 4 else (max(1, round(sqrt(pixels))),) * 2
    side, groups = round(sqrt(prod(weight[2:]))), max(1, image[1] // max(1, weight[1]))
    shape = (image[0], image[1], height, width, weight[0], side, stride, groups)
    full = kernel_flops(kernel, shape)
    return Work(kernel, shape, kind.flops / full if full and kind.flops else 1.0)


def _is_attention(name: str, kind: OperatorKind) -> bool:
    return "attention" in name and sum(len(shape) == 4 for _, shape in kind.inputs) >= 2 + ("backward" in name)


def _attention(name: str, kind: OperatorKind) -> Work:
    backward = "backward" in name
    query, key = [shape for _, shape in kind.inputs if len(shape) == 4][backward : backward + 2]
    shape = (query[0], query[1], query[2], key[2], query[3])
    kernel = "attention_backward" if backward else "attention"
    return Work(kernel, shape)


# ---------------------------------------------------------------------- traffic
def _rows(name: str, kind: OperatorKind) -> Work:
    shape = kind.inputs[0][1]
    columns = shape[-1] if shape else 1
    sizes = (elements(shape) // max(1, columns), columns)
    return Work(_ROWS[name], sizes)


def _row_sums(name: str, kind: OperatorKind) -> Work:
    size = elements(kind.inputs[0][1])
    columns = max(1, kind.bytes_written // FP32_BYTES)
    return Work("sum_rows", (max(1, size // columns), columns))


def _norm(name: str, kind: OperatorKind) -> Work:
    backward, x = "backward" in name, kind.inputs[0][1]
    suffix = "_backward" if backward else ""
    if "batch_norm" in name:
        if not backward and kind.bytes_written <= elements(x) * FP32_BYTES:  # inference: no statistics are written
            return stream("add", kind)
        return Work("batch_norm" + suffix, (x[0], x[1], 1, prod(x[2:])))
    columns = prod(x[1:]) if "group_norm" in name else x[-1] if x else 1
    return Work("layer_norm" + suffix, (elements(x) // max(1, columns), columns))


def _pool(name: str, kind: OperatorKind) -> Work:
    backward = "backward" in name
    x = kind.inputs[backward][1]
    shape = (*x[:2], 1, prod(x[2:]))
    return Work("max_pool_backward" if backward else "max_pool", shape)


def _fill(name: str, kind: OperatorKind) -> Work:
    return Work("mul_inplace", (max(1, kind.bytes_written // (2 * FP32_BYTES)),))


def _embedding(name: str, kind: OperatorKind) -> Work:
    """Only the rows that are asked for are read."""
    return Work("add", (max(1, kind.bytes_written // (2 * FP32_BYTES)),))


_Rule = tuple[Callable[[str, OperatorKind], bool], Callable[[str, OperatorKind], Work]]
_RULES: tuple[_Rule, ...] = (
    (_is_convolution, _convolution),
    (_is_product, _product),
    (_is_attention, _attention),
    (lambda name, kind: name in _ROWS and bool(kind.inputs), _rows),
    (lambda name, kind: name == "sum" and bool(kind.inputs), _row_sums),
    (lambda name, kind: any(part in name for part in ("batch_norm", "layer_norm", "group_norm", "rms_norm")), _norm),
    (lambda name, kind: name.startswith("max_pool2d_with_indices"), _pool),
    (lambda name, kind: name in _FILLS, _fill),
    (lambda name, kind: name in ("embedding", "embedding_dense_backward"), _embedding),
)
"""Tried in this order; what is left streams through memory once."""
