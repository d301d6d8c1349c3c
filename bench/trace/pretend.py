"""A host that pretends to have the target's device, for the length of a trace."""

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch.nn.parallel import DataParallel
from torch.optim import optimizer as torch_optimizer
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _SingleProcessDataLoaderIter

from sslbench.bench.errors import TraceError
from sslbench.bench.trace.autocast import cuda_autocast_policy
from sslbench.bench.trace.checkpoints import adopted, checkpoints
from sslbench.bench.trace.cuda_kernels import cuda_kernels
from sslbench.bench.trace.cuda_module import ACCELERATOR, NVTX, Generator, cuda_module
from sslbench.bench.trace.meta_kernels import meta_kernels
from sslbench.bench.trace.recorder import Recorder
from sslbench.bench.trace.refused import ONE_GPU, refused
from sslbench.bench.trace.tensor import TracedDeviceTensor, TracedTensor, any_traced


class _Pretend(TorchFunctionMode):
    """Numbers and storages that C++ would look into, looked into here."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        _check_known(kwargs.get("device"))
        if func is torch.Tensor.to and len(args) > 1:
            _check_known(args[1])
        if func in _FROM_DATA and args:
            if isinstance(args[0], list | tuple) and any_traced(args[0]):
                args = (_numbers(args[0]), *args[1:])
            elif func is torch.asarray and isinstance(args[0], torch.UntypedStorage):
                return _of_storage(args[0], kwargs)
        return func(*args, **kwargs)


class _ToMeta(_Pretend):
    """Sends what asks for a CUDA device to the meta device before C++ looks for a driver."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if _is_cuda(kwargs.get("device")):
            kwargs["device"] = "meta"
        if kwargs.get("pin_memory"):
            kwargs["pin_memory"] = False  # page-locked memory is the host's
        if func is torch.Tensor.cuda:
            _is_cuda(args[1] if len(args) > 1 else None)
            return torch.Tensor.to(args[0], "meta")
        if func is torch.device and args and isinstance(args[0], int):
            return torch.device("cuda" if _is_cuda(args[0]) else args[0])
        if func is torch.Tensor.pin_memory:
            return args[0]
        if func is torch.Tensor.to and len(args) > 1 and (_is_cuda(args[1]) or _on_cuda(args[1])):
            if isinstance(args[1], torch.Tensor):
                kwargs["dtype"] = args[1].dtype
            args = (args[0], "meta", *args[2:])
        if func in _FROM_DATA and kwargs.get("device") == "meta":
            return super().__torch_function__(func, types, args, {**kwargs, "device": "cpu"}).to("meta")
        return super().__torch_function__(func, types, args, kwargs)


_FROM_DATA = (torch.tensor, torch.as_tensor, torch.asarray)


def _numbers(data: Any) -> Any:
    """Nested lists with the traced tensors among them as the numbers that they answer with."""
    if isinstance(data, TracedTensor):
        return data.tolist()
    return [_numbers(item) for item in data] if isinstance(data, list | tuple) else data


def _of_storage(storage: torch.UntypedStorage, options: dict[str, Any]) -> Any:
    """A tensor over a file that is mapped (safetensors): on a CPU target memory of the process, its data unread."""
    with _disable_current_modes():
        made = torch.asarray(storage, **options)
    recorder = TracedTensor.recorder
    return adopted(made, recorder, {}) if isinstance(recorder, Recorder) and recorder.target == "cpu" else made


def _check_known(device: Any) -> None:
    if isinstance(device, str | torch.device) and torch.device(device).type not in ("cpu", "cuda", "meta"):
        raise TraceError(f"the step names a device of its own, {device}: use the device that the factory is given")


def _is_cuda(device: Any) -> bool:
    if isinstance(device, bool) or not isinstance(device, str | torch.device | int):
        return False
    named = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    if named.type == "cuda" and named.index:
        raise TraceError(f"{named} is asked for: {ONE_GPU}")
    return named.type == "cuda"


def _on_cuda(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "cuda"


@contextmanager
def cuda_host(capability: tuple[int, int]) -> Iterator[None]:
    """While active, torch in this process behaves as with one GPU, for tensors without data."""
    lift = torch._C._only_lift_cpu_tensors()
    with ExitStack() as stack:
        for module, answers in (
            (torch.cuda, cuda_module(capability)),
            (torch.cuda.nvtx, NVTX),
            (torch.accelerator, ACCELERATOR),
        ):
            for name, value in answers.items():
                stack.enter_context(mock.patch.object(module, name, value))
        stack.enter_context(mock.patch.object(torch, "Generator", Generator))
        stack.enter_context(mock.patch.object(DataParallel, "forward", _on_one_gpu))
        stack.enter_context(mock.patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False))
        stack.enter_context(_any_host("cuda"))
        stack.enter_context(refused("cuda"))
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
    """While active, torch in this process behaves as without a GPU, for tensors without data."""
    with (
        mock.patch.object(torch.cuda, "is_available", lambda: False),
        mock.patch.object(torch.cuda, "device_count", lambda: 0),
        mock.patch.object(torch.accelerator, "is_available", lambda: False),
        mock.patch.object(torch.accelerator, "current_accelerator", lambda *args, **kwargs: None),
        _any_host("cpu"),
        refused("cpu"),
        _Pretend(),
    ):
        yield


@contextmanager
def _any_host(target: str) -> Iterator[None]:
    """While active, torch in this process takes tensors without data as it takes real ones."""
    with (
        _fast_optimizers(),
        checkpoints(),
        meta_kernels(target),
        mock.patch.object(torch._C, "_InferenceMode", _inference_mode),
        mock.patch.object(torch, "compile", _eager),
        mock.patch.object(torch.nn.init, "_no_grad_trunc_normal_", _as_it_is),
        mock.patch.object(DataLoader, "_get_iterator", _in_this_process),
        _no_nested_tensors(),
    ):
        yield


def _on_one_gpu(parallel: Any, *args: Any, **kwargs: Any) -> Any:
    """`nn.DataParallel` with one device calls the module that it wraps."""
    return parallel.module(*args, **kwargs)


def _in_this_process(loader: Any) -> Any:
    """A loader without workers: tensors without data do not cross to another process."""
    alone = copy.copy(loader)
    alone.num_workers = alone.timeout = 0
    return _SingleProcessDataLoaderIter(alone)


@contextmanager
def _no_nested_tensors() -> Iterator[None]:
    """`nn.TransformerEncoder` in eval mode without its fast path, which packs padded sequences into nested tensors."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _as_it_is(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """A truncated normal draws until every value is in range: without values that never comes."""
    return tensor


def _eager(model: Any = None, **options: Any) -> Any:
    """`torch.compile` without compiling: what its kernels would fuse is not modelled."""
    return model if model is not None else lambda function: function


def _inference_mode(enabled: bool) -> Any:
    """Inference mode without its version counters, which wrapper tensors cannot share; it allocates the same."""
    return _uncached_inference() if enabled else nullcontext()


@contextmanager
def _uncached_inference() -> Iterator[None]:
    """Autocast keeps no casts of weights in inference mode (https://github.com/pytorch/pytorch/issues/158232)."""
    cached = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_autocast_cache_enabled(cached)


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
