"""Tensors without data that know their storage, and storages that log their own birth and death."""

import copy
import math
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

import torch
from torch.utils._python_dispatch import _disable_current_modes

from sslbench.bench.errors import TraceError

Spec = tuple[torch.dtype, tuple[int, ...], tuple[int, ...], int, bool]
"""Element type, shape, strides, storage offset (elements), and whether it lies on the host of a CUDA target."""

KERNEL_ADVICE = (
    'wrap the kernel in torch.library.custom_op("mine::name", mutates_args=()) and give it its output shapes with '
    ".register_fake"
)
READS_MEMORY = (
    f"a traced tensor has no memory to read (data_ptr, ctypes, DLPack, a compiled extension): {KERNEL_ADVICE}"
)

_make_wrapper = torch.Tensor._make_wrapper_subclass  # the documented way to make a wrapper subclass


class Block:
    """A live allocation. Tensors that share storage share it; its end is the storage's end."""

    __slots__ = ("index", "known", "log", "size", "value")

    def __init__(self, index: int, size: int, log: list[int]) -> None:
        self.index = index
        """Index of the storage in the trace; -1 on the host of a CUDA target, where nothing is logged."""
        self.size = size
        """Bytes."""
        self.log = log
        self.value: float | None = None
        """The number that `.item()` gives, where the step's course hangs on it (GradScaler's found_inf)."""
        self.known: tuple[torch.Tensor, int] | None = None
        """The data, where a small tensor was copied from the host, and the tensor's version then."""

    def __del__(self) -> None:
        if self.index >= 0:
            self.log.append(~self.index)


def spec_of(tensor: torch.Tensor, *, host: bool = False) -> Spec:
    """The spec of a real or meta tensor."""
    return (tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset()), host)


def is_dense(spec: Spec) -> bool:
    """Whether the elements fill their extent without holes or overlaps (non-overlapping and dense)."""
    extent = 1
    for size, stride in sorted(zip(spec[1], spec[2], strict=True), key=lambda pair: pair[1]):
        if size > 1:
            if stride != extent:
                return False
            extent *= size
    return True


def bytes_of(spec: Spec) -> int:
    """Bytes of the elements, each counted once."""
    return int(spec[0].itemsize * math.prod(spec[1]))


class Recording(AbstractContextManager[Any], Protocol):
    """What a tensor knows of the mode that records it."""

    parameters: dict[int, int]
    """Elements by storage, of every `nn.Parameter`."""


class NoAddress:
    """What `data_ptr()` of a traced tensor gives: good for comparing, not for reading."""

    __slots__ = ("_block", "_offset")

    def __init__(self, block: Block, offset: int) -> None:
        self._block = block
        self._offset = offset

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoAddress) and (self._block, self._offset) == (other._block, other._offset)

    def __hash__(self) -> int:
        return hash((id(self._block), self._offset))

    def __mod__(self, alignment: int) -> int:
        return self._offset % alignment

    def __add__(self, other: int) -> "NoAddress":
        return NoAddress(self._block, self._offset + other)

    def _refuse(self) -> int:
        raise TraceError(READS_MEMORY)

    __index__ = __int__ = _refuse

    @property
    def _as_parameter_(self) -> int:  # what ctypes asks for
        return self._refuse()


