"""Shapes of results that torch has no meta kernel for, mostly since they depend on data: the largest that they can be.

`unique` finds every element different, `bincount` the numbers 0 and 1, a CTC target is as long as its row.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

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
def meta_kernels() -> Iterator[None]:
    """While active, these operators work on meta tensors; a torch that has its own kernel keeps it."""
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]  # torch's own
    try:
        for name, kernel in _KERNELS.items():
            if not torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", "Meta"):
                library.impl(name, kernel, "Meta")
        yield
    finally:
        library._destroy()
