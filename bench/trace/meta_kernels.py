"""Shapes of results that torch has no meta kernel for, mostly since they depend on data: the largest that they can be.

`unique` finds every element different, `bincount` the numbers 0 and 1, a CTC target is as long as its row.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

Tensors = tuple[torch.Tensor, ...]


def _integers(*shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.int64, device="meta")


def _unique2(x: torch.Tensor, sort: bool = True, return_inverse: bool = False, return_counts: bool = False) -> Tensors:
    inverse = _integers(*x.shape) if return_inverse or return_counts else _integers(0)
    return x.new_empty(x.numel()), inverse, _integers(x.numel()) if return_counts else _integers(0)


def _unique_dim(
    x: torch.Tensor, dim: int, sort: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> Tensors:
    return torch.empty_like(x), _integers(x.shape[dim]), _integers(x.shape[dim] if return_counts else 0)


def _unique_consecutive(
    x: torch.Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Tensors:
    if dim is not None:
        return _unique_dim(x, dim, return_counts=return_counts)
    inverse = _integers(*x.shape) if return_inverse else _integers(0)
    return x.new_empty(x.numel()), inverse, _integers(x.numel() if return_counts else 0)


def _bincount(x: torch.Tensor, weights: torch.Tensor | None = None, minlength: int = 0) -> torch.Tensor:
    dtype = torch.int64 if weights is None else torch.float32 if weights.dtype == torch.float32 else torch.float64
    return torch.empty(max(minlength, 2), dtype=dtype, device="meta")


def _ctc_loss(log_probs: torch.Tensor, targets: torch.Tensor, *args: Any, **kwargs: Any) -> Tensors:
    """Losses (N) and log alpha (N, T, 2 L + 1), as LossCTC.cu has them."""
    length, batch = log_probs.shape[0], log_probs.shape[1]
    longest = targets.shape[1] if targets.dim() == 2 else targets.numel()
    return log_probs.new_empty(batch), log_probs.new_empty(batch, length, 2 * longest + 1)


def _ctc_loss_backward(grad: torch.Tensor, log_probs: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return torch.empty_like(log_probs, memory_format=torch.contiguous_format)


def _like_first(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return torch.empty_like(x)


def _grouped_mm(padded: bool) -> Callable[..., torch.Tensor]:
    """Products of groups of rows with a matrix each (mixtures of experts); torch's own kernel takes bf16 only.

    CUDA pads rows to 16 bytes (create_grouped_gemm_output_tensor in aten/src/ATen/native/GroupedMMUtils.h).
    """

    def kernel(
        a: torch.Tensor,
        b: torch.Tensor,
        offs: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
        out_dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        groups = [offs.shape[0]] if offs is not None and a.dim() == b.dim() == 2 else []
        batches = [a.shape[0]] if a.dim() == b.dim() == 3 else groups
        dtype = out_dtype or a.dtype
        columns = b.shape[-1]
        alignment = 16 // dtype.itemsize if padded else 1
        rows = torch.empty([*batches, a.shape[-2], -(-columns // alignment) * alignment], dtype=dtype, device="meta")
        return rows if rows.shape[-1] == columns else rows[..., :columns]

    return kernel


def _grouped_mm_flops(a: torch.Tensor, b: torch.Tensor, *args: Any, **kwargs: Any) -> int:
    """Each row meets one matrix: 2 M K N, times the batches where both have them."""
    return 2 * math.prod(a.shape if a.dim() == b.dim() else a.shape[-2:]) * int(b.shape[-1])


def _rms_norm(
    x: torch.Tensor, shape: list[int], weight: torch.Tensor | None = None, eps: float | None = None
) -> Tensors:
    """The result, and the reciprocal root mean squares that the backward pass needs: layer_norm_kernel.cu."""
    accumulated = x.dtype if x.dtype == torch.float64 else torch.float32
    statistics = [*x.shape[: x.dim() - len(shape)], *(1 for _ in shape)]
    return torch.empty_like(x, memory_format=torch.contiguous_format), x.new_empty(statistics, dtype=accumulated)


def _rms_norm_backward(
    gradient: torch.Tensor, x: torch.Tensor, shape: list[int], rstd: torch.Tensor, *rest: Any
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    weight, wanted = rest
    of_x = torch.empty_like(x, memory_format=torch.contiguous_format) if wanted[0] else None
    return of_x, torch.empty_like(weight) if wanted[1] and weight is not None else None


_CUDA_KERNELS: dict[str, Callable[..., Any]] = {
    "_fused_rms_norm": _rms_norm,
    "_fused_rms_norm_backward": _rms_norm_backward,
}
"""Operators that CUDA has a kernel of its own for, and other devices run as several."""
_KERNELS: dict[str, Callable[..., Any]] = {
    "_unique2": _unique2,
    "unique_dim": _unique_dim,
    "unique_consecutive": _unique_consecutive,
    "bincount": _bincount,
    "_ctc_loss.Tensor": _ctc_loss,
    "_ctc_loss_backward": _ctc_loss_backward,
    "_ctc_loss_backward.Tensor": _ctc_loss_backward,
    **dict.fromkeys(("_sample_dirichlet", "_dirichlet_grad", "_standard_gamma_grad", "binomial"), _like_first),
}


@contextmanager
def meta_kernels(target: str) -> Iterator[None]:
    """While active, these operators work on meta tensors; where torch has a kernel of its own, that stays."""
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]  # torch's own
    grouped = torch.ops.aten._grouped_mm
    counted = flop_registry.get(grouped)
    try:
        for name, kernel in _CUDA_KERNELS.items() if target == "cuda" else ():
            library.m.impl(name, "Meta", kernel, False)  # Library.impl takes them for what other devices do
        for name, kernel in _KERNELS.items():
            if not torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", "Meta"):
                library.impl(name, kernel, "Meta")
        library.impl("_grouped_mm", _grouped_mm(target == "cuda"), "Meta", allow_override=True)
        flop_registry[grouped] = _grouped_mm_flops
        yield
    finally:
        library._destroy()
        if counted is None:
            del flop_registry[grouped]
        else:
            flop_registry[grouped] = counted
