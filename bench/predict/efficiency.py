"""What kernels reach of a machine's peaks, by class of operator: the constants of the step-time model and their origin.

The GPU factors were fitted together on the published throughput of half of 200 timm models (inference on an RTX 3090
and an RTX 4090, PyTorch 2.1 to 2.9; training on an RTX 3090, PyTorch 1.12; fp16 autocast, NCHW and NHWC), bounded below
by what is physical (0.9 of the rated arithmetic, since boards boost; 0.8 of the counted bytes, since some are cached).
Source: https://github.com/huggingface/pytorch-image-models/tree/main/results; docs/accuracy.md has the other half.
"""

from sslbench.bench.predict.operators import OperatorClass

Factors = tuple[float, float]
"""(compute, bytes): how many times its ideal time an operator takes for its arithmetic and for its traffic."""

_CONVOLUTIONS: dict[OperatorClass, tuple[Factors, Factors]] = {
    "convolution 1x1": ((1.6, 0.8), (1.5, 0.8)),
    "convolution": ((0.9, 4.1), (0.9, 0.9)),
    "grouped convolution": ((1.5, 4.0), (1.7, 2.1)),
    "depthwise convolution": ((1.2, 2.2), (1.2, 2.6)),
    "first convolution": ((3.2, 2.1), (1.7, 1.0)),
    "convolution 1x1 backward": ((1.1, 7.0), (1.9, 4.3)),
    "convolution backward": ((2.5, 1.3), (0.9, 1.4)),
    "grouped convolution backward": ((3.1, 15.0), (15.0, 1.3)),
    "depthwise convolution backward": ((1.2, 12.3), (1.2, 7.4)),
    "first convolution backward": ((1.4, 1.6), (1.4, 1.6)),
    "batch normalisation": ((0.0, 1.1), (0.0, 0.8)),
}
"""In NCHW and in NHWC: cuDNN's tensor-core kernels work in NHWC and convert what is not."""
_OTHERS: dict[OperatorClass, Factors] = {
    "matrix product": (1.02, 2.0),
    "attention": (1.1, 0.8),
    "softmax": (0.0, 3.2),
    "layer normalisation": (0.0, 0.8),
    "copy": (0.0, 0.8),
    "pointwise": (0.0, 1.2),
}
_CPU: dict[str, Factors] = {
    "convolution 1x1": (1.1, 1.0),
    "convolution": (1.1, 1.0),
    "grouped convolution": (1.5, 1.0),
    "depthwise convolution": (4.0, 1.0),
    "first convolution": (2.0, 1.0),
    "matrix product": (1.2, 1.0),
    "attention": (1.5, 1.0),
    "softmax": (0.0, 1.5),
    "batch normalisation": (0.0, 2.0),
    "layer normalisation": (0.0, 1.5),
    "copy": (0.0, 1.3),
    "pointwise": (0.0, 1.3),
}
"""On a CPU whose peak is a measured matrix product, backward as forward: from torch's profiler on an EPYC 9004."""

FULL_RATE_TENSOR_CORES = 1.3
"""Tensor cores that run at 4 or more times the fp32 rate are starved: the best published matrix products reach 0.74 to
0.87 of the dense peak on A100, V100 and H100, but 1.0 on GeForce cards, which accumulate at half rate
(tests/data/achieved_matmul.csv)."""
TILE_FILL_SECONDS = 1.6e-6
"""Time that a 128 x 128 tile of a matrix product takes to fill and drain its pipeline, beside its arithmetic.

An estimate, chosen with BERT-base's published steps on an A100 in view (bench/published/rows.csv).
"""
TILE_FLOPS_PER_K = 2 * 128 * 128
WIDE_MEMORY_BYTES_PER_SECOND = 1.2e12
HALF_ON_WIDE_MEMORY = 1.25
"""From this bandwidth on (stacked memory), kernels on half-precision data have too few bytes in flight to fill it: how
many times longer their traffic takes. Set by ResNet-50's published fp16 training on A100 and H100, slower by a quarter
than its TF32 training would have it (bench/published/rows.csv)."""
KERNEL_FLOOR_SECONDS = 2e-6
"""Shortest kernel on a GPU, from start to end of a small one."""
FRESH_BYTES = 32 * 2**20
"""glibc gives blocks from this size on (the most that its threshold adapts to) back to the system, mallopt(3)."""
FRESH_BYTES_PER_SECOND = 3e9
"""Rate at which a system hands out zeroed 4 KiB pages as a kernel first writes to them (seen in a virtual machine)."""


def multipliers(operator_class: OperatorClass, *, on_cpu: bool, channels_last: bool) -> Factors:
    """The factors of a class of operators on a GPU or a CPU."""
    if on_cpu:
        return _CPU[operator_class.removesuffix(" backward")]
    if operator_class in _CONVOLUTIONS:
        return _CONVOLUTIONS[operator_class][channels_last]
    return _OTHERS[operator_class]
