"""Matrix products: a linear layer, and a batch of products as attention without a fused kernel has."""

import torch
from torch.nn import functional

from sslbench.kernels.micro.micro import Call, Micro, Shape, randn


def linear(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """`x_MK @ w_NK.T + b_N`; 2mnk FLOP."""
    m, n, k = shape
    x_MK, w_NK, b_N = (randn(device, dtype, *size) for size in ((m, k), (n, k), (n,)))
    return lambda: functional.linear(x_MK, w_NK, b_N)


def batched(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """`x_BMK @ y_BKN`; 2bmnk FLOP."""
    b, m, n, k = shape
    x_BMK, y_BKN = randn(device, dtype, b, m, k), randn(device, dtype, b, k, n)
    return lambda: torch.bmm(x_BMK, y_BKN)


MICROS = (
    Micro(kernel="matmul", shape_names=("m", "n", "k"), build=linear, cold=True),
    Micro(kernel="batched_matmul", shape_names=("b", "m", "n", "k"), build=batched, cold=True),
)
