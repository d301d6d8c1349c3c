"""What kernels reach of a machine's peaks, by family of kernels: the constants of the step-time model and their origin.

The GPU factors were fitted together on the published throughput of half of the timm models whose tables were traced
(inference on an RTX 3090 and an RTX 4090, PyTorch 2.4 and 2.9; training on an RTX 3090, PyTorch 1.12; fp16 autocast,
NCHW and NHWC), with priors that say what is physical; those of fused kernels then on the compiled rows of that half.
Source: https://github.com/huggingface/pytorch-image-models/tree/main/results; docs/accuracy.md has the other half.
"""

from typing import NamedTuple

from sslbench.bench.predict.kernel import Family


class Reach(NamedTuple):
    """What a family of GPU kernels needs beside the ideal."""

    arithmetic: float = 1.0
    """Times the time of its tiles on the matrix units."""
    instructions: float = 0.0
    """Instructions of a lane for an element."""
    passes: float = 1.0
    """Times that its data goes through memory, where that is not once."""


_GPU: dict[Family, Reach] = {
    "matrix product": Reach(0.95, passes=1.22),
    "batched product": Reach(1.4, passes=1.4),
    "convolution 1x1": Reach(0.95, passes=0.98),
    "convolution": Reach(0.95),
    "grouped convolution": Reach(1.28, passes=1.05),
    "first convolution": Reach(1.23, passes=1.05),
    "depthwise convolution NCHW": Reach(instructions=5.1, passes=1.05),
    "depthwise convolution NHWC": Reach(instructions=2.0, passes=1.05),
    "convolution 1x1 backward": Reach(1.22, passes=1.05),
    "convolution backward": Reach(1.11, passes=1.05),
    "grouped convolution backward": Reach(1.79, passes=1.05),
    "first convolution backward": Reach(1.15, passes=1.05),
    "depthwise convolution NCHW backward": Reach(instructions=14.0, passes=1.05),
    "depthwise convolution NHWC backward": Reach(instructions=6.4, passes=1.05),
    "layout conversion": Reach(),
    "flash attention": Reach(1.04, instructions=12.0, passes=1.05),
    "efficient attention": Reach(1.81, instructions=24.0, passes=1.05),
    "flash attention backward": Reach(1.4, 12.0, 1.05),
    "efficient attention backward": Reach(1.8, 20.0, 1.05),
    "softmax": Reach(instructions=30.0, passes=1.27),
    "batch normalisation": Reach(instructions=5.5, passes=1.71),
    "batch normalisation backward": Reach(instructions=11.0, passes=2.02),
    "layer normalisation": Reach(instructions=39.0, passes=1.56),
    "layer normalisation backward": Reach(instructions=30.0, passes=4.7),
    "group normalisation": Reach(instructions=20.0, passes=1.44),
    "group normalisation backward": Reach(instructions=40.0, passes=1.75),
    "copy": Reach(instructions=10.0, passes=1.09),
    "strided copy": Reach(instructions=230.0, passes=1.02),
    "pointwise": Reach(instructions=10.0, passes=1.11),
    "broadcast": Reach(instructions=26.0, passes=0.95),
    "exponential": Reach(instructions=36.0, passes=1.11),
    "exponential backward": Reach(instructions=50.0, passes=1.05),
    "error function": Reach(instructions=90.0, passes=1.27),
    "error function backward": Reach(instructions=150.0, passes=1.05),
    "pooling": Reach(instructions=62.0, passes=1.05),
    "reduction": Reach(instructions=57.0, passes=1.04),
    "interpolation": Reach(instructions=30.0, passes=1.05),
    "optimizer": Reach(passes=1.05),
    "fused pointwise": Reach(instructions=20.0, passes=1.08),
    "fused rows": Reach(instructions=30.0, passes=0.9),
    "fused reduction": Reach(instructions=20.0, passes=2.6),
}
"""Below 1, arithmetic runs above the rated clock. Passes above 1.3 are data that is read twice (statistics before they
are used), or kernels that keep too little in flight. What timm's models hardly have (backward passes of fused
attention, optimizers) stayed at its prior."""
BANDWIDTH_PASSES = 1.05
"""Times its bytes over the rated bandwidth that a pointwise kernel takes. Fitted with the factors of the kernels;
published products of long vectors reach 0.79 to 0.93 of it (mli/transformers-benchmarks, on five cards)."""
L2_KEPT = 0.55
"""Part of the L2 cache that still holds what the kernel before wrote. Of a kernel that moves b bytes, the part
c / (b + c) comes from a cache with c such bytes; fitted with the factors of the kernels, on cards with 6 and 72 MiB."""
L2_COST = 0.26
"""Time that bytes in the L2 cache take, over that of bytes in memory. Fitted with the factors of the kernels."""
FULL_RATE_BYTES_PER_CLOCK = 1400.0
"""FLOPs of a multiprocessor and clock, times the bytes of an element, above which tensor cores run at full rate.
GeForce cards accumulate in fp32 at half rate, 512 FLOP in 2-byte types; full rate is 1024 (Turing, Ampere's workstation
cards) to 4096 (H100), by NVIDIA's white papers."""
FULL_RATE_TENSOR_CORES = 1.2
"""How many times longer products take on tensor cores at full rate, which are starved or throttled. The best published
products reach 0.6 to 0.87 of the dense peak on A100, V100, RTX A6000 and H100, but 1.0 on GeForce cards
(tests/data/achieved_matmul.csv); chosen with BERT-base's published steps on an A100 in view."""
LANES_PRODUCTS = 1.25
"""How many times longer products take on the ordinary lanes, without matrix units. A V100 reaches 0.89 of its fp32 peak
at best (mli/transformers-benchmarks); chosen with fp32 steps of BERT and ResNets on Pascal to Turing in view."""
WINOGRAD = 2.25
"""Times fewer multiplications that a 3 x 3 convolution takes there, by F(2 x 2, 3 x 3). 36 for 16, Lavin and Gray,
https://arxiv.org/abs/1509.09308. VGG-16 in fp32 is predicted 8 to 18 % slow with it, 36 to 44 % without."""
WARP_PRODUCTS = 1.6
"""How many times longer attention takes on the matrix units of Hopper and later servers, which reach 63 % of their rate
with Ampere's instructions, as FlashAttention-2 and the memory-efficient kernels have them. Source: Luo et al.,
Benchmarking and Dissecting the Nvidia Hopper GPU Architecture, 2024, https://arxiv.org/abs/2402.13499"""
WIDE_MEMORY_BYTES_PER_CLOCK = 9.0
"""From this bandwidth a clock and multiprocessor on (A100, H100, B200), memory moves more than threads that load one
value of 2 bytes at a time keep in flight. Source: bandwidth x latency = bytes in flight; an RTX 3090 has 6.7 bytes a
clock, an A100 10 or 13."""
HALF_ON_WIDE_MEMORY = 1.4
"""How many times longer the traffic of such kernels takes there. Set by ResNet-50's published fp16 training on A100 and
H100, slower by a quarter than its TF32 training would have it (bench/published/rows.csv)."""
KERNEL_SECONDS = 3e-6
"""Time for a kernel to start, ramp up and end, beside its work. An estimate from small kernels back to back; the fit of
the factors was made with it, and hardly depends on it."""
MEMORY_LATENCY_CLOCKS = 540.0
"""Clocks that a thread waits for memory. Fitted on the bilinear interpolations of EfficientFormerV2, which read pixel
after pixel; about the latency that micro-benchmarks give."""


def gpu_reach(family: Family) -> Reach:
    """What a family of kernels needs on a GPU."""
    return _GPU[family]
