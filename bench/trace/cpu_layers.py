"""What CPU kernels of normalisation and attention allocate besides their outputs."""

import math

import torch

from sslbench.bench.trace.cpu_call import HALF, KernelCall, Sizes, contiguous_copy, nbytes

_FLASH_KEYS = 512
_FLASH_QUERIES = ((768, 256), (192, 64), (0, 32))
"""Rows of queries that a thread works on, from this many queries on (FlashAttentionKernel.cpp)."""


# ---------------------------------------------------------------------- normalisation
def layer_norm(call: KernelCall) -> Sizes:
    """A contiguous copy of the input (layer_norm.cpp)."""
    yield contiguous_copy(call.inputs[0])


def layer_norm_backward(call: KernelCall) -> Sizes:
    """Contiguous copies, and two rows of sums a thread for the gradients of weight and bias.

    https://github.com/pytorch/pytorch/blob/v2.7.0/aten/src/ATen/native/cpu/layer_norm_kernel.cpp
    """
    gradient, source = call.inputs[:2]
    yield from (contiguous_copy(gradient), contiguous_copy(source))
    if any(call.arguments["output_mask"][1:]):
        yield 2 * call.threads * math.prod(call.arguments["normalized_shape"]) * source.dtype.itemsize


def group_norm_backward(call: KernelCall) -> Sizes:
    """Sums of the gradient and of gradient times input, for each sample and channel (cpu/group_norm_kernel.cpp)."""
    yield from [4 * call.arguments["N"] * call.arguments["C"]] * 2


def batch_norm(call: KernelCall) -> Sizes:
    """Scale and shift of each channel; sums for each thread where channels lie innermost (batch_norm_kernel.cpp)."""
    source = call.inputs[0]
    channels = source.shape[1]
    yield from [4 * channels] * 2
    if call.arguments["training"] and _channels_innermost(source):
        yield 4 * channels * call.threads


def batch_norm_backward(call: KernelCall) -> Sizes:
    """The gradient of a dense input is allocated twice, the first is dropped (Normalization.cpp)."""
    gradient, source = call.inputs[:2]
    if _channels_innermost(source) == _channels_innermost(gradient) and (
        source.is_contiguous() or _channels_innermost(source)
    ):
        yield nbytes(source)


def _channels_innermost(tensor: torch.Tensor) -> bool:
    if tensor.dim() == 4:
        return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()
    return tensor.dim() == 2


# ---------------------------------------------------------------------- attention and matrix products
def _flash_blocks(call: KernelCall, queries: int, keys: int) -> tuple[int, int]:
    rows = next(rows for least, rows in _FLASH_QUERIES if queries >= least)
    return min(rows, queries), min(_FLASH_KEYS, keys)


def flash(call: KernelCall) -> Sizes:
    """Each thread's block of scores, their maxima and sums, and its block of the output, in fp32; scores in half, too.

    https://github.com/pytorch/pytorch/blob/v2.7.0/aten/src/ATen/native/cpu/FlashAttentionKernel.cpp
    """
    query, key = call.inputs[:2]
    rows, columns = _flash_blocks(call, query.shape[2], key.shape[2])
    yield call.threads * rows * (columns + 2 + query.shape[3]) * _accumulated(query)
    yield call.threads * rows * columns * query.dtype.itemsize if query.dtype in HALF else 0


def flash_backward(call: KernelCall) -> Sizes:
    """Each thread's block of scores and of their gradient; the row sums of one thread are seen (same file)."""
    gradient, query, key = call.inputs[:3]
    rows, columns = _flash_blocks(call, query.shape[2], key.shape[2])
    yield contiguous_copy(gradient.transpose(1, 2))
    yield call.threads * 2 * rows * columns * _accumulated(query)
    yield call.threads * 2 * rows * columns * query.dtype.itemsize if query.dtype in HALF else 0
    yield rows * _accumulated(query)


def _accumulated(tensor: torch.Tensor) -> int:
    """Bytes of the type that the kernel computes in."""
    return max(4, tensor.dtype.itemsize)
