"""The slow copy of a network: the momentum encoder of MoCo, the target of BYOL, the teacher of DINO."""

import copy
from typing import TypeVar

import torch
from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)


def frozen_copy(module: _Module) -> _Module:
    """A copy of a module, weights and buffers, of which nothing is trained: no gradient, no optimizer state."""
    return copy.deepcopy(module).requires_grad_(False)


class Ema:
    """Exponential moving average of a network's parameters: teacher <- m * teacher + (1 - m) * student.

    Equation 2 of https://arxiv.org/abs/1911.05722 (MoCo), Section 3.1 of https://arxiv.org/abs/2006.07733 (BYOL).
    Buffers, such as the running statistics of batch normalisation, are the teacher's own: it runs in training mode on
    its own views, as the authors' code has it for MoCo, BYOL and DINO.

    Give `update` to `Training.after_update`. It makes no tensor and never waits for the device.

    Args:
        student: its parameters are averaged; it may have more than the teacher (a predictor) in modules of its own.
        teacher: a `frozen_copy` of the student or of a part of it; hold it in the network, and call it under
            `torch.no_grad()`.
        momentum: m, from 0 (a plain copy) up to 1 (never changes).

    Raises:
        ValueError: the momentum is out of range, a parameter of the teacher is trained, or the student has no such
            parameter or one of another shape.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, momentum: float) -> None:
        check_momentum(momentum)
        self.momentum = momentum
        sources = dict(student.named_parameters())
        for name, parameter in teacher.named_parameters():
            _check_pair(name, parameter, sources.get(name))
        self._networks = student, teacher
        self._pairs: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None

    @torch.no_grad()
    def update(self) -> None:
        """One step of the average; call it after the optimizer's."""
        if self._pairs is None:  # not before: sharding puts other parameters in the place of those that were built
            student, teacher = self._networks
            averaged, sources = dict(teacher.named_parameters()), dict(student.named_parameters())
            self._pairs = list(averaged.values()), [sources[name] for name in averaged]
        teacher_parameters, student_parameters = self._pairs
        torch._foreach_lerp_(teacher_parameters, student_parameters, 1.0 - self.momentum)


def check_momentum(momentum: float) -> None:
    """A momentum is a share of the old value.

    Raises:
        ValueError: it is not from 0 to 1.
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum: expected a number from 0 to 1, got {momentum}")


def _check_pair(name: str, averaged: nn.Parameter, source: nn.Parameter | None) -> None:
    if averaged.requires_grad:
        raise ValueError(f"the teacher's {name} is trained: make the teacher with frozen_copy")
    if source is None or source.shape != averaged.shape:
        found = "nothing" if source is None else tuple(source.shape)
        raise ValueError(f"the teacher's {name}: expected {tuple(averaged.shape)} in the student, found {found}")
