"""What oneDNN's convolutions allocate besides their outputs on a CPU, through torch's allocator.

A convolution copies its tensors into oneDNN's own layouts (channels in blocks, nChw16c) and its result back; tensors
that are channels-last stay as they are, only weights are reordered.
https://github.com/pytorch/pytorch/blob/v2.7.0/aten/src/ATen/native/mkldnn/Conv.cpp (Note [MKLDNN Convolution Memory
Formats]); which layout, by measurement with torch 2.13 (oneDNN 3.12) on AVX-512.

Known limitations: blocks are AVX-512's; what oneDNN's algorithms take beside the layouts is followed only where it is
large (fp32 sums of half-precision gradients and of 1x1 convolutions, unfolded patches), so that fp32 is exact on one
thread and bf16 misses some 100 KiB a thread, and a second sum of channels-last depthwise gradients; transposed
convolutions and other instruction sets are not modelled.
"""

import math
from typing import Any

import torch

from sslbench.bench.trace.layout import channels_last_format, is_channels_last

_BLOCK = 16
"""Channels of one block: fp32 lanes of AVX-512."""
_PLAIN_CHANNELS = 3
"""Up to this many input channels an image is read as it is: the first layer's kernels do that."""
_HALF = (torch.float16, torch.bfloat16)
_WIDEST_KERNEL = 14
"""The compiled kernels of the weight's gradient go up to this width; wider ones (patches of 16) unfold the image."""
_FEW_SAMPLES = 16
_SMALL_INPUT = 20480


def convolution(arguments: dict[str, Any], outputs: list[torch.Tensor], threads: int) -> int:
    """Bytes at the peak of a forward convolution, beside its output."""
    if arguments["transposed"] or not outputs:
        return 0
    call = _Convolution(arguments["input"], arguments["weight"], outputs[0], arguments, threads)
    if not call.by_onednn:
        return call.columns_bytes
    out = _bytes(outputs[0])
    weight = call.blocked_weight + call.paired_channels
    if call.channels_last:
        return call.layout_copies(call.x, call.weight) + weight
    y = call.blocked(call.y)
    inside = call.blocked_input + weight + y + call.pointwise_sums(call.y)
    return call.layout_copies(call.x, call.weight) + max(inside - out, y)


def convolution_backward(arguments: dict[str, Any], outputs: list[torch.Tensor], threads: int) -> int:
    """Bytes at the peak of a convolution's gradients, beside the gradients themselves."""
    if arguments["transposed"]:
        return 0
    gradient, x, weight = (arguments[name] for name in ("grad_output", "input", "weight"))
    call = _Convolution(x, weight, gradient, arguments, threads)
    if not call.by_onednn:
        return call.columns_bytes
    of_input, of_weight, _ = arguments["output_mask"]
    dx, dw = (_bytes(x) if of_input else 0), (_bytes(weight) if of_weight else 0)
    peaks = [dx + dw]
    if of_input:
        peaks += call.input_gradient(dx)
    if of_weight:
        peaks += [dx + held for held in call.weight_gradient(dw)]
    return call.layout_copies(gradient, x, weight) + max(peaks) - dx - dw