class TracedTensor(torch.Tensor):
    """A tensor of the target device without data.

    To C++ it lies on the meta device (or on the CPU, for a CPU target); to Python on the target device. Its operators
    reach the active recorder through the dispatch mode; outside a trace it cannot be used.
    """

    __slots__ = ()
    recorder: ClassVar["Recording | None"] = None
    """The mode that records, while a trace runs."""
    _block: Block
    _spec: Spec
    _device: torch.device

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def make(cls, spec: Spec, block: Block, cxx_device: torch.device, device: torch.device) -> "TracedTensor":
        """A tensor over `block`; `cxx_device` is what C++ sees, `device` what Python sees."""
        dtype, shape, strides, offset, _ = spec
        tensor: TracedTensor = _make_wrapper(
            cls, shape, strides=strides, storage_offset=offset, dtype=dtype, device=cxx_device
        )
        tensor._spec = spec
        tensor._block = block
        tensor._device = device
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        # Operators come here, not to the mode, where torch has taken the mode off for a while (a kernel in Python).
        if cls.recorder is None:
            raise RuntimeError(f"a tensor of a trace was used outside it, by {func}")
        with cls.recorder:
            return func(*args, **(kwargs or {}))

    def __repr__(self) -> str:  # type: ignore[override]
        return f"TracedTensor(shape={tuple(self.shape)}, dtype={self.dtype}, device={self._device})"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            with torch.no_grad():
                twin: Any = self.detach().clone()
            if isinstance(self, torch.nn.Parameter):
                twin = torch.nn.Parameter(twin, requires_grad=self.requires_grad)
                twin.__dict__.update(copy.deepcopy({k: v for k, v in self.__dict__.items() if k[0] != "_"}, memo))
            else:
                twin.requires_grad_(self.requires_grad)
            memo[id(self)] = twin
        return memo[id(self)]

    def tolist(self) -> Any:
        """The data where it is known, else ones, as `.item()` answers."""
        return self.on_host().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """The data where it is known, else ones, as `.item()` answers.

        Raises:
            TypeError: the tensor is on a GPU, as torch has it.
        """
        if self._device.type == "cuda" and not self._spec[4] and not force:
            raise TypeError("can't convert a cuda tensor to numpy: use Tensor.cpu() to copy it to host memory first")
        return self.on_host().numpy()

    def data_ptr(self) -> Any:
        """Something that tells storages apart, and cannot be taken for an address."""
        return NoAddress(self._block, self._spec[3] * self._spec[0].itemsize)

    def __dlpack__(self, **kwargs: Any) -> Any:
        raise TraceError(READS_MEMORY)

    def on_host(self) -> torch.Tensor:
        """A real tensor in place of this one: its data where it is known, else ones."""
        with _disable_current_modes():
            known = self.known_data()
            return torch.ones((), dtype=self._spec[0]).expand(self._spec[1]).clone() if known is None else known

    def known_data(self) -> torch.Tensor | None:
        """The data, if the tensor was copied from the host and has not been written to since."""
        dtype, shape, strides, offset, _ = self._spec
        if self._block.known is None:
            return None
        data, version = self._block.known
        if data.dtype != dtype or version != self._version:
            return None
        with _disable_current_modes():
            return data.as_strided(shape, strides, offset).clone()

    @property
    def data(self) -> Any:
        """The tensor outside autograd."""
        return torch.Tensor.data.__get__(self)  # type: ignore[attr-defined]

    @data.setter
    def data(self, value: Any) -> None:
        # C++ swaps the implementation below the wrapper; the shadow has to follow.
        torch.Tensor.data.__set__(self, value)  # type: ignore[attr-defined]
        self._spec, self._block, self._device = value._spec, value._block, value._device
        self._is_param = self._is_param

    @property
    def _is_param(self) -> bool:
        """Whether it is an `nn.Parameter`: torch sets this on tensor subclasses instead of changing their class."""
        return bool(self.__dict__.get("parameter", False))

    @_is_param.setter
    def _is_param(self, value: bool) -> None:
        self.__dict__["parameter"] = value
        if value and TracedTensor.recorder is not None:
            TracedTensor.recorder.parameters[self._block.index] = self.numel()


def any_traced(values: Any) -> bool:
    """Whether a traced tensor is among arguments, lists of tensors included."""
    return any(
        isinstance(value, TracedTensor) or (isinstance(value, list | tuple) and any_traced(value)) for value in values
    )


class TracedDeviceTensor(TracedTensor):
    """A `TracedTensor` of a CUDA target, or of its host: C++ sees the meta device, Python the pretended one."""

    __slots__ = ()

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The device that the tensor would be on."""
        return self._device

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        """Whether it would be on the GPU."""
        return self._device.type == "cuda"

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        """Whether it would be in host memory."""
        return self._device.type == "cpu"

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        """False: the meta device is how the trace is made, not what it is of."""
        return False

    def get_device(self) -> int:
        """Index of the GPU, -1 on the host."""
        return 0 if self.is_cuda else -1

    def cuda(self, *args: Any, **kwargs: Any) -> Any:
        """The tensor on the GPU."""
        return self.to("cuda")

    def cpu(self, *args: Any, **kwargs: Any) -> Any:
        """The tensor in host memory."""
        return self.to("cpu")

    def pin_memory(self, *args: Any, **kwargs: Any) -> Any:
        """Itself: page-locking takes no memory of the GPU."""
        return self

    def record_stream(self, stream: Any) -> None:
        """Nothing: the trace has one stream."""

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """`torch.Tensor.to`, with the target device known."""
        device, dtype, kwargs = _parse_to(args, dict(kwargs))
        if dtype is not None:
            kwargs["dtype"] = dtype
        if device is not None and torch.device(device).type != self._device.type:
            # Only an explicit copy tells the recorder where to.
            dtype = kwargs.get("dtype", self.dtype)
            return torch.ops.aten._to_copy.default(self, dtype=dtype, device=torch.device(device))
        return torch.Tensor.to(self, **kwargs) if kwargs else self


def _parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, torch.dtype | None, dict[str, Any]]:
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    kwargs.pop("non_blocking", None)
    for arg in args:
        if isinstance(arg, torch.dtype):
            dtype = arg
        elif isinstance(arg, torch.Tensor):
            device, dtype = arg.device, arg.dtype
        elif isinstance(arg, str | torch.device) or (isinstance(arg, int) and not isinstance(arg, bool)):
            device = "cuda" if isinstance(arg, int) else arg
    return device, dtype, kwargs
