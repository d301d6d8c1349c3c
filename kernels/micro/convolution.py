"""Convolutions in two dimensions, padded so that a stride of 1 keeps the size; forward and backward."""

from functools import partial

import torch
from torch.nn import functional

from sslbench.kernels.micro.micro import Call, Micro, Shape, randn

SHAPE_NAMES = ("n", "c", "h", "w", "o", "kernel", "stride", "groups")


def convolution(
    device: torch.device, dtype: torch.dtype, shape: Shape, *, layout: torch.memory_format = torch.contiguous_format
) -> Call:
    """`x_NCHW` with `w_OCKK`; `c` and `o` count all groups."""
    x_NCHW, w_OCKK, padding = _operands(device, dtype, shape, layout)
    *_, stride, groups = shape
    return lambda: functional.conv2d(x_NCHW, w_OCKK, stride=stride, padding=padding, groups=groups)


def backward(
    device: torch.device, dtype: torch.dtype, shape: Shape, *, layout: torch.memory_format = torch.contiguous_format
) -> Call:
    """Gradients of image and weight from that of the output."""
    x_NCHW, w_OCKK, padding = _operands(device, dtype, shape, layout)
    *_, stride, groups = shape
    out_NOHW = functional.conv2d(x_NCHW, w_OCKK, stride=stride, padding=padding, groups=groups)
    gradient_NOHW = torch.randn_like(out_NOHW)
    both = ([stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, [True, True, False])
    return lambda: torch.ops.aten.convolution_backward(gradient_NOHW, x_NCHW, w_OCKK, None, *both)


def _operands(
    device: torch.device, dtype: torch.dtype, shape: Shape, layout: torch.memory_format
) -> tuple[torch.Tensor, torch.Tensor, int]:
    n, c, h, w, o, kernel, stride, groups = shape
    x_NCHW = randn(device, dtype, n, c, h, w).to(memory_format=layout)
    w_OCKK = randn(device, dtype, o, c // groups, kernel, kernel).to(memory_format=layout)
    return x_NCHW, w_OCKK, 0 if kernel == stride else kernel // 2  # patches do not overlap


MICROS = tuple(
    Micro(kernel=name + suffix, shape_names=SHAPE_NAMES, build=partial(build, layout=layout), cold=True)
    for suffix, layout in (("", torch.contiguous_format), ("_nhwc", torch.channels_last))
    for name, build in (("convolution", convolution), ("convolution_backward", backward))
)
