"""Backward operators, and a few others, in terms of operators that have an ONNX translation. Imports torch.

What torch's own decompositions leave out, or what the exporter translates to something else (see `docs/onnx-training.md`).

Shapes: N samples, C channels in, M channels out, G groups, H and O spatial sizes before and after a convolution, K of
its kernel.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._decomp import get_decompositions

aten = torch.ops.aten
Sizes = Sequence[int]


def decompositions() -> dict[Any, Callable[..., Any]]:
    """By operator, for the second pass over a captured step."""
    table: dict[Any, Callable[..., Any]] = dict(
        get_decompositions([aten.nll_loss_forward, aten.nll_loss_backward, aten.native_batch_norm_backward])
    )
    table[aten.convolution_backward.default] = convolution_backward
    table[aten.max_pool2d_with_indices_backward.default] = max_pool_backward
    table[aten.nonzero_static.default] = nonzero_static
    return table


def decompositions_in_place() -> dict[Any, Callable[..., Any]]:
    """By operator, for the first pass: those that write into their arguments without saying so."""
    return {aten.native_batch_norm.default: batch_norm}


def convolution_backward(
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
    stride, padding, dilation = (_each(value, dims) for value in (stride, padding, dilation))
    dx = _input_gradient(dy, x, weight, stride, padding, dilation, groups) if wanted[0] else None
    dw = _weight_gradient(dy, x, weight, stride, padding, dilation, groups) if wanted[1] else None
    db = dy.sum([0, *range(2, 2 + dims)]) if wanted[2] else None
    return dx, dw, db


def _each(value: Sizes, dims: int) -> list[int]:
    return list(value) * dims if len(value) == 1 else list(value)


def _input_gradient(
    dy: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> torch.Tensor:
    # Pixels at the end that no window reached.
    rest = [
        size - ((out - 1) * step - 2 * pad + gap * (kernel - 1) + 1)
        for size, out, step, pad, gap, kernel in zip(
            x.shape[2:], dy.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True
        )
    ]
    return aten.convolution(dy, weight, None, stride, padding, dilation, True, rest, groups)


def _weight_gradient(
    dy: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> torch.Tensor:
    kernel, out = list(weight.shape[2:]), list(dy.shape[2:])
    tiles = [o * s for o, s in zip(out, stride, strict=True)] == list(x.shape[2:])
    if groups == 1 and tiles and list(stride) == kernel and not any(padding) and all(d == 1 for d in dilation):
        return _patch_weight_gradient(dy, x, weight)
    samples, _, *size = x.shape
    per_group = weight.shape[1]
    swapped = x.reshape(samples, groups, per_group, *size).transpose(0, 2).reshape(per_group, groups * samples, *size)
    dw = aten.convolution(
        swapped, dy.transpose(0, 1), None, dilation, padding, stride, False, [0] * len(kernel), groups
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


def batch_norm(
    x: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Any:
    """Batch normalisation in training mode: the inference form, fed with the batch's own statistics.

    Gives the output, the mean and the inverse standard deviation, and updates the running statistics in place, the
    variance with n / (n - 1) as torch does.
    """
    if not training:
        return NotImplemented
    dims, shape = [0, *range(2, x.dim())], [1, -1] + [1] * (x.dim() - 2)
    count = x.numel() // x.shape[1]
    mean = x.mean(dims)
    var = (x - mean.view(shape)).square().mean(dims)
    inverse = (var + eps).rsqrt()
    if running_mean is not None and running_var is not None:
        running_mean.mul_(1 - momentum).add_(mean * momentum)
        running_var.mul_(1 - momentum).add_(var * (momentum * count / (count - 1)))
    scale = torch.ones_like(mean) if weight is None else weight
    shift = torch.zeros_like(mean) if bias is None else bias
    return aten._native_batch_norm_legit_no_training(x, scale, shift, mean, var, 0.0, eps)[0], mean, inverse


def nonzero_static(x: torch.Tensor, *, size: int, fill_value: int = -1) -> Any:
    """Positions of the first `size` elements that are not zero, in order, of a vector."""
    if x.dim() != 1:
        return NotImplemented
    places = torch.arange(x.shape[0], 0, -1, device=x.device, dtype=torch.int64)
    rank = torch.where(x != 0, places, torch.zeros_like(places)).topk(size).values
    return torch.where(rank > 0, x.shape[0] - rank, torch.full_like(rank, fill_value)).unsqueeze(1)
