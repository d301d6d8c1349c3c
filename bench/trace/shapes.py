"""What an operator's call makes, found once for each combination of operator and argument shapes.

The operator runs on meta tensors (shapes without data); from what comes back follows, for every output, whether it is
new storage, a view of an input, an input itself, or another output's storage. That recipe is replayed for later calls.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

from sslbench.bench.trace.events import OperatorKind
from sslbench.bench.trace.layout import as_kernels_lay_out
from sslbench.bench.trace.tensor import Spec, TracedTensor, bytes_of, spec_of

Path = tuple[int | str, ...]
"""Where an argument stands: position or keyword, then indices into lists."""
META = torch.device("meta")


@dataclass(frozen=True, slots=True)
class Fresh:
    """An output in new storage."""

    spec: Spec
    size: int


@dataclass(frozen=True, slots=True)
class View:
    """An output in the storage of an argument."""

    spec: Spec
    path: Path


@dataclass(frozen=True, slots=True)
class Same:
    """An output that is an argument."""

    path: Path


@dataclass(frozen=True, slots=True)
class Alias:
    """An output in the storage of an earlier output."""

    spec: Spec
    output: int


@dataclass(frozen=True, slots=True)
class Constant:
    """An output that is no tensor."""

    value: Any


@dataclass(frozen=True, slots=True)
class Several:
    """An output that is a list of tensors."""

    parts: tuple[Any, ...]


Output = Fresh | View | Same | Alias | Constant | Several


@dataclass(frozen=True, slots=True)
class Effect:
    """What a call makes and costs."""

    kind: OperatorKind
    outputs: tuple[Output, ...]
    container: Callable[[list[Any]], Any] | None
    """What wraps the outputs: None for a single one, else `tuple` or `list`."""
    temporaries: tuple[int, ...]
    """Bytes of each storage that the kernel allocates and frees inside."""
    written: tuple[Path, ...]
    """Arguments that the operator changes in place."""


def pick(args: tuple[Any, ...], kwargs: dict[str, Any], path: Path) -> Any:
    """The argument at a path."""
    first = path[0]
    value = args[first] if isinstance(first, int) else kwargs[first]
    for index in path[1:]:
        value = value[index]
    return value


class _MetaCall:
    """One call's arguments as meta tensors that alias each other as the originals do."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.storages: dict[int, torch.Tensor] = {}
        self.storage_paths: dict[int, Path] = {}
        self.tensor_paths: dict[int, Path] = {}
        self.inputs: list[torch.Tensor] = []
        self.host = True
        """Whether every traced input lies on the host of a CUDA target."""
        self.args = tuple(self._convert(arg, (position,)) for position, arg in enumerate(args))
        self.kwargs = {name: self._convert(arg, (name,)) for name, arg in kwargs.items()}
        for name in ("generator", "pin_memory"):
            if name in self.kwargs:
                self.kwargs[name] = None

    def _convert(self, arg: Any, path: Path) -> Any:
        if isinstance(arg, TracedTensor):
            return self._traced(arg, path)
        if isinstance(arg, torch.Tensor):
            if arg.dim() == 0:  # a host scalar takes part in type promotion as a number does
                return arg
            meta = torch.empty_strided(arg.shape, arg.stride(), dtype=arg.dtype, device=META)
            self.tensor_paths[id(meta)] = path
            self.inputs.append(meta)
            return meta
        if isinstance(arg, list | tuple):
            return type(arg)(self._convert(item, (*path, index)) for index, item in enumerate(arg))
        if isinstance(arg, torch.device):
            return META
        return arg

    def _traced(self, arg: TracedTensor, path: Path) -> torch.Tensor:
        dtype, shape, strides, offset, host = arg._spec
        self.host &= host
        block = arg._block
        base = self.storages.get(id(block))
        if base is None:
            base = self.storages[id(block)] = torch.empty(block.size, dtype=torch.uint8, device=META)
            self.storage_paths[_storage_key(base)] = path
        meta = torch.empty(0, dtype=dtype, device=META)
        meta.set_(base.untyped_storage(), offset, shape, strides)
        self.tensor_paths[id(meta)] = path
        self.inputs.append(meta)
        return meta


