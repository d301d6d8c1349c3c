"""The dispatch mode that sees every operator of a step and records what it allocates and computes."""

import sys
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sslbench.bench.trace.events import BACKWARD, BUILD, FORWARD, OPTIMIZER, Call, OperatorKind, Target
from sslbench.bench.trace.shapes import (
    META,
    Alias,
    Constant,
    Effect,
    Fresh,
    Output,
    Same,
    Several,
    View,
    infer,
    pick,
)
from sslbench.bench.trace.tensor import (
    Block,
    Spec,
    TracedDeviceTensor,
    TracedTensor,
    is_dense,
    spec_of,
)

# Host tensors up to this size stay real, so that code which looks at small values runs as it is written.
REAL_HOST_BYTES = 1 << 20
_ACCUMULATE = "aten.add_.Tensor"
WORKSPACE = "library workspace"
"""Named as the operator of the storages that libraries keep."""


class Kernels(Protocol):
    """What a target's kernels allocate besides their outputs."""

    def temporaries(self, name: str, inputs: list[torch.Tensor], kwargs: dict[str, Any]) -> tuple[int, ...]:
        """Bytes of each storage that the kernel of an operator allocates and frees inside, in order."""

    def workspace_bytes(self, name: str) -> int:
        """Bytes that the library behind an operator keeps for a thread from its first use; 0: none."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Records storages and operators while it is active.

    Args:
        target: whose behaviour is recorded.
        kernels: what the target's kernels allocate inside.
    """

    def __init__(self, target: Target, kernels: Kernels) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.target = target
        self.cxx_device = META if target == "cuda" else torch.device("cpu")
        self.device = torch.device("cuda", 0) if target == "cuda" else torch.device("cpu")
        self.events: list[int] = []
        self.phase_marks: list[tuple[int, int]] = [(0, BUILD)]
        self.births: list[tuple[int, int, int, str]] = []
        """Size, phase, module and operator of every storage."""
        self.calls: list[Call] = []
        self.kinds: dict[OperatorKind, int] = {}
        self.parameters: dict[int, int] = {}
        """Elements of every `nn.Parameter` made, by its storage."""
        self.changed: set[int] = set()
        """Storages that an operator of the step changed in place."""
        self.tf32 = (False, True)
        """Whether fp32 matrix products and convolutions may run in TF32, as set when the last of them ran."""
        self.module = 0
        """Index of the module whose forward runs; kept by the module tracker."""
        self.in_optimizer = False
        self.started = False
        """False while model and optimizer are built."""
        self._phase = BUILD
        self._after_backward = False
        self._kernels = kernels
        self._workspaces: dict[bool, Block] = {}
        """Library workspaces by thread: autograd runs backward on its own (True)."""
        self._effects: dict[Any, tuple[Effect, int]] = {}
        self._class: type[TracedTensor] = TracedDeviceTensor if target == "cuda" else TracedTensor

    # ------------------------------------------------------------------ storages
    def new_tensor(self, spec: Spec, size: int, operator: str) -> TracedTensor:
        """A tensor in new storage of `size` bytes."""
        return self._tensor(spec, self._allocate(size, operator, host=spec[4]))

    def _tensor(self, spec: Spec, block: Block) -> TracedTensor:
        device = torch.device("cpu") if spec[4] else self.device
        return self._class.make(spec, block, self.cxx_device, device)

    def _allocate(self, size: int, operator: str, *, host: bool = False) -> Block:
        if host:
            return Block(-1, size, self.events)
        index = len(self.births)
        self.births.append((size, self._phase, self.module, operator))
        self.events.append(index)
        return Block(index, size, self.events)

    # ------------------------------------------------------------------ phases
    def update_phase(self) -> None:
        """Find out which part of the step runs now, from autograd's and the optimizer's state."""
        if not self.started:
            phase = BUILD
        elif torch._C._current_graph_task_id() != -1:  # the only way to know that backward runs
            phase = BACKWARD
            self._after_backward = True
        elif self.in_optimizer or (self._after_backward and not torch.is_grad_enabled()):
            phase = OPTIMIZER  # an EMA update after backward belongs to it
        else:
            phase = FORWARD
            self._after_backward = False
        if phase != self._phase:
            self._phase = phase
            self.phase_marks.append((len(self.events), phase))

    # ------------------------------------------------------------------ operators
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.update_phase()
        if not self.started and _is_initialisation(func, args):
            return args[0]
        special = SPECIAL.get(func)
        if special is not None:
            result = special(self, args, kwargs)
            if result is not NotImplemented:
                return result
        if self._is_real(func, types, args, kwargs):
            return self._real(func, args, kwargs)
        key = _call_key(func, args, kwargs)
        known = self._effects.get(key)
        if known is None:
            known = self._effects[key] = self._infer(func, args, kwargs)
        effect, kind = known
        return self._replay(effect, kind, args, kwargs)

    def _is_real(self, func: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the call concerns only real tensors of the host."""
        if any(issubclass(kind, TracedTensor) for kind in types) or _any_traced(args) or _any_traced(kwargs.values()):
            return False
        device = kwargs.get("device")
        if self.target == "cpu":
            makes_tensor = any(isinstance(ret.type, torch.TensorType) for ret in func._schema.returns)
            return _any_tensor(args) or not makes_tensor
        return device is None or torch.device(device).type not in ("cuda", "meta")

    def _real(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run on the host; a large factory of a CUDA target becomes a host tensor without data: it takes no memory."""
        if self.target == "cuda" and "device" in kwargs and not _any_tensor(args):
            size = func(*args, **{**kwargs, "device": META, "pin_memory": None, **_no_generator(kwargs)})
            if isinstance(size, torch.Tensor) and size.untyped_storage().nbytes() > REAL_HOST_BYTES:
                return self.new_tensor(spec_of(size, host=True), size.untyped_storage().nbytes(), str(func))
        return func(*args, **kwargs)

    def _infer(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Effect, int]:
        host = None
        device = kwargs.get("device")
        if self.target == "cuda" and device is not None:
            host = torch.device(device).type == "cpu"
        elif self.target == "cpu" or not (_any_traced(args) or _any_traced(kwargs.values())):
            host = False
        if func in _TF32:
            self.tf32 = _tf32_allowed()
        effect = infer(func, args, kwargs, host=host, temporaries=self._kernels.temporaries)
        return effect, self.kinds.setdefault(effect.kind, len(self.kinds))

    def _replay(self, effect: Effect, kind: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = effect.kind.name
        self._ensure_workspace(name)
        if effect.temporaries:
            inside = [self._allocate(size, name) for size in effect.temporaries]
            del inside
        made: list[Any] = []
        for output in effect.outputs:
            made.append(self._output(output, made, args, kwargs, name))
        self.calls.append(Call(kind, self._phase, self.module))
        if effect.written and self.started:
            for path in effect.written:
                changed = pick(args, kwargs, path)
                if isinstance(changed, TracedTensor):
                    self.changed.add(changed._block.index)
        return made[0] if effect.container is None else effect.container(made)

    def _ensure_workspace(self, name: str) -> None:
        """The workspace that a library takes at its first use on a thread, and keeps."""
        in_backward = self._phase == BACKWARD
        if in_backward not in self._workspaces:
            size = self._kernels.workspace_bytes(name)
            if size:
                self._workspaces[in_backward] = self._allocate(size, WORKSPACE)

    def _output(self, output: Output, made: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Any:
        match output:
            case Fresh(spec, size):
                return self._tensor(spec, self._allocate(size, name, host=spec[4]))
            case View(spec, path):
                return self._tensor(spec, pick(args, kwargs, path)._block)
            case Same(path):
                return pick(args, kwargs, path)
            case Constant(value):
                return value
            case Alias(spec, first):
                return self._tensor(spec, made[first]._block)
            case Several(parts):
                return [self._output(part, [], args, kwargs, name) for part in parts]

    # ------------------------------------------------------------------ operators that a trace has to answer itself
    def _item(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`.item()`: no data, so a plausible number: masks are all true, sizes and losses one."""
        tensor = args[0]
        if not isinstance(tensor, TracedTensor):
            return NotImplemented
        if tensor.dtype == torch.bool:
            return True
        value = tensor._block.value
        number = 1.0 if value is None else value
        return number if tensor.dtype.is_floating_point else int(number)

    def _to_copy(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A copy from the GPU to the host: small ones are real zeros, so that code can look at them."""
        tensor, device = args[0], kwargs.get("device")
        if self.target != "cuda" or not isinstance(tensor, TracedTensor) or device is None:
            return NotImplemented
        if torch.device(device).type == "cpu" and tensor.numel() * 8 <= REAL_HOST_BYTES:
            return torch.zeros(tensor.shape, dtype=kwargs.get("dtype") or tensor.dtype)
        return NotImplemented

    def _copy_(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A copy of traced data into a real host tensor leaves it as it is."""
        if not isinstance(args[0], TracedTensor) and isinstance(args[1], TracedTensor):
            return args[0]
        return NotImplemented

    def _accumulate(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Gradient accumulation inside autograd, in place as without a trace.

        The engine's input buffer adds into the old gradient where nothing else holds it, but makes a new tensor for
        tensor subclasses (`at::isTensorSubclassLike` in torch/csrc/autograd/input_buffer.cpp); that is undone here.
        """
        if self._phase != BACKWARD or torch.is_grad_enabled() or len(args) != 2 or kwargs:
            return NotImplemented
        old, new = args
        if not (isinstance(old, TracedTensor) and isinstance(new, TracedTensor)) or old._spec[:2] != new._spec[:2]:
            return NotImplemented
        alone = 2  # the tensor's own attribute and getrefcount's argument
        if sys.getrefcount(old._block) > alone or not is_dense(old._spec):
            return NotImplemented
        kind = OperatorKind(_ACCUMULATE, _inputs(old, new), 0, 2 * _bytes(old), _bytes(old))
        self.calls.append(Call(self.kinds.setdefault(kind, len(self.kinds)), self._phase, self.module))
        return self._tensor(old._spec, old._block)

    def _nonzero(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Selected positions: how many is data, so every one (the largest answer)."""
        tensor = args[0]
        if not isinstance(tensor, TracedTensor):
            return NotImplemented
        shape = torch.empty((tensor.numel(), tensor.dim()), dtype=torch.int64, device=META)
        host = tensor._spec[4]
        return self.new_tensor(spec_of(shape, host=host), shape.untyped_storage().nbytes(), "aten.nonzero.default")

    def _equal(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`torch.equal` of tensors without data: as if equal."""
        return True if _any_traced(args) else NotImplemented

    def _unscale(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """GradScaler's unscale: found_inf stays 0, as in a healthy step, so that the optimizer runs."""
        if isinstance(args[1], TracedTensor):
            args[1]._block.value = 0.0
        return NotImplemented


def _is_initialisation(func: Any, args: tuple[Any, ...]) -> bool:
    """Filling tensors in place while the model is built: without data there is nothing to fill."""
    in_place: bool = func._schema.name.endswith("_")
    return in_place and bool(args) and isinstance(args[0], TracedTensor)


def _tf32_allowed() -> tuple[bool, bool]:
    settings: Any = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]  # no stub
    matmul, convolution = (setting.fp32_precision == "tf32" for setting in settings)
    return matmul, convolution


def _no_generator(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"generator": None} if "generator" in kwargs else {}


def _inputs(*tensors: TracedTensor) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((str(t._spec[0]).removeprefix("torch."), t._spec[1]) for t in tensors)


def _bytes(tensor: TracedTensor) -> int:
    return tensor.numel() * tensor.element_size()


def _any_traced(values: Any) -> bool:
    return any(
        isinstance(value, TracedTensor) or (isinstance(value, list | tuple) and _any_traced(value)) for value in values
    )


def _any_tensor(values: Any) -> bool:
    return any(
        isinstance(value, torch.Tensor) or (isinstance(value, list | tuple) and _any_tensor(value)) for value in values
    )


def _call_key(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    # Numbers cannot change the shapes of an in-place operator; an optimizer's change every step.
    number = None if func._schema.is_mutable else float
    key = (func, tuple([_key(arg, number) for arg in args]))
    return (*key, tuple([(name, _key(arg, number)) for name, arg in kwargs.items()])) if kwargs else key


def _key(arg: Any, number: type | None) -> Any:  # noqa: PLR0911 - one line a type
    kind = type(arg)
    if isinstance(arg, TracedTensor):
        return arg._spec
    if kind is list or kind is tuple:
        return (kind, tuple([_key(item, number) for item in arg]))
    if kind is float:
        return (kind, arg if number else None)
    if kind is bool:
        return (kind, arg)
    if isinstance(arg, torch.Tensor):
        return ("real", *spec_of(arg))
    if isinstance(arg, torch.Generator):
        return torch.Generator
    return arg


_aten = torch.ops.aten
_TF32 = {_aten.mm.default, _aten.addmm.default, _aten.bmm.default, _aten.convolution.default}
SPECIAL: dict[Any, Callable[[Recorder, tuple[Any, ...], dict[str, Any]], Any]] = {
    _aten._local_scalar_dense.default: Recorder._item,
    _aten._to_copy.default: Recorder._to_copy,
    _aten.copy_.default: Recorder._copy_,
    _aten.add.Tensor: Recorder._accumulate,
    _aten.nonzero.default: Recorder._nonzero,
    _aten.equal.default: Recorder._equal,
    _aten._amp_foreach_non_finite_check_and_unscale_.default: Recorder._unscale,
}
