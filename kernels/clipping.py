"""Gradient clipping that never waits for the device."""

from collections.abc import Iterable

import torch
from torch import nn


def clip_each(parameters: Iterable[nn.Parameter], max_norm: float) -> None:
    """Scale down, in place, the gradient of every parameter whose own norm is above `max_norm`.

    g <- g * min(1, max_norm / (|g| + 1e-6)), as clip_gradients of https://github.com/facebookresearch/dino has it;
    `torch.nn.utils.clip_grad_norm_` is the one for the norm over all parameters.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    norms = torch._foreach_norm(gradients)
    norms = torch._foreach_add(norms, 1e-6)  # not in place: the norm of a sharded gradient is summed up here
    factors = torch._foreach_reciprocal(norms)
    torch._foreach_mul_(factors, max_norm)
    torch._foreach_clamp_max_(factors, 1.0)
    torch._foreach_mul_(gradients, factors)


def check_clip(max_norm: float) -> None:
    """A norm to clip at; 0 is for no clipping.

    Raises:
        ValueError: it is below 0.
    """
    if max_norm < 0:
        raise ValueError(f"clip_gradient: expected a norm from 0 (no clipping), got {max_norm}")
