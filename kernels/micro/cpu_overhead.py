"""What eager PyTorch takes on a processor beside the kernels: recording a graph, going back through it, new memory."""

import torch
from torch import nn

from sslbench.kernels.micro.launch import CALLS
from sslbench.kernels.micro.micro import Call, Micro, Shape, randn


def recorded(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """A chain of products of one element, recorded for a backward pass."""
    x, factor = randn(device, dtype, 1).requires_grad_(), torch.ones(1, device=device, dtype=dtype)

    def run() -> torch.Tensor:
        y = x
        for _ in range(CALLS):
            y = torch.mul(y, factor)
        return y

    return run


def backward(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """The backward pass of that chain: a product for each."""
    y = recorded(device, dtype, shape)()
    assert isinstance(y, torch.Tensor)  # noqa: S101 - for the type checker
    return lambda: y.backward(retain_graph=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped


def module(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """Modules that return what they get."""
    x, identity = randn(device, dtype, 1), nn.Identity()

    def run() -> None:
        for _ in range(CALLS):
            identity(x)

    return run


def fresh_memory(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """Writes zeros to `bytes` that the C library has just got from the system (from 32 MiB on it gives them back)."""
    (size,) = shape
    return lambda: torch.empty(size, dtype=torch.uint8, device=device).zero_()


MICROS = (
    Micro(kernel="dispatch_autograd", build=recorded, autograd=True, calls=CALLS),
    Micro(kernel="dispatch_backward", build=backward, autograd=True, calls=CALLS),
    Micro(kernel="module_call", build=module, calls=CALLS),
    Micro(kernel="fresh_memory", shape_names=("bytes",), build=fresh_memory),
)
