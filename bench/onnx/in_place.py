"""Operators that write in place behind a graph's back, or on lists, in terms of simpler ones. Imports torch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

aten = torch.ops.aten
_FOREACH = (
    "add",
    "add_",
    "clamp_max",
    "clamp_max_",
    "lerp",
    "lerp_",
    "mul",
    "mul_",
    "norm",
    "reciprocal",
    "reciprocal_",
)
"""Operators on lists of tensors that averages of weights and the clipping of gradients use."""


def decompositions_in_place() -> dict[Any, Callable[..., Any]]:
    """By operator, for the first pass: those that write into their arguments without saying so, and those on lists."""
    table: dict[Any, Callable[..., Any]] = {
        aten.native_batch_norm.default: batch_norm,
        aten.fill_diagonal_.default: fill_diagonal_,
    }
    for name in _FOREACH:
        packet = getattr(aten, f"_foreach_{name}")
        single = aten.linalg_vector_norm if name == "norm" else getattr(aten, name)
        overloads = [overload for overload in packet.overloads() if not overload.endswith("out")]
        table |= {getattr(packet, overload): _one_by_one(single, name) for overload in overloads}
    return table


def _one_by_one(single: Callable[..., torch.Tensor], name: str) -> Callable[..., list[torch.Tensor] | None]:
    """An operator on lists as a loop over their elements."""

    def run(tensors: Sequence[torch.Tensor], *others: Any, **keywords: Any) -> list[torch.Tensor] | None:
        at = [[other[i] if isinstance(other, list | tuple) else other for other in others] for i in range(len(tensors))]
        results = [single(tensor, *arguments, **keywords) for tensor, arguments in zip(tensors, at, strict=True)]
        return None if name.endswith("_") else results

    return run


def batch_norm(  # noqa: PLR0917 - the operator's own parameters
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


def fill_diagonal_(x: torch.Tensor, value: float, wrap: bool = False) -> Any:
    """One number on the diagonal of a square matrix."""
    if x.dim() != 2 or x.shape[0] != x.shape[1]:
        return NotImplemented
    del wrap  # of tall matrices
    return x.copy_(x.masked_fill(on_diagonal(x), value))


def on_diagonal(x: torch.Tensor) -> torch.Tensor:
    """Where a square matrix has its diagonal, as a mask."""
    place = torch.arange(x.shape[0], device=x.device)
    return place.unsqueeze(1) == place
