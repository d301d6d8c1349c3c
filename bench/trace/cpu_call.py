"""One operator call as a CPU kernel sees it, for the models of what kernels allocate inside."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class KernelCall:
    """One operator call, as its kernel sees it."""

    inputs: list[torch.Tensor]
    """Every tensor among the arguments, in order; no data."""
    arguments: dict[str, Any]
    outputs: list[torch.Tensor]
    threads: int


Sizes = Iterator[int]


def nbytes(tensor: torch.Tensor, dtype: torch.dtype | None = None) -> int:
    """Bytes of a tensor's elements, as another type if one is given."""
    return tensor.numel() * (tensor.dtype if dtype is None else dtype).itemsize


def contiguous_copy(tensor: torch.Tensor) -> int:
    """Bytes of what `tensor.contiguous()` makes; 0 where it is contiguous already."""
    return 0 if tensor.is_contiguous() else nbytes(tensor)
