"""Optimizers of which everything that changes is a tensor, so that a graph can hold their update. Imports torch.

torch's own keep the step count and the learning rate as numbers of the host, which a graph would hold fixed. Each one
here has the groups of a torch optimizer and computes the same update, with the numbers in float64 as Python has them.
"""

from typing import Any

import torch
from torch.optim import SGD, Adam, Optimizer

from sslbench.bench.errors import MeasureError
from sslbench.kernels.optimizers import LARS

Group = dict[str, Any]


class TensorOptimizer(Optimizer):
    """An optimizer that takes the place of a torch optimizer.

    Args:
        optimizer: whose parameter groups are taken over; all of them have one learning rate.
    """

    slots: tuple[str, ...] = ()
    """Names of the tensors kept for every parameter, zero at the start."""

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__([dict(group) for group in optimizer.param_groups], {})
        self.learning_rate = torch.tensor(optimizer.param_groups[0]["lr"], dtype=torch.float64)
        self.count = torch.zeros((), dtype=torch.float64)
        """Updates so far; counted where the update depends on it."""
        for parameter in self.parameters():
            self.state[parameter] = {slot: torch.zeros_like(parameter) for slot in self.slots}

    def parameters(self) -> list[torch.Tensor]:
        """All that are updated."""
        return [parameter for group in self.param_groups for parameter in group["params"]]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # a closure's loss is not asked for
        """Update every parameter that has a gradient."""
        del closure
        self.begin()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, parameter.grad, self.state[parameter], group)

    def begin(self) -> None:
        """Run once before the parameters' updates."""

    def update(self, parameter: torch.Tensor, gradient: torch.Tensor, state: Group, group: Group) -> None:
        """Update one parameter and its state in place."""
        raise NotImplementedError


class TensorAdam(TensorOptimizer):
    """torch's Adam, and with decoupled weight decay its AdamW (https://arxiv.org/abs/1711.05101, Algorithm 2)."""

    slots = ("exp_avg", "exp_avg_sq")

    def begin(self) -> None:
        """Count the update: the bias correction depends on it."""
        self.count += 1

    def update(self, parameter: torch.Tensor, gradient: torch.Tensor, state: Group, group: Group) -> None:
        """One parameter's update, in the order of torch's own operations."""
        beta1, beta2 = group["betas"]
        if group["decoupled_weight_decay"]:
            parameter.mul_((1 - self.learning_rate * group["weight_decay"]).float())
        elif group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        average, square = state["exp_avg"], state["exp_avg_sq"]
        average.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        size = self.learning_rate / (1 - torch.pow(beta1, self.count))
        root = (1 - torch.pow(beta2, self.count)).sqrt()
        parameter.sub_(average / (square.sqrt() / root.float() + group["eps"]) * size.float())


class TensorSGD(TensorOptimizer):
    """SGD with momentum, as torch has it."""

    slots = ("momentum_buffer",)

    def update(self, parameter: torch.Tensor, gradient: torch.Tensor, state: Group, group: Group) -> None:
        """One parameter's update; a momentum that begins at zero gives torch's first step, too."""
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        if group["momentum"]:
            gradient = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        parameter.sub_(gradient * self.learning_rate.float())


class TensorLARS(TensorOptimizer):
    """`sslbench.kernels.optimizers.LARS`."""

    slots = ("momentum_buffer",)

    def update(self, parameter: torch.Tensor, gradient: torch.Tensor, state: Group, group: Group) -> None:
        """One parameter's update."""
        update = gradient.add(parameter, alpha=group["weight_decay"])
        if group["adapt"]:
            update = update * LARS._trust_ratio(parameter, group)
        buffer = state["momentum_buffer"].mul_(group["momentum"]).add_(update * self.learning_rate.float())
        parameter.sub_(buffer)


def tensor_optimizer(optimizer: Optimizer) -> TensorOptimizer:
    """The optimizer that computes what a torch optimizer, not yet used, would.

    Raises:
        MeasureError: there is none for it.
    """
    for kind, replacement in ((Adam, TensorAdam), (SGD, TensorSGD), (LARS, TensorLARS)):
        if isinstance(optimizer, kind):
            return replacement(optimizer)
    raise MeasureError(f"{type(optimizer).__name__} cannot be exported: use --optimizer adamw, adam, sgd or lars")
