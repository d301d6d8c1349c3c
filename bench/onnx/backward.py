"""Backward operators, and a few others, in terms of operators that have an ONNX translation. Imports torch.

What torch's own decompositions leave out, or what the exporter translates to something else; docs/onnx-training.md has
the list.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._decomp import decomposition_table, get_decompositions

from sslbench.bench.onnx.convolutions import convolution_backward
from sslbench.bench.onnx.in_place import on_diagonal

aten = torch.ops.aten
Sizes = Sequence[int]


def decompositions() -> dict[Any, Callable[..., Any]]:
    """By operator, for the second pass over a captured step: torch's own of every backward operator, and ours."""
    table = {op: rule for op, rule in decomposition_table.items() if "backward" in str(op) and hasattr(op, "_schema")}
    # The exporter's nll_loss_forward counts wrong; of its bicubic Resize, ONNX Runtime has not every case.
    table |= get_decompositions([aten.nll_loss_forward, aten.upsample_bicubic2d.default])
    table[aten.convolution_backward.default] = convolution_backward
    table[aten.max_pool2d_with_indices_backward.default] = max_pool_backward
    table[aten._weight_norm_interface_backward.default] = weight_norm_backward
    table[aten.upsample_bicubic2d_backward.default] = bicubic_backward
    table[aten.diagonal_scatter.default] = diagonal_scatter
    table[aten.as_strided_scatter.default] = as_strided_scatter
    table[aten.nonzero_static.default] = nonzero_static
    return table


def max_pool_backward(
    dy: torch.Tensor,
    x: torch.Tensor,
    _kernel: Sizes,
    _stride: Sizes,
    _padding: Sizes,
    _dilation: Sizes,
    _ceil_mode: bool,
    indices: torch.Tensor,
) -> torch.Tensor:
    """Every gradient goes to where its maximum was; `indices` count within a channel's plane."""
    planes = (*x.shape[:-2], -1)
    flat = dy.new_zeros(x.shape).reshape(planes)
    return flat.scatter_add(-1, indices.reshape(planes), dy.reshape(planes)).reshape(x.shape)


def weight_norm_backward(
    dw: torch.Tensor, v: torch.Tensor, g: torch.Tensor, norm: torch.Tensor, dim: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of direction v and length g of w = g v / |v|, with norms over all dimensions but `dim`.

    Equation 3 of https://arxiv.org/abs/1602.07868.
    """
    others = [other for other in range(v.dim()) if other != dim % v.dim()]
    dg = (dw * v).sum(others, keepdim=True) / norm
    return g / norm * (dw - v * (dg / norm)), dg


def bicubic_backward(  # noqa: PLR0917 - the operator's own parameters
    dy: torch.Tensor,
    output_size: Sizes,
    input_size: Sizes,
    align_corners: bool,
    scale_h: float | None = None,
    scale_w: float | None = None,
) -> torch.Tensor:
    """Interpolation is linear: the gradient is the product with what it makes of every pixel alone.

    Meant for the grids of position embeddings: the matrix has as many elements as both grids' product.
    """
    samples, channels, height, width = input_size
    pixels = torch.eye(height * width, dtype=dy.dtype, device=dy.device).view(1, -1, height, width)
    spread = aten.upsample_bicubic2d(pixels, output_size, align_corners, scale_h, scale_w)
    flat: torch.Tensor = dy.reshape(samples * channels, -1) @ spread.reshape(height * width, -1).t()
    return flat.reshape(samples, channels, height, width)


def as_strided_scatter(
    x: torch.Tensor, values: torch.Tensor, size: Sizes, stride: Sizes, offset: int | None = None
) -> Any:
    """Contiguous memory with other values in some places: what autograd makes of a write into a view."""
    if not x.is_contiguous():
        return NotImplemented
    place = torch.full((), offset or 0, dtype=torch.int64, device=x.device)
    for length, step in zip(size, stride, strict=True):
        place = place.unsqueeze(-1) + torch.arange(length, device=x.device) * step
    return x.reshape(-1).scatter(0, place.reshape(-1), values.reshape(-1)).reshape(x.shape)


def diagonal_scatter(x: torch.Tensor, diagonal: torch.Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A square matrix with another diagonal."""
    if x.dim() != 2 or x.shape[0] != x.shape[1] or offset != 0:
        return NotImplemented
    del dim1, dim2  # the same diagonal either way
    return torch.where(on_diagonal(x), diagonal.unsqueeze(1), x)


def nonzero_static(x: torch.Tensor, *, size: int, fill_value: int = -1) -> Any:
    """Positions of the first `size` elements that are not zero, in order, of a vector."""
    if x.dim() != 1:
        return NotImplemented
    places = torch.arange(x.shape[0], 0, -1, device=x.device, dtype=torch.int64)
    rank = torch.where(x != 0, places, torch.zeros_like(places)).topk(size).values
    return torch.where(rank > 0, x.shape[0] - rank, torch.full_like(rank, fill_value)).unsqueeze(1)


def view(x: torch.Tensor, size: Sizes) -> Any:
    """A view of what a decomposition has laid out otherwise than torch's own kernel; ONNX knows no layouts."""
    if x.is_contiguous():
        return NotImplemented
    return x.clone(memory_format=torch.contiguous_format).view(size)
