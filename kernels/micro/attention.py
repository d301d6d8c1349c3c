"""Fused attention, with the kernel that PyTorch chooses for the device and the type; forward, and backward alone."""

import torch
from torch.nn import functional

from sslbench.kernels.micro.micro import Call, Micro, Shape, randn

SHAPE_NAMES = ("b", "heads", "queries", "keys", "head_dim")


def attention(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """Without mask and dropout; 4 b heads queries keys head_dim FLOP."""
    q, k, v = _operands(device, dtype, shape)
    return lambda: functional.scaled_dot_product_attention(q, k, v)


def backward(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """Gradients of queries, keys and values; five products for the forward pass's two."""
    q, k, v = (each.requires_grad_() for each in _operands(device, dtype, shape))
    out = functional.scaled_dot_product_attention(q, k, v)
    gradient = torch.randn_like(out)
    return lambda: torch.autograd.grad(out, (q, k, v), gradient, retain_graph=True)


def _operands(
    device: torch.device, dtype: torch.dtype, shape: Shape
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    b, heads, queries, keys, head_dim = shape
    q = randn(device, dtype, b, heads, queries, head_dim)
    return q, randn(device, dtype, b, heads, keys, head_dim), randn(device, dtype, b, heads, keys, head_dim)


MICROS = (
    Micro(kernel="attention", shape_names=SHAPE_NAMES, build=attention, cold=True),
    Micro(kernel="attention_backward", shape_names=SHAPE_NAMES, build=backward, autograd=True, cold=True),
)