def _storage_key(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # identity of the storage


def infer(
    func: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    host: bool | None,
    temporaries: Callable[[str, list[torch.Tensor], dict[str, Any], list[torch.Tensor]], tuple[int, ...]],
) -> Effect:
    """Run `func` on meta tensors and describe what it makes.

    Args:
        func: the ATen operator overload.
        args: its arguments, traced tensors among them.
        kwargs: its keyword arguments.
        host: whether outputs lie on the host of a CUDA target; None: as the inputs do.
        temporaries: bytes that the target's kernel allocates inside, from the operator's name, tensor inputs, named
            arguments and new outputs.

    Raises:
        NotImplementedError: the operator has no meta kernel and is not purely in place.
    """
    call = _MetaCall(args, kwargs)
    schema = func._schema
    if not call.inputs and any(parameter.name == "device" for parameter in schema.arguments):
        call.kwargs["device"] = META  # a factory: without it the data would be made
    out = _run(func, call, args, kwargs)
    on_host = call.host if host is None else host
    outputs, container = _outputs(out, call, on_host)
    new = [part.spec for part in _flat(outputs) if isinstance(part, Fresh)]
    changed = tuple(_written(schema, args, kwargs))
    is_view = not new and not schema.is_mutable and any(isinstance(part, View | Same) for part in _flat(outputs))
    specs = [spec_of(tensor) for tensor in call.inputs]
    mutated = [spec_of(meta) for meta in call.inputs if call.tensor_paths[id(meta)] in changed]
    name = str(func)
    kind = OperatorKind(
        name=name,
        inputs=tuple((str(spec[0]).removeprefix("torch."), spec[1]) for spec in specs),
        flops=_flops(func, call, out),
        bytes_read=0 if is_view else sum(_touched(spec) for spec in specs),
        bytes_written=0 if is_view else sum(map(bytes_of, new)) + sum(map(_touched, mutated)),
        is_view=is_view,
        channels_last=any(map(_is_channels_last, call.inputs)),
    )
    fresh = [tensor for tensor in _tensors(out) if _storage_key(tensor) not in call.storage_paths]
    inside = () if on_host else temporaries(name, call.inputs, _named(schema, call), fresh)
    return Effect(kind, tuple(outputs), container, inside, changed)


def _named(schema: Any, call: _MetaCall) -> dict[str, Any]:
    """Arguments by their schema's names, defaults included."""
    given = zip((parameter.name for parameter in schema.arguments), call.args, strict=False)
    return {parameter.name: parameter.default_value for parameter in schema.arguments} | dict(given) | call.kwargs


def _tensors(out: Any) -> Iterator[torch.Tensor]:
    if isinstance(out, torch.Tensor):
        yield out
    elif isinstance(out, list | tuple):
        for item in out:
            yield from _tensors(item)


def _touched(spec: Spec) -> int:
    """Bytes of the distinct elements: a broadcast (stride 0) dimension is read once."""
    return int(spec[0].itemsize * math.prod(n for n, stride in zip(spec[1], spec[2], strict=True) if stride or not n))


def _run(func: Any, call: _MetaCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return as_kernels_lay_out(func, call.args, func(*call.args, **call.kwargs))
    except NotImplementedError as error:
        from torch._decomp import decomposition_table  # noqa: PLC0415 - rare, and slow to import

        if func in decomposition_table:
            return decomposition_table[func](*call.args, **call.kwargs)
        if not _is_in_place(func._schema):
            raise error from None
        return _in_place(func, call, args, kwargs)


def _is_in_place(schema: Any) -> bool:
    return schema.is_mutable and all(ret.alias_info is not None for ret in schema.returns)


def _in_place(func: Any, call: _MetaCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a purely in-place operator that has no meta kernel: its first changed argument, or nothing."""
    schema = func._schema
    if not schema.returns:
        return None
    return pick(call.args, call.kwargs, next(_written(schema, args, kwargs))[:1])


def _written(schema: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Path]:
    for position, parameter in enumerate(schema.arguments):
        if parameter.alias_info is None or not parameter.alias_info.is_write:
            continue
        first: int | str = position if position < len(args) and not parameter.kwarg_only else parameter.name
        if isinstance(first, str) and first not in kwargs:
            continue
        value = pick(args, kwargs, (first,))
        if isinstance(value, list | tuple):
            yield from ((first, index) for index in range(len(value)))
        elif isinstance(value, torch.Tensor):
            yield (first,)


def _outputs(out: Any, call: _MetaCall, host: bool) -> tuple[list[Output], Callable[[list[Any]], Any] | None]:
    single = not isinstance(out, tuple | list)
    container = None if single else (list if isinstance(out, list) else tuple)
    seen: dict[int, int] = {}
    described: list[Output] = []
    for index, item in enumerate([out] if single else out):
        if isinstance(item, tuple | list):
            described.append(Several(tuple(_describe(part, call, host) for part in item)))
            continue
        part = _describe(item, call, host)
        if isinstance(part, Fresh):
            first = seen.setdefault(_storage_key(item), index)
            if first != index:
                part = Alias(part.spec, first)
        described.append(part)
    return described, container


def _describe(item: Any, call: _MetaCall, host: bool) -> Output:
    if not isinstance(item, torch.Tensor):
        return Constant(item)
    if id(item) in call.tensor_paths:
        return Same(call.tensor_paths[id(item)])
    spec = spec_of(item, host=host)
    path = call.storage_paths.get(_storage_key(item))
    return Fresh(spec, item.untyped_storage().nbytes()) if path is None else View(spec, path)


def _flat(outputs: list[Output]) -> Iterator[Output]:
    for output in outputs:
        if isinstance(output, Several):
            yield from output.parts
        else:
            yield output


def _is_channels_last(tensor: torch.Tensor) -> bool:
    return (
        tensor.dim() == 4
        and tensor.is_contiguous(memory_format=torch.channels_last)
        and not tensor.is_contiguous()
        and min(tensor.shape[1:]) > 1  # else both layouts have the same strides
    )


def _flops(func: Any, call: _MetaCall, out: Any) -> int:
    """Operations by torch.utils.flop_counter's formulas; its backward of grouped convolutions is wrong.

    There it counts the weight's gradient as if there were no groups, 1824 times too much for a depthwise convolution of
    1824 channels. Each gradient takes as many operations as the forward pass.
    """
    if func is torch.ops.aten.convolution_backward.default:
        grad, _, weight = call.args[:3]
        wanted = sum(call.args[-1][:2])  # output_mask: input, weight, bias
        return int(wanted * 2 * grad.numel() * math.prod(weight.shape[1:]))
    formula = flop_registry.get(func.overloadpacket)
    return int(formula(*call.args, **call.kwargs, out_val=out)) if formula else 0
