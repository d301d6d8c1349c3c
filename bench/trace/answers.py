"""Operators that a trace answers itself: what depends on data, and what autograd's engine does without a trace.

Without data every mask is true, nothing is NaN or infinite, and a number is 1.
"""

import math
import sys
from typing import Any

import torch
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import _disable_current_modes

from sslbench.bench.errors import TraceError
from sslbench.bench.trace.events import OperatorKind
from sslbench.bench.trace.numbers import MADE_OF_NUMBERS, know, number_of
from sslbench.bench.trace.recorder import REAL_HOST_BYTES, Answer, Recorder
from sslbench.bench.trace.shapes import META
from sslbench.bench.trace.tensor import TracedTensor, any_traced, bytes_of, is_dense, spec_of

MAX_KNOWN = 4096
"""Elements of the largest tensor whose data is remembered, where it was given from Python."""
MAX_QUESTIONS = 20_000
"""More values than any step asks for; a loop that waits for data asks for ever."""
Args = tuple[Any, ...]
Kwargs = dict[str, Any]
_aten = torch.ops.aten


def _item(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """`.item()`, `if tensor:`, `float(tensor)`."""
    tensor = args[0]
    if not isinstance(tensor, TracedTensor):
        return NotImplemented
    recorder.questions += 1
    if recorder.questions > MAX_QUESTIONS:
        raise TraceError("a loop waits for the value of a tensor, and a trace has no values: bound the loop")
    if recorder.target == "cuda" and not tensor._spec[4]:
        _waited(recorder, str(func), tensor)
    value = number_of(tensor)
    if tensor.dtype == torch.bool:
        return bool(value)
    return value if tensor.dtype.is_floating_point else int(value)


def _waited(recorder: Recorder, name: str, tensor: TracedTensor) -> None:
    """The call that copies a number to the host, which waits until the GPU has it."""
    inputs = ((str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)),)
    size = tensor.element_size()
    recorder.locate()
    recorder.called(recorder.kind_index(OperatorKind(name, inputs, 0, size, size)), (tensor,))


