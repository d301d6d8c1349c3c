"""A host that pretends to have the target's device, for the length of a trace."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch.optim import optimizer as torch_optimizer
from torch.overrides import TorchFunctionMode

from sslbench.bench.trace.autocast import cuda_autocast_policy
from sslbench.bench.trace.cuda_kernels import cuda_kernels
from sslbench.bench.trace.tensor import TracedDeviceTensor, TracedTensor

_DONE_BY_NOTHING = (
    "synchronize",
    "empty_cache",
    "set_rng_state",
    "manual_seed",
    "manual_seed_all",
    "set_device",
    "init",
    "_lazy_init",
)


class _ToMeta(TorchFunctionMode):
    """Sends what asks for a CUDA device to the meta device before C++ looks for a driver."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if _is_cuda(kwargs.get("device")):
            kwargs["device"] = "meta"
        if func is torch.Tensor.cuda:
            return torch.Tensor.to(args[0], "meta")
        if func is torch.Tensor.pin_memory:
            return args[0]
        if func is torch.Tensor.to and len(args) > 1 and (_is_cuda(args[1]) or _on_cuda(args[1])):
            if isinstance(args[1], torch.Tensor):
                kwargs["dtype"] = args[1].dtype
            args = (args[0], "meta", *args[2:])
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and kwargs.get("device") == "meta":
            return func(*args, **{**kwargs, "device": "cpu"}).to("meta")
        return func(*args, **kwargs)


def _is_cuda(device: Any) -> bool:
    return isinstance(device, str | torch.device) and torch.device(device).type == "cuda"


def _on_cuda(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "cuda"


def _nothing() -> Any:
    """A function that does nothing; each name gets its own, since torch keeps tables by function."""
    return lambda *args, **kwargs: None


def _cuda_module(capability: tuple[int, int]) -> dict[str, Any]:
    """What `torch.cuda` answers on a machine with one GPU of this compute capability."""
    return {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "is_bf16_supported": lambda *args, **kwargs: True,
        "is_current_stream_capturing": lambda: False,
        "current_device": lambda: 0,
        "device_count": lambda: 1,
        "get_device_capability": lambda *args: capability,
        "get_rng_state": lambda *args, **kwargs: torch.zeros(16, dtype=torch.uint8),
        "_is_in_bad_fork": lambda: False,
        **{name: _nothing() for name in _DONE_BY_NOTHING},
    }


@contextmanager
def cuda_host(capability: tuple[int, int]) -> Iterator[None]:
    """While active, torch in this process behaves as with one GPU, for tensors without data."""
    lift = torch._C._only_lift_cpu_tensors()
    with ExitStack() as stack:
        for name, value in _cuda_module(capability).items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(mock.patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False))
        stack.enter_context(cpu_host())
        stack.enter_context(cuda_kernels(capability))
        stack.enter_context(cuda_autocast_policy())
        stack.enter_context(_ToMeta())
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device="cuda"): made on the host, then copied
        try:
            yield
        finally:
            torch._C._set_only_lift_cpu_tensors(lift)


@contextmanager
def cpu_host() -> Iterator[None]:
    """While active, torch in this process takes tensors without data as it takes real ones."""
    with (
        _fast_optimizers(),
        mock.patch.object(torch._C, "_InferenceMode", _inference_mode),
        mock.patch.object(torch, "compile", _eager),
        mock.patch.object(torch.nn.init, "_no_grad_trunc_normal_", _as_it_is),
    ):
        yield


def _as_it_is(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """A truncated normal draws until every value is in range: without values that never comes."""
    return tensor


def _eager(model: Any = None, **options: Any) -> Any:
    """`torch.compile` without compiling: what its kernels would fuse is not modelled."""
    return model if model is not None else lambda function: function


def _inference_mode(enabled: bool) -> Any:
    """Inference mode without its version counters, which wrapper tensors cannot share; it allocates the same."""
    return torch.no_grad() if enabled else nullcontext()


@contextmanager
def _fast_optimizers() -> Iterator[None]:
    """Optimizers take the multi-tensor path only for tensor types that they know; the traced ones are added."""
    known = torch_optimizer._foreach_supported_types
    added = [TracedTensor, TracedDeviceTensor]
    known.extend(added)
    try:
        yield
    finally:
        for kind in added:
            known.remove(kind)
