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
DEPTHWISE_CUDNN_TAPS = 49
"""Largest window for which cuDNN has fast depthwise kernels in NHWC: 7 x 7, as ConvNeXt's throughput shows."""
DEPTHWISE_WITHOUT_CUDNN = 35.0
"""How many times longer a larger one takes there. Read off ConvMixer's published throughput, of 9 x 9."""
_CONVERSION_PASSES = {
    "convolution 1x1": 0.47,
    "convolution": 1.8,
    "grouped convolution": 1.37,
    "first convolution": 1.14,
    "convolution 1x1 backward": 5.96,
    "convolution backward": 4.43,
    "grouped convolution backward": 3.63,
    "first convolution backward": 3.94,
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
_UNBIASED = 2
"""Tensors that a convolution without bias takes."""
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
    if groups > 1 and weight[1] == 1:
        return _depthwise(kind, weight, outputs, item_bytes)
    image_bytes = float(elements(x) + outputs) * item_bytes
    family = _family(x, weight, groups)
    products = _products(kind, x, weight, groups, outputs, backward=backward)
    if backward:
        family = _BACKWARD[family]
    moved = image_bytes + elements(weight) * item_bytes
    winograd = _has_winograd(x, weight, groups, outputs)
    kernels = tuple(Kernel(family, moved, product=product, winograd=winograd) for product in products)
    kernels += _bias(kind, outputs, item_bytes)
    if kind.channels_last:
        return kernels
    passes = _CONVERSION_PASSES[family] * (FULL_PRECISION_CONVERSIONS if item_bytes > 2 else 1.0)
    return (*kernels, Kernel("layout conversion", passes * image_bytes))


def _depthwise(kind: OperatorKind, weight: Shape, outputs: int, item_bytes: int) -> tuple[Kernel, ...]:
    """One multiply-add a tap on the ordinary lanes; backward once for the image and once for the weight.

    torch's own kernel, in NCHW, adds the bias itself.
    """
    backward = "backward" in kind.name
    image_bytes = float(elements(kind.inputs[backward][1]) + outputs) * item_bytes
    size = elements(weight[2:])
    taps = float(outputs * (size + DEPTHWISE_INDEXING_TAPS))
    if kind.channels_last and size > DEPTHWISE_CUDNN_TAPS:
        taps *= DEPTHWISE_WITHOUT_CUDNN
    forward_family, backward_family = _DEPTHWISE[kind.channels_last]
    bias = _bias(kind, outputs, item_bytes) if backward or kind.channels_last else ()
    if backward:
        return (Kernel(backward_family, image_bytes, taps),) * 2 + bias
    return (Kernel(forward_family, image_bytes, taps), *bias)


def _bias(kind: OperatorKind, outputs: int, item_bytes: int) -> tuple[Kernel, ...]:
    """No kernel of cuDNN takes the bias: torch adds it in a kernel of its own, and sums its gradient in another.

    `at::_convolution` and `convolution_backward`, aten/src/ATen/native/Convolution.cpp.
    """
    if "backward" not in kind.name:
        return (
            (Kernel("broadcast", 2.0 * outputs * item_bytes, float(outputs)),) if len(kind.inputs) > _UNBIASED else ()
        )
    gradient, x, weight = (shape for _, shape in kind.inputs[:3])
    rest = kind.bytes_written - elements(weight) * item_bytes
    biased = rest % (elements(x) * item_bytes) == gradient[1] * item_bytes
    return (Kernel("reduction", float(outputs) * item_bytes, float(outputs)),) if biased else ()


def _family(x: Shape, weight: Shape, groups: int) -> Family:
    if groups > 1:
        return "grouped convolution"
    if x[1] <= FEW_CHANNELS:
        return "first convolution"
    return "convolution 1x1" if elements(weight[2:]) == 1 else "convolution"


def _has_winograd(x: Shape, weight: Shape, groups: int, outputs: int) -> bool:
    """Whether cuDNN has Winograd's algorithm for it: dense, 3 x 3, every pixel an output."""
    same_size = outputs * x[1] == elements(x) * weight[0]
    return groups == 1 and weight[2:] == (3, 3) and same_size and x[1] > FEW_CHANNELS


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