def _never(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Whether there is a NaN or an infinity, also asked as `x != x` or `x == inf`: not in a healthy step."""
    if not isinstance(args[0], TracedTensor):
        return NotImplemented
    if func is _aten.ne.Tensor and args[0] is not args[1]:
        return NotImplemented
    if func is _aten.eq.Scalar and not math.isinf(args[1]):
        return NotImplemented
    return _with_value(recorder.run(func, args, kwargs), 0.0)


def _reduce(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """`any()`, `all()`, `or`: what is known of the inputs is known of the result."""
    values = [arg._block.value for arg in args if isinstance(arg, TracedTensor)]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return NotImplemented
    return _with_value(recorder.run(func, args, kwargs), max(known))


def _with_value(tensor: TracedTensor, value: float) -> TracedTensor:
    tensor._block.value = value
    return tensor


def _unscale(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """GradScaler's unscale: found_inf stays 0, so that the optimizer runs."""
    if isinstance(args[1], TracedTensor):
        args[1]._block.value = 0.0
    return NotImplemented


def _to_copy(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A copy between a GPU and its host: small data that was on the host stays known, else it becomes ones."""
    tensor, device = args[0], kwargs.get("device")
    if recorder.target != "cuda" or device is None:
        return NotImplemented
    if torch.device(device).type != "cpu":
        return NotImplemented if isinstance(tensor, TracedTensor) else _known_copy(recorder, func, args, kwargs)
    if isinstance(tensor, TracedTensor) and tensor.numel() * 8 <= REAL_HOST_BYTES:
        real = tensor.on_host().contiguous()
        return real.to(kwargs.get("dtype") or tensor.dtype)
    return NotImplemented


def _known_copy(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    made = recorder.run(func, args, kwargs)
    if isinstance(made, TracedTensor) and made.numel() <= MAX_KNOWN and made.is_contiguous():
        with _disable_current_modes():
            data = args[0].to(made.dtype, memory_format=torch.contiguous_format, copy=True)
        made._block.known = (data, made._version)
    return made


def _copy_(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A copy of traced data into a real host tensor leaves it as it is."""
    if not isinstance(args[0], TracedTensor) and isinstance(args[1], TracedTensor):
        return args[0]
    return NotImplemented


def _made_of_numbers(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """`torch.linspace(0, 0.1, 12)` and its kind: small ones are known, such as the rates of stochastic depth."""
    made = recorder.run(func, args, kwargs)
    if isinstance(made, TracedTensor) and made.numel() <= MAX_KNOWN:
        know(func, args, kwargs, made)
    return made


def _repeats(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """`repeat_interleave` by a tensor: its sum where it is known, else once each, as a number is 1."""
    repeats = args[0]
    if not isinstance(repeats, TracedTensor) or kwargs.get("output_size") is not None:
        return NotImplemented
    return recorder.run(func, args, {**kwargs, "output_size": int(repeats.on_host().sum())})


def _in_place_view(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """`x.transpose_(...)` and its kind change the shape of the tensor itself, below the wrapper as well as in it."""
    tensor = args[0]
    if not isinstance(tensor, TracedTensor):
        return NotImplemented
    recorder.run(func, args, kwargs)
    with no_dispatch():
        func(*args, **kwargs)
    tensor._spec = spec_of(tensor, host=tensor._spec[4])
    return tensor


def _equal(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """`torch.equal` and `torch.allclose` of tensors without data: as if equal."""
    return True if any_traced(args) else NotImplemented


def _nonzero(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Selected positions: how many is data, so all of them (the largest answer)."""
    return _positions(recorder, args[0]) if isinstance(args[0], TracedTensor) else NotImplemented


def _positions(recorder: Recorder, mask: TracedTensor) -> TracedTensor:
    shape = torch.empty((mask.numel(), mask.dim()), dtype=torch.int64, device=META)
    spec = spec_of(shape, host=mask._spec[4])
    return recorder.new_tensor(spec, shape.untyped_storage().nbytes(), "aten.nonzero.default")


def _index(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """`x[mask]`, read or written: CUDA too turns the mask into positions first (expandTensors in IndexingUtils.h)."""
    if not any_traced(args) or not any(_is_mask(index) for index in args[1]):
        return NotImplemented
    positions: list[Any] = []
    for index in args[1]:
        if not _is_mask(index):
            positions.append(index)
        elif isinstance(index, TracedTensor):
            positions += _positions(recorder, index).unbind(1)
        else:
            positions += index.nonzero().unbind(1)  # a real mask of the host: its values are known
    return func(args[0], positions, *args[2:], **kwargs)


def _is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)


def _masked_select(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """On CUDA an index with the mask (masked_select_out_cuda_impl)."""
    if not any_traced(args):
        return NotImplemented
    tensor, mask = torch.broadcast_tensors(args[0], args[1])  # type: ignore[no-untyped-call]  # torch's own
    return _aten.index.Tensor(tensor, [mask])


def _accumulate(recorder: Recorder, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Gradient accumulation inside autograd, in place as without a trace.

    The engine's input buffer adds into the old gradient where nothing else holds it, but makes a new tensor for
    tensor subclasses (`at::isTensorSubclassLike` in torch/csrc/autograd/input_buffer.cpp); that is undone here.
    """
    if not recorder.in_backward or torch.is_grad_enabled() or len(args) != 2 or kwargs:
        return NotImplemented
    old, new = args
    if not (isinstance(old, TracedTensor) and isinstance(new, TracedTensor)) or old._spec[:2] != new._spec[:2]:
        return NotImplemented
    alone = 2  # the tensor's own attribute and getrefcount's argument
    if sys.getrefcount(old._block) > alone or not is_dense(old._spec):
        return NotImplemented
    inputs = tuple((str(tensor._spec[0]).removeprefix("torch."), tensor._spec[1]) for tensor in (old, new))
    size = bytes_of(old._spec)
    recorder.locate()
    recorder.called(recorder.kind_index(OperatorKind("aten.add_.Tensor", inputs, 0, 2 * size, size)), args, args[:1])
    return recorder.tensor(old._spec, old._block)


_TRUTHS = (
    _aten.any.default,
    _aten.all.default,
    _aten._is_any_true.default,
    _aten._is_all_true.default,
    _aten.logical_or.default,
    _aten.bitwise_or.Tensor,
)
_IN_PLACE_VIEWS = (
    _aten.as_strided_.default,
    _aten.squeeze_.default,
    _aten.squeeze_.dim,
    _aten.squeeze_.dims,
    _aten.t_.default,
    _aten.transpose_.default,
    _aten.unsqueeze_.default,
)
ANSWERS: dict[Any, Answer] = {
    _aten._amp_foreach_non_finite_check_and_unscale_.default: _unscale,
    _aten._local_scalar_dense.default: _item,
    _aten._to_copy.default: _to_copy,
    _aten.add.Tensor: _accumulate,
    _aten.copy_.default: _copy_,
    _aten.allclose.default: _equal,
    _aten.equal.default: _equal,
    _aten.masked_select.default: _masked_select,
    _aten.nonzero.default: _nonzero,
    _aten.repeat_interleave.Tensor: _repeats,
    **dict.fromkeys((_aten.isnan.default, _aten.isinf.default, _aten.ne.Tensor, _aten.eq.Scalar), _never),
    **dict.fromkeys(_TRUTHS, _reduce),
    **dict.fromkeys((_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default), _index),
    _aten._index_put_impl_.default: _index,
    **dict.fromkeys(_IN_PLACE_VIEWS, _in_place_view),
    **dict.fromkeys(MADE_OF_NUMBERS, _made_of_numbers),
}
