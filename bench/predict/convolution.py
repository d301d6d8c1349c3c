"""Kernels of convolutions on a GPU, as cuDNN runs them: implicit matrix products, and the conversions around them.

The tensor-core kernels work in NHWC. Around an NCHW tensor cuDNN runs kernels that transpose, unless it finds an
algorithm that does without: how often is in the factors of `layout conversion`.
"""

from sslbench.bench.predict.kernel import Family, Kernel, Product, aligned, elements
from sslbench.bench.trace.events import OperatorKind, Shape

FEW_CHANNELS = 4
"""Input channels up to which a convolution counts as a network's first one. cuDNN's kernels pad them to this number."""
DEPTHWISE_INDEXING_TAPS = 8
"""What an output of a depthwise convolution costs beside its taps, in taps. Indices and bounds; an estimate, which the
fit of the factors was made with."""
_CONVERSION_PASSES = {
    "convolution 1x1": 0.55,
    "convolution": 1.9,
    "grouped convolution": 1.3,
    "first convolution": 1.4,
    "convolution 1x1 backward": 5.8,
    "convolution backward": 4.1,
    "grouped convolution backward": 3.8,
    "first convolution backward": 4.0,
}
"""How many times an NCHW convolution's images go through memory to be transposed. Two are a kernel that reads and
writes; a forward pass has one for its input and one for its output, if the algorithm cannot do without; a backward pass
three tensors in two kernels. Fitted: see the table of factors."""

FULL_PRECISION_CONVERSIONS = 0.6
"""Part of the layout conversions that 4-byte types have, for which cuDNN has kernels in NCHW too. Set by ResNet-50's
published TF32 and fp32 training (bench/published/rows.csv)."""
_BACKWARD: dict[Family, Family] = {
    "convolution 1x1": "convolution 1x1 backward",
    "convolution": "convolution backward",
    "grouped convolution": "grouped convolution backward",
    "first convolution": "first convolution backward",
}
_DEPTHWISE: tuple[tuple[Family, Family], ...] = (
    ("depthwise convolution NCHW", "depthwise convolution NCHW backward"),
    ("depthwise convolution NHWC", "depthwise convolution NHWC backward"),
)


def convolution_kernels(kind: OperatorKind, item_bytes: int) -> tuple[Kernel, ...]:
    """Kernels of a convolution, forward or backward; of any number of dimensions.

    Args:
        kind: the operator; its inputs are the image and the weight, backward the output's gradient first.
        item_bytes: size of an element.
    """
    backward = "backward" in kind.name
    x, weight = (shape for _, shape in kind.inputs[backward : backward + 2])
    groups = max(1, x[1] // weight[1]) if weight[1] else 1
    outputs = elements(kind.inputs[0][1]) if backward else kind.bytes_written // item_bytes
    image_bytes = float(elements(x) + outputs) * item_bytes
    if groups > 1 and weight[1] == 1:
        return _depthwise(kind, weight, outputs, image_bytes)
    family = _family(x, weight, groups)
    products = _products(kind, x, weight, groups, outputs, backward=backward)
    if backward:
        family = _BACKWARD[family]
    moved = image_bytes + elements(weight) * item_bytes
    kernels = tuple(Kernel(family, moved, product=product) for product in products)
    if kind.channels_last:
        return kernels
    passes = _CONVERSION_PASSES[family] * (FULL_PRECISION_CONVERSIONS if item_bytes > 2 else 1.0)
    return (*kernels, Kernel("layout conversion", passes * image_bytes))


def _depthwise(kind: OperatorKind, weight: Shape, outputs: int, image_bytes: float) -> tuple[Kernel, ...]:
    """One multiply-add a tap on the ordinary lanes; backward once for the image and once for the weight."""
    taps = float(outputs * (elements(weight[2:]) + DEPTHWISE_INDEXING_TAPS))
    forward, backward = _DEPTHWISE[kind.channels_last]
    if "backward" in kind.name:
        return (Kernel(backward, image_bytes, taps),) * 2
    return (Kernel(forward, image_bytes, taps),)


def _family(x: Shape, weight: Shape, groups: int) -> Family:
    if groups > 1:
        return "grouped convolution"
    if x[1] <= FEW_CHANNELS:
        return "first convolution"
    return "convolution 1x1" if elements(weight[2:]) == 1 else "convolution"


def _products(
    kind: OperatorKind, x: Shape, weight: Shape, groups: int, outputs: int, *, backward: bool
) -> tuple[Product, ...]:
    """The implicit matrix products: forward one; backward the image's, if it needs a gradient, and the weight's."""
    taps = elements(weight[2:])
    into = FEW_CHANNELS if groups == 1 and x[1] <= FEW_CHANNELS else aligned(weight[1])
    out = aligned(max(1, weight[0] // groups))
    pixels = max(1, outputs // max(1, weight[0]))
    full = 2.0 * outputs * weight[1] * taps
    if not backward:
        return (Product(groups, pixels, out, into * taps, _share(kind.flops, full)),)
    both = kind.flops > 1.5 * full
    share = _share(kind.flops, 2 * full if both else full)
    of_weight = Product(groups, out, into * taps, pixels, share)
    if not both:
        return (of_weight,)
    places = max(1, elements(x) // max(1, x[1]))
    # Of a strided convolution's image only the taps that met an output are computed.
    of_image = Product(groups, places, into, out * taps, share * min(1.0, pixels / places) if taps > 1 else share)
    return (of_image, of_weight)


def _share(flops: int, full: float) -> float:
    return flops / full if full else 1.0
