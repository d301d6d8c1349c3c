"""How images lie in memory: NCHW, or NHWC (channels-last)."""

from typing import Any

import torch

_aten = torch.ops.aten


def is_channels_last(tensor: torch.Tensor) -> bool:
    """Whether torch takes a tensor's strides for channels-last, as `suggest_memory_format` does.

    https://github.com/pytorch/pytorch/blob/v2.7.0/c10/core/MemoryFormat.h (is_channels_last_strides_2d)
    """
    if tensor.dim() not in (4, 5):
        return False
    strides, shape = tensor.stride(), tensor.shape
    least = 0
    for dim in (1, *range(tensor.dim() - 1, 1, -1), 0):
        if shape[dim] == 0 or strides[dim] < least or (dim == 0 and least == strides[1]):
            return False
        least = strides[dim] * max(1, shape[dim])
    return strides[1] != 0


def channels_last_format(tensor: torch.Tensor) -> torch.memory_format:
    """The channels-last format of images (4 dimensions) or volumes (5)."""
    return torch.channels_last if tensor.dim() == 4 else torch.channels_last_3d


def as_kernels_lay_out(func: Any, args: tuple[Any, ...], out: Any) -> Any:
    """A convolution's output is channels-last where its input or weight is, for cuDNN and oneDNN alike.

    On meta tensors torch leaves that out (`_determine_backend_memory_format` in Convolution.cpp knows no meta backend).
    """
    if func is not _aten.convolution.default or not any(map(is_channels_last, args[:2])):
        return out
    return out.contiguous(memory_format=channels_last_format(out))
