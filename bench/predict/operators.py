"""Which kind of kernel an operator is: what bounds it on a GPU or a CPU depends on that."""

from typing import Literal

from sslbench.bench.trace.events import OperatorKind, Shape

OperatorClass = Literal[
    "convolution 1x1",
    "convolution",
    "grouped convolution",
    "depthwise convolution",
    "first convolution",
    "convolution 1x1 backward",
    "convolution backward",
    "grouped convolution backward",
    "depthwise convolution backward",
    "first convolution backward",
    "matrix product",
    "attention",
    "softmax",
    "batch normalisation",
    "layer normalisation",
    "copy",
    "pointwise",
]

MATRIX_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "linear", "_addmm_activation")
_COPIES = ("_to_copy", "clone", "copy_", "cat", "stack", "contiguous", "constant_pad_nd", "index_select")
_FEW_CHANNELS = 4
_BACKWARD: dict[OperatorClass, OperatorClass] = {
    "convolution 1x1": "convolution 1x1 backward",
    "convolution": "convolution backward",
    "grouped convolution": "grouped convolution backward",
    "depthwise convolution": "depthwise convolution backward",
    "first convolution": "first convolution backward",
}
_BY_PART: dict[str, OperatorClass] = {
    "attention": "attention",
    "softmax": "softmax",
    "batch_norm": "batch normalisation",
    "layer_norm": "layer normalisation",
    "group_norm": "layer normalisation",
    "rms_norm": "layer normalisation",
}


def classify(kind: OperatorKind) -> OperatorClass:
    """The class of an operator with its shapes."""
    name = kind.name.removeprefix("aten.").partition(".")[0]
    if "convolution" in name:
        return _BACKWARD[_convolution(kind, 1)] if "backward" in name else _convolution(kind, 0)
    if name in MATRIX_PRODUCTS:
        return "matrix product"
    if name in _COPIES:
        return "copy"
    return next((kind_of for part, kind_of in _BY_PART.items() if part in name), "pointwise")


def _convolution(kind: OperatorKind, first: int) -> OperatorClass:
    """Class of a convolution whose image is the input at `first`, followed by its weight."""
    x, weight = (shape for _, shape in kind.inputs[first : first + 2])
    channels = x[1]
    groups = channels // weight[1] if weight[1] else 1
    if groups > 1:
        return "depthwise convolution" if groups == channels else "grouped convolution"
    if channels <= _FEW_CHANNELS:
        return "first convolution"
    return "convolution 1x1" if _is_pointwise(weight) else "convolution"


def _is_pointwise(weight: Shape) -> bool:
    return all(size == 1 for size in weight[2:])


def compute_dtype(kind: OperatorKind) -> str:
    """Element type that the operator computes in: that of its first floating-point input."""
    for dtype, _ in kind.inputs:
        if dtype in ("float32", "float16", "bfloat16", "float64"):
            return {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}[dtype]
    return "fp32"
