"""Optimizers by name, with weight decay on weight matrices and convolutions only."""

import math
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

Groups = list[dict[str, Any]]


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling with momentum.

    For a layer with weights w and gradient g: v <- m v + lr * eta * |w| / (|g| + d |w|) * (g + d w), w <- w - v
    (Algorithm 1 of https://arxiv.org/abs/1708.03888; m momentum, d weight decay, eta trust coefficient). Groups with
    `adapt=False` take plain SGD with momentum, as SimCLR has it for biases and batch normalisation
    (https://arxiv.org/abs/2002.05709, Appendix B.1).
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor] | Groups,
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient; never waits for the device."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        decay = group["weight_decay"]
        update = parameter.grad.add(parameter, alpha=decay) if decay else parameter.grad.clone()  # type: ignore[union-attr]
        if group["adapt"]:
            update.mul_(self._trust_ratio(parameter, group))
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        momentum = state["momentum_buffer"]
        momentum.mul_(group["momentum"]).add_(update, alpha=group["lr"])
        parameter.sub_(momentum)

    @staticmethod
    def _trust_ratio(parameter: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        weight_norm = torch.linalg.vector_norm(parameter)
        gradient_norm = torch.linalg.vector_norm(parameter.grad)
        ratio = group["trust_coefficient"] * weight_norm / (gradient_norm + group["weight_decay"] * weight_norm)
        # A layer at zero, or without a gradient, moves at the plain rate.
        return torch.where((weight_norm > 0) & (gradient_norm > 0), ratio, torch.ones_like(ratio))


def _adamw(groups: Groups, learning_rate: float, _momentum: float, foreach: bool) -> Optimizer:
    return AdamW(groups, lr=learning_rate, foreach=foreach)


def _adamw_fused(groups: Groups, learning_rate: float, _momentum: float, _foreach: bool) -> Optimizer:
    return AdamW(groups, lr=learning_rate, fused=True)


def _adam(groups: Groups, learning_rate: float, _momentum: float, foreach: bool) -> Optimizer:
    return Adam(groups, lr=learning_rate, foreach=foreach)


def _adam_fused(groups: Groups, learning_rate: float, _momentum: float, _foreach: bool) -> Optimizer:
    return Adam(groups, lr=learning_rate, fused=True)


def _sgd(groups: Groups, learning_rate: float, momentum: float, foreach: bool) -> Optimizer:
    return SGD(groups, lr=learning_rate, momentum=momentum, foreach=foreach)


def _sgd_fused(groups: Groups, learning_rate: float, momentum: float, _foreach: bool) -> Optimizer:
    return SGD(groups, lr=learning_rate, momentum=momentum, fused=True)


def _lars(groups: Groups, learning_rate: float, momentum: float, _foreach: bool) -> Optimizer:
    decayed, plain = groups
    return LARS([{**decayed, "adapt": True}, {**plain, "adapt": False}], lr=learning_rate, momentum=momentum)


_MAKERS = {
    "adamw": _adamw,
    "adamw-fused": _adamw_fused,
    "adam": _adam,
    "adam-fused": _adam_fused,
    "sgd": _sgd,
    "sgd-fused": _sgd_fused,
    "lars": _lars,
}
OPTIMIZERS = tuple(_MAKERS)


def make_optimizer(
    name: str,
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Optimizer:
    """The optimizer called `name` over the model's parameters.

    `momentum` counts for sgd and lars, `betas` (the decay rates of its averages) for Adam and its kin. Biases and the
    scales of normalisations (every parameter of one dimension) are not decayed, as in BERT and SimCLR.

    Raises:
        ValueError: there is no such optimizer, or a value is out of range.
    """
    if name not in _MAKERS:
        near = get_close_matches(name, OPTIMIZERS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"no optimizer {name!r}: expected one of {', '.join(OPTIMIZERS)}{hint}")
    for key, value in (("learning_rate", learning_rate), ("weight_decay", weight_decay), ("momentum", momentum)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{key}: expected a number from 0, got {value}")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    # What torch picks by itself for real tensors; said aloud so that fake ones take the same path.
    foreach = all(parameter.device.type == "cuda" for parameter in parameters)
    if name.startswith("adam"):
        groups = [{**group, "betas": betas} for group in groups]
    return _MAKERS[name](groups, learning_rate, momentum, foreach)