class _Convolution:
    """Layouts and sizes of one convolution.

    Args:
        x: input (N, C, ...).
        weight: (O, C / groups, ...).
        y: output, or its gradient (N, O, ...).
        arguments: the operator's own.
        threads: that it computes with.
    """

    def __init__(
        self, x: torch.Tensor, weight: torch.Tensor, y: torch.Tensor, arguments: dict[str, Any], threads: int
    ) -> None:
        self.x, self.weight, self.y, self.threads = x, weight, y, threads
        self.groups = int(arguments["groups"])
        self.strided = any(stride > 1 for stride in arguments["stride"])
        self.dilated = any(dilation > 1 for dilation in arguments["dilation"])
        self.half = x.dtype in _HALF
        self.depthwise = self.groups > 1 and self.groups == x.shape[1] == weight.shape[0]
        self.pointwise = math.prod(weight.shape[2:]) == 1
        self.channels_last = is_channels_last(x) or is_channels_last(weight)

    @property
    def by_onednn(self) -> bool:
        """ConvParams::use_mkldnn in Convolution.cpp: else the plain kernels, which unfold the input."""
        if self.half:
            return True
        kernel = self.weight.shape[2:]
        worthwhile = (
            self.strided
            or self.dilated
            or self.x.shape[0] >= _FEW_SAMPLES
            or any(size != 1 for size in kernel[-2:])
            or self.threads > 1
        )
        large = (
            self.groups > 1
            or all(size > 3 for size in kernel[-2:])
            or self.x.shape[0] > 1
            or self.x.numel() > _SMALL_INPUT
        )
        return self.x.dtype == torch.float32 and worthwhile and large

    @property
    def columns_bytes(self) -> int:
        """The unfolded input of the plain kernels (ConvolutionMM2d.cpp, compute_columns2d); none for 1x1."""
        if self.pointwise:
            return 0
        return self.y.shape[0] * math.prod(self.y.shape[2:]) * math.prod(self.weight.shape[1:]) * self.x.dtype.itemsize

    def layout_copies(self, *tensors: torch.Tensor) -> int:
        """`.contiguous(memory_format)` of what lies otherwise; kept until the kernel ends."""
        if not self.channels_last:
            return sum(_bytes(tensor) for tensor in tensors if not tensor.is_contiguous())
        last = channels_last_format(self.x)
        return sum(_bytes(tensor) for tensor in tensors if not tensor.is_contiguous(memory_format=last))

    def blocked(self, tensor: torch.Tensor) -> int:
        """Bytes of images (N, C, ...) with their channels filled up to whole blocks."""
        return _bytes(tensor) // max(1, tensor.shape[1]) * _whole(tensor.shape[1])

    @property
    def blocked_input(self) -> int:
        """Bytes of the input's copy; a first layer reads the images as they are."""
        return 0 if self.x.shape[1] <= _PLAIN_CHANNELS else self.blocked(self.x)

    @property
    def blocked_weight(self) -> int:
        """Bytes of the weight's copy, both its channels in whole blocks; groups and a first layer's channels stay."""
        out, into = self.weight.shape[:2]
        if self.depthwise:
            return _bytes(self.weight) // out * _whole(out)
        if self.groups > 1 or self.x.shape[1] <= _PLAIN_CHANNELS:
            return _bytes(self.weight)
        return _bytes(self.weight) // max(1, out * into) * _whole(out) * _whole(into)

    @property
    def paired_channels(self) -> int:
        """What a first layer's weight grows by in half precision, whose products take channels by twos."""
        into = self.weight.shape[1]
        paired = self.half and self.x.shape[1] <= _PLAIN_CHANNELS
        return _bytes(self.weight) // into * (into % 2) if paired else 0

    def pointwise_sums(self, result: torch.Tensor) -> int:
        """Fp32 sums of one image a thread, where a 1x1 convolution writes half precision."""
        if not (self.half and self.pointwise and self.groups == 1):
            return 0
        return self.threads * 4 * math.prod(result.shape[1:])

    def input_gradient(self, dx: int) -> list[int]:
        """Bytes held while the input's gradient is computed, and while it is brought back."""
        if self.channels_last:
            return [dx + self.blocked_weight]
        copies = self.blocked(self.y) + self.blocked_weight
        if self.strided:  # the kernels for strides leave it channels-last: brought back by two copies
            return [copies + dx, 3 * dx]
        blocked = self.blocked(self.x)
        return [copies + blocked + self.pointwise_sums(self.x), blocked + dx]

    def weight_gradient(self, dw: int) -> list[int]:
        """Bytes held while the weight's gradient is computed, and while it is brought back."""
        blocked = self._gradient_weight
        if not self.half and self.weight.shape[-1] > _WIDEST_KERNEL:
            return [dw + self.unfolded_gradient, 2 * dw]
        sums = 2 * blocked if self.half else 0  # fp32 sums of a half-precision gradient
        if self.channels_last:
            if self.half and self.pointwise and not self.strided:
                # both tensors of one image a thread, transposed
                sums += self.threads * (_bytes(self.x) + _bytes(self.y)) // max(1, self.x.shape[0])
            return [blocked + sums, blocked + 2 * dw if dw else blocked]
        if self.depthwise:
            return [blocked + sums, blocked + dw]
        return [self.blocked(self.y) + self.blocked_input + blocked + sums, blocked + dw]

    @property
    def unfolded_gradient(self) -> int:
        """Scratchpad of a weight's gradient by matrix products: a thread unfolds an image and sums in four parts."""
        columns = math.prod(self.weight.shape[1:]) * math.prod(self.y.shape[2:]) * self.x.dtype.itemsize
        return self.threads * (4 * _bytes(self.weight) + columns)

    @property
    def _gradient_weight(self) -> int:
        """Bytes of the weight's gradient in oneDNN's layout; channels-last, every group fills whole blocks."""
        if not (self.groups > 1 and self.channels_last):
            return self.blocked_weight
        out, into = self.weight.shape[0] // self.groups, self.weight.shape[1]
        return _bytes(self.weight) // max(1, out * into) * _whole(out) * _whole(into)


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.dtype.itemsize


def _whole(channels: int) -> int:
    """Channels in whole blocks."""
    return -(-channels // _BLOCK) * _BLOCK
