"""Operators of a processor that stream through memory: pointwise, reductions, normalisation, pooling, tables.

Each call allocates its result, as a model's step does; results stay below 32 MiB, from where on the C library takes new
memory for each (`fresh_memory` in cpu_overhead.py times that).
"""

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from sslbench.kernels.micro.micro import Call, Micro, Shape, randn

aten = torch.ops.aten
_Operator = Callable[..., object]


def pointwise(device: torch.device, dtype: torch.dtype, shape: Shape, *, operator: _Operator, operands: int) -> Call:
    """An operator on tensors of `elements` each."""
    tensors = [randn(device, dtype, *shape).abs() for _ in range(operands)]  # roots of negative values take long
    return lambda: operator(*tensors)


def rows(device: torch.device, dtype: torch.dtype, shape: Shape, *, operator: _Operator) -> Call:
    """An operator along the rows of `x_RC`."""
    x_RC = randn(device, dtype, *shape)
    return lambda: operator(x_RC)


def rows_backward(device: torch.device, dtype: torch.dtype, shape: Shape, *, operator: _Operator) -> Call:
    """The gradient of a softmax or log-softmax along rows, from that of its output and its output."""
    gradient_RC, y_RC = randn(device, dtype, *shape), randn(device, dtype, *shape).softmax(-1)
    return lambda: operator(gradient_RC, y_RC, -1, dtype)


def layer_norm(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """Layer normalisation of the rows of `x_RC`."""
    x_RC, weight_C, bias_C = _normalised(device, dtype, shape)
    return lambda: functional.layer_norm(x_RC, shape[1:], weight_C, bias_C)


def layer_norm_backward(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """Gradients of `x_RC`, weight and bias."""
    x_RC, weight_C, bias_C = _normalised(device, dtype, shape)
    _, mean_R, rstd_R = aten.native_layer_norm(x_RC, shape[1:], weight_C, bias_C, 1e-5)
    saved = (x_RC, shape[1:], mean_R, rstd_R, weight_C, bias_C, [True] * 3)
    return lambda: aten.native_layer_norm_backward(x_RC, *saved)


def _normalised(device: torch.device, dtype: torch.dtype, shape: Shape) -> tuple[torch.Tensor, ...]:
    return tuple(randn(device, dtype, *size) for size in (shape, shape[1:2], shape[1:2]))


def batch_norm(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """Batch normalisation of `x_NCHW` in training."""
    x_NCHW, weight_C, bias_C = _normalised(device, dtype, shape)
    mean_C, variance_C = torch.zeros_like(weight_C), torch.ones_like(weight_C)
    return lambda: functional.batch_norm(x_NCHW, mean_C, variance_C, weight_C, bias_C, training=True)


def batch_norm_backward(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """Gradients of `x_NCHW`, weight and bias."""
    x_NCHW, weight_C, bias_C = _normalised(device, dtype, shape)
    _, mean_C, rstd_C = aten.native_batch_norm(x_NCHW, weight_C, bias_C, None, None, True, 0.1, 1e-5)
    saved = (weight_C, None, None, mean_C, rstd_C, True, 1e-5, [True] * 3)
    return lambda: aten.native_batch_norm_backward(x_NCHW, x_NCHW, *saved)


def max_pool(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """ResNet's first pooling of `x_NCHW`: 3 x 3 with stride 2."""
    x_NCHW = randn(device, dtype, *shape)
    return lambda: functional.max_pool2d(x_NCHW, 3, 2, 1, return_indices=True)


def max_pool_backward(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """The gradient of `x_NCHW`."""
    x_NCHW = randn(device, dtype, *shape)
    y_NCHW, indices_NCHW = functional.max_pool2d(x_NCHW, 3, 2, 1, return_indices=True)
    saved = (x_NCHW, [3, 3], [2, 2], [1, 1], [1, 1], False, indices_NCHW)
    return lambda: aten.max_pool2d_with_indices_backward(y_NCHW, *saved)


def strided_copy(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """`x_BTHD` to `x_BHTD`, as around the heads of an attention."""
    x_BHTD = randn(device, dtype, *shape).transpose(1, 2)
    return x_BHTD.contiguous


def _map(kernel: str, operator: _Operator, operands: int = 1) -> Micro:
    build = partial(pointwise, operator=operator, operands=operands)
    return Micro(kernel=kernel, shape_names=("elements",), build=build, cold=True)


def _rows(kernel: str, operator: _Operator) -> Micro:
    build = partial(rows_backward if "backward" in kernel else rows, operator=operator)
    return Micro(kernel=kernel, shape_names=("rows", "columns"), build=build, cold=True)


_IMAGES, _ROWS = ("n", "c", "h", "w"), ("rows", "columns")
MICROS = (
    _map("add", torch.add, 2),
    _map("mul_inplace", lambda x: x.mul_(1.0)),
    _map("sqrt", torch.sqrt),
    _map("gelu", functional.gelu),
    _map("gelu_backward", aten.gelu_backward, 2),
    _map("silu", functional.silu),
    _map("bernoulli", lambda x: x.bernoulli_(0.9)),
    _map("norm", torch.linalg.vector_norm),
    _rows("softmax", lambda x: x.softmax(-1)),
    _rows("log_softmax", lambda x: x.log_softmax(-1)),
    _rows("softmax_backward", aten._softmax_backward_data),
    _rows("log_softmax_backward", aten._log_softmax_backward_data),
    _rows("sum_rows", lambda x: x.sum(0)),
    Micro(kernel="layer_norm", shape_names=_ROWS, build=layer_norm, cold=True),
    Micro(kernel="layer_norm_backward", shape_names=_ROWS, build=layer_norm_backward, cold=True),
    Micro(kernel="batch_norm", shape_names=_IMAGES, build=batch_norm, cold=True),
    Micro(kernel="batch_norm_backward", shape_names=_IMAGES, build=batch_norm_backward, cold=True),
    Micro(kernel="max_pool", shape_names=_IMAGES, build=max_pool, cold=True),
    Micro(kernel="max_pool_backward", shape_names=_IMAGES, build=max_pool_backward, cold=True),
    Micro(kernel="strided_copy", shape_names=("b", "t", "h", "d"), build=strided_copy, cold=True),
)
