"""The dispatch mode that sees every operator of a step and records what it allocates and computes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from sslbench.bench.errors import TraceError
from sslbench.bench.trace.devices import check_devices
from sslbench.bench.trace.events import BACKWARD, BUILD, FORWARD, OPTIMIZER, WORKSPACE, Call, OperatorKind, Target
from sslbench.bench.trace.lines import UNKNOWN, Origin, SourceLines
from sslbench.bench.trace.numbers import remember_number
from sslbench.bench.trace.refused import NO_GPU
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
    any_traced,
    spec_of,
)

# Host tensors up to this size stay real, so that code which looks at small values runs as it is written.
REAL_HOST_BYTES = 1 << 20


class Kernels(Protocol):
    """What a target's kernels allocate besides their outputs."""

    def temporaries(
        self, name: str, inputs: list[torch.Tensor], arguments: dict[str, Any], outputs: list[torch.Tensor]
    ) -> tuple[int, ...]:
        """Bytes of each storage that the kernel of an operator allocates and frees inside, beside its outputs.

        Args:
            name: ATen name with overload.
            inputs: every tensor among the arguments, in order, as meta tensors.
            arguments: the arguments by their schema's names, defaults included.
            outputs: what is made in new storage.
        """

    def workspace_bytes(self, name: str) -> int:
        """Bytes that the library behind an operator keeps for a thread from its first use; 0: none."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Records storages and operators while it is active.

    Args:
        target: whose behaviour is recorded.
        kernels: what the target's kernels allocate inside.
        answers: operators that are not recorded as they are, since their result depends on data or on the engine.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # True, torch's default, would import torch._dynamo at the first operator (a second) and wrap every call.
        return False

    def __init__(self, target: Target, kernels: Kernels, answers: Mapping[Any, "Answer"]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.target = target
        self.cxx_device = META if target == "cuda" else torch.device("cpu")
        self.device = torch.device("cuda", 0) if target == "cuda" else torch.device("cpu")
        self.events: list[int] = []
        self.phase_marks: list[tuple[int, int]] = [(0, BUILD)]
        self.births: list[tuple[int, int, int, str, int]] = []
        """Size, phase, module, operator and source line of every storage."""
        self.source = SourceLines()
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
        self.questions = 0
        """How often the step asked for a tensor's value."""
        self.started = False
        """False while model and optimizer are built."""
        self._phase = BUILD
        self._after_backward = False
        self._kernels = kernels
        self._answers = answers
        self._origin: Origin = UNKNOWN
        """Source line and module of the operator that runs."""
        self._workspaces: dict[bool, Block] = {}
        """Library workspaces by thread: autograd runs backward on its own (True)."""
        self._effects: dict[Any, tuple[Effect, int]] = {}
        self._class: type[TracedTensor] = TracedDeviceTensor if target == "cuda" else TracedTensor
        self._real_blocks: Any = WeakTensorKeyDictionary()
        """Storages of a CPU target's real tensors: the counters of optimizers and of batch norms."""

    # ------------------------------------------------------------------ storages
    def new_tensor(self, spec: Spec, size: int, operator: str) -> TracedTensor:
        """A tensor in new storage of `size` bytes."""
        self.locate()
        return self.tensor(spec, self._allocate(size, operator, host=spec[4]))

    def tensor(self, spec: Spec, block: Block) -> TracedTensor:
        """A tensor over a block that exists."""
        device = torch.device("cpu") if spec[4] else self.device
        return self._class.make(spec, block, self.cxx_device, device)

    def _allocate(self, size: int, operator: str, *, host: bool = False) -> Block:
        if host:
            return Block(-1, size, self.events)
        index = len(self.births)
        line, module = self._origin
        self.births.append((size, self._phase, module, operator, line))
        self.events.append(index)
        return Block(index, size, self.events)

    def locate(self) -> None:
        """Find the source line and the module of the operator that runs, for what is recorded next."""
        find = self.source.forward if self._phase == FORWARD else self.source.elsewhere
        self._origin = find(self.module)

    # ------------------------------------------------------------------ phases
    @property
    def in_backward(self) -> bool:
        """Whether autograd's engine runs."""
        return self._phase == BACKWARD

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
        answer = self._answers.get(func)
        if answer is not None:
            result = answer(self, func, args, kwargs)
            if result is not NotImplemented:
                return result
        result = self.run(func, args, kwargs, types)
        if isinstance(result, TracedTensor) and not result._spec[1]:
            remember_number(func, args, kwargs, result)
        return result

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], types: Any = ()) -> Any:
        """Record the call of an operator and return what it makes."""
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
        if any(issubclass(kind, TracedTensor) for kind in types) or any_traced(args) or any_traced(kwargs.values()):
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
        result = func(*args, **kwargs)
        if self.target == "cpu":
            self._note_real(result, args, str(func))
        return result

    def _note_real(self, result: Any, args: tuple[Any, ...], operator: str) -> None:
        """Record the storage of a real result, unless it is known or that of an argument that is known."""
        if not isinstance(result, torch.Tensor):
            for part in result if isinstance(result, list | tuple) else ():
                self._note_real(part, args, operator)
        elif result not in self._real_blocks:
            storage = result.untyped_storage()
            blocks = (
                self._real_blocks[arg]
                for arg in args
                if isinstance(arg, torch.Tensor)
                and arg in self._real_blocks
                and arg.untyped_storage()._cdata == storage._cdata
            )
            block = next(blocks, None)
            self.locate()
            self._real_blocks[result] = block or self._allocate(storage.nbytes(), operator)

    def storage_of(self, tensor: Any) -> int | None:
        """Index of a tensor's storage; None for what is no tensor or has none that counts."""
        if isinstance(tensor, TracedTensor):
            block: Block | None = tensor._block
        else:
            block = self._real_blocks.get(tensor) if isinstance(tensor, torch.Tensor) else None
        return block.index if block is not None and block.index >= 0 else None

    def _infer(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Effect, int]:
        if self.target == "cuda":
            check_devices(func, args, kwargs)
        host = None
        device = kwargs.get("device")
        if self.target == "cpu" and device is not None and torch.device(device).type == "cuda":
            raise TraceError(NO_GPU)  # torch asks for a driver first, but only once in a process
        if self.target == "cuda" and device is not None:
            host = torch.device(device).type == "cpu"
        elif self.target == "cpu" or not (any_traced(args) or any_traced(kwargs.values())):
            host = False
        if func.overloadpacket in _TF32:
            self.tf32 = _tf32_allowed()
        effect = infer(func, args, kwargs, host=host, temporaries=self._kernels.temporaries)
        return effect, self.kind_index(effect.kind)

    def kind_index(self, kind: OperatorKind) -> int:
        """Index of a kind of operator, new or known."""
        return self.kinds.setdefault(kind, len(self.kinds))

    def called(self, kind: int, reads: Iterable[Any] = (), writes: Iterable[Any] = ()) -> None:
        """Record one call of a kind of operator, from the place that `locate` found.

        Args:
            kind: its index.
            reads: what it takes; tensors, lists of them, and others.
            writes: what it makes or changes.
        """
        line, module = self._origin
        self.calls.append(Call(kind, self._phase, module, line, tuple(_storages(reads)), tuple(_storages(writes))))

    def _replay(self, effect: Effect, kind: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = effect.kind.name
        self.locate()
        self._ensure_workspace(name)
        made: list[Any] = []
        for output in effect.outputs:
            made.append(self._output(output, made, args, kwargs, name))
        if effect.temporaries:
            inside = [self._allocate(size, name) for size in effect.temporaries]
            del inside
        changed = [pick(args, kwargs, path) for path in effect.written]
        if effect.kind.is_view:
            self.called(kind)
        else:
            self.called(kind, (*args, *kwargs.values()), (*made, *changed))
        if self.started:
            self.changed.update(_storages(changed))
        return made[0] if effect.container is None else effect.container(made)

    def _ensure_workspace(self, name: str) -> None:
        """The workspace that a library takes at its first use on a thread, and keeps."""
        if self.in_backward not in self._workspaces:
            size = self._kernels.workspace_bytes(name)
            if size:
                self._workspaces[self.in_backward] = self._allocate(size, WORKSPACE)

    def _output(self, output: Output, made: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Any:
        match output:
            case Fresh(spec, size):
                return self.tensor(spec, self._allocate(size, name, host=spec[4]))
            case View(spec, path):
                return self.tensor(spec, pick(args, kwargs, path)._block)
            case Same(path):
                return pick(args, kwargs, path)
            case Constant(value):
                return value
            case Alias(spec, first):
                return self.tensor(spec, made[first]._block)
            case Several(parts):
                return [self._output(part, [], args, kwargs, name) for part in parts]


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


def _storages(values: Iterable[Any]) -> Iterator[int]:
    """Indices of the storages of the traced tensors among values and lists of them."""
    for value in values:
        if isinstance(value, TracedTensor):
            if value._block.index >= 0:
                yield value._block.index
        elif type(value) in (list, tuple):
            yield from _storages(value)


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
_TF32 = (_aten.mm, _aten.addmm, _aten.bmm, _aten.baddbmm, _aten.convolution)
Answer = Callable[[Recorder, Any, tuple[Any, ...], dict[str, Any]], Any]
"""Called as (recorder, operator, args, kwargs); returns NotImplemented to have the call recorded as it is."""
