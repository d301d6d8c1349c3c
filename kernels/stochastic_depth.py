"""Stochastic depth (https://arxiv.org/abs/1603.09382) for the transformers of transformers that have none.

Shapes: B samples, L tokens, D features; S the samples that a branch is computed on.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_NORMS = (("norm1", "norm2"), ("layernorm_before", "layernorm_after"))  # of Dinov2Layer, of ViTLayer


def drop_paths(network: nn.Module, rate: float) -> None:
    """Mask every residual branch of a sample with a probability that grows linearly over the layers up to `rate`.

    As timm and DINO have it: the branch is computed for all samples. A network without transformer layers, such as a
    ResNet, stays as it is.

    Raises:
        ValueError: the rate is out of range.
    """
    check_rate(rate)
    layers = _layers(network)
    for index, layer in enumerate(layers):
        own = rate * index / max(1, len(layers) - 1)
        if own > 0:
            for branch in (layer.attention, layer.mlp):
                branch.register_forward_hook(_Masked(own))


def skip_samples(network: nn.Module, rate: float) -> None:
    """Compute every residual branch on a random (1 - rate) of the samples only, in every layer alike.

    The efficient stochastic depth of DINOv2 (Section 5 of https://arxiv.org/abs/2304.07193; block.py of its code):
    saves time and memory in proportion to the rate. Known difference: the authors' xFormers kernel adds the branch in
    place, with the layer scale in it.

    Raises:
        ValueError: the rate is out of range.
    """
    check_rate(rate)
    if rate > 0:
        for layer in _layers(network):
            layer.forward = _Skipping(layer, rate)


def check_rate(rate: float) -> None:
    """A rate of stochastic depth leaves something.

    Raises:
        ValueError: it is not from 0 to below 1.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"drop_path: expected a number from 0 to below 1, got {rate}")


def _layers(network: nn.Module) -> list[Any]:
    """Pre-norm layers with two residual branches, in order."""
    return [layer for layer in network.modules() if any(hasattr(layer, first) for first, _ in _NORMS)]


class _Masked:
    """A forward hook that zeroes a branch of some samples and scales up the others."""

    def __init__(self, rate: float) -> None:
        self.keep = 1 - rate

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        if not module.training:
            return output
        if isinstance(output, tuple):  # attention gives its weights, too
            return (self._masked(output[0]), *output[1:])
        return self._masked(output)

    def _masked(self, branch_BLD: torch.Tensor) -> torch.Tensor:
        shape = (branch_BLD.shape[0],) + (1,) * (branch_BLD.ndim - 1)
        kept_B11 = torch.rand(shape, dtype=branch_BLD.dtype, device=branch_BLD.device).add_(self.keep).floor_()
        return branch_BLD.div(self.keep) * kept_B11


class _Skipping:
    """A layer's forward that computes each branch on some of the samples."""

    def __init__(self, layer: Any, rate: float) -> None:
        self.layer, self.rate = layer, rate
        self.whole = layer.forward

    def __call__(self, hidden_BLD: torch.Tensor, attention_mask: Any = None, **keywords: Any) -> torch.Tensor:
        layer = self.layer
        if not layer.training:
            whole: torch.Tensor = self.whole(hidden_BLD, attention_mask, **keywords)
            return whole
        first, second = next(names for names in _NORMS if hasattr(layer, names[0]))
        norm1, norm2 = getattr(layer, first), getattr(layer, second)
        scale1, scale2 = getattr(layer, "layer_scale1", _same), getattr(layer, "layer_scale2", _same)
        hidden_BLD = self._add(hidden_BLD, lambda some: scale1(layer.attention(norm1(some), None, **keywords)[0]))
        return self._add(hidden_BLD, lambda some: scale2(layer.mlp(norm2(some))))

    def _add(self, hidden_BLD: torch.Tensor, branch: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        samples = hidden_BLD.shape[0]
        kept = max(int(samples * (1 - self.rate)), 1)
        chosen_S = torch.randperm(samples, device=hidden_BLD.device)[:kept]
        residual_SLD = branch(hidden_BLD.index_select(0, chosen_S))
        return torch.index_add(hidden_BLD, 0, chosen_S, residual_SLD.to(hidden_BLD.dtype), alpha=samples / kept)


def _same(hidden: torch.Tensor) -> torch.Tensor:
    return hidden
