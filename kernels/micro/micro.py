"""What a micro-kernel is: a way to build one call of a kernel for a device, a type and sizes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from sslbench.kernels.setup import DTYPES

Shape = tuple[int, ...]
Call = Callable[[], object]
Build = Callable[[torch.device, torch.dtype, Shape], Call]
"""Allocates the operands and returns one call, which allocates its result as a model's step does."""

TORCH_TYPES = {**DTYPES, "tf32": torch.float32}
"""By the name that a machine profile has for a type; TF32 is how a GPU multiplies fp32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Micro:
    """A kernel that is timed."""

    kernel: str
    """Its name in a profile."""
    shape_names: tuple[str, ...] = ()
    build: Build
    autograd: bool = False
    """Whether it is built and called with gradients recorded."""
    calls: int = 1
    """How often one call runs the kernel, one after the other."""
    cold: bool = False
    """Whether a processor is timed on operands that its caches have lost, as a step's operators find them."""


def randn(device: torch.device, dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Normal values: a GPU's clock under its power limit depends on them, and zeros would be too fast."""
    return torch.randn(shape, device=device, dtype=dtype)
