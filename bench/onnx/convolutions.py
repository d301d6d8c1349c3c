"""Gradients of convolutions as convolutions and matrix products, which have an ONNX translation. Imports torch.

Shapes: N samples, C channels in, M channels out, with any number of spatial dimensions behind them.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

aten = torch.ops.aten
Sizes = Sequence[int]


class _Window(NamedTuple):
    """How the kernel goes over the input."""

    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int


def convolution_backward(  # noqa: PLR0917 - the operator's own parameters
    dy: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    _bias_sizes: Any,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    _output_padding: Sizes,
    groups: int,
    wanted: Sequence[bool],
) -> Any:
    """Gradients of input, weight and bias as convolutions; a transposed convolution has no decomposition here.

    The input's is the transposed convolution of dy with the same weight. The weight's is a convolution of the input
    with dy as its kernel, samples in the place of channels, and stride and dilation exchanged.
    """
    if transposed:
        return NotImplemented
    dims = weight.dim() - 2
    window = _Window(_each(stride, dims), _each(padding, dims), _each(dilation, dims), groups)
    dx = _input_gradient(dy, x, weight, window) if wanted[0] else None
    dw = _weight_gradient(dy, x, weight, window) if wanted[1] else None
    db = dy.sum([0, *range(2, 2 + dims)]) if wanted[2] else None
    return dx, dw, db


def _each(value: Sizes, dims: int) -> list[int]:
    return list(value) * dims if len(value) == 1 else list(value)


def _input_gradient(dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, window: _Window) -> torch.Tensor:
    stride, padding, dilation, groups = window
    # Pixels at the end that no window reached.
    rest = [
        size - ((out - 1) * step - 2 * pad + gap * (kernel - 1) + 1)
        for size, out, step, pad, gap, kernel in zip(
            x.shape[2:], dy.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True
        )
    ]
    dx: torch.Tensor = aten.convolution(dy, weight, None, stride, padding, dilation, True, rest, groups)
    return dx


def _weight_gradient(dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, window: _Window) -> torch.Tensor:
    stride, padding, dilation, groups = window
    kernel, out = list(weight.shape[2:]), list(dy.shape[2:])
    tiles = [o * s for o, s in zip(out, stride, strict=True)] == list(x.shape[2:])
    if groups == 1 and tiles and stride == kernel and not any(padding) and all(gap == 1 for gap in dilation):
        return _patch_weight_gradient(dy, x, weight)
    samples, _, *size = x.shape
    width = weight.shape[1]
    swapped = x.reshape(samples, groups, width, *size).transpose(0, 2).reshape(width, groups * samples, *size)
    none = [0] * len(kernel)
    dw: torch.Tensor = aten.convolution(
        swapped, dy.transpose(0, 1), None, dilation, padding, stride, False, none, groups
    )
    for dim, length in enumerate(kernel, 2):
        dw = aten.slice(dw, dim, 0, length) if dw.shape[dim] != length else dw
    return dw.transpose(0, 1)


def _patch_weight_gradient(dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Of windows that tile the input (patch embeddings, 1 x 1): one matrix product."""
    samples, channels = x.shape[:2]
    kernel, out = weight.shape[2:], dy.shape[2:]
    dims, places = len(kernel), samples * math.prod(out)
    split = [length for pair in zip(out, kernel, strict=True) for length in pair]
    order = [1, *(3 + 2 * dim for dim in range(dims)), 0, *(2 + 2 * dim for dim in range(dims))]
    patches = x.reshape(samples, channels, *split).permute(order).reshape(channels * math.prod(kernel), places)
    return (dy.transpose(0, 1).reshape(-1, places) @ patches.t()).reshape(weight.shape)
