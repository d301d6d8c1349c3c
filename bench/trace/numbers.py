"""Single numbers that a step computes: what follows from Python's numbers is known, and every other number is 1.

So `int(torch.div(16000 - 10, 5))` is what it is without a trace, and `if labels.max() >= vocabulary:` is false.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from sslbench.bench.trace.tensor import TracedTensor

UNKNOWN = 1.0
_aten = torch.ops.aten
_COMPARISONS: dict[Any, Callable[[Any, Any], bool]] = {
    getattr(getattr(_aten, name), overload): getattr(operator, name)
    for name in ("lt", "le", "gt", "ge", "eq", "ne")
    for overload in ("Scalar", "Tensor")
}
MADE_OF_NUMBERS = (
    _aten.arange.default,
    _aten.arange.start,
    _aten.arange.start_step,
    _aten.full.default,
    _aten.linspace.default,
    _aten.ones.default,
    _aten.scalar_tensor.default,
    _aten.zeros.default,
)
"""Operators whose result follows from Python's numbers alone."""
_ARITHMETIC = frozenset(
    getattr(getattr(_aten, name), overload)
    for name in ("add", "sub", "mul", "div", "remainder", "floor_divide", "pow", "maximum", "minimum", "floor", "ceil")
    for overload in getattr(_aten, name).overloads()
    if "out" not in overload
) | {_aten._to_copy.default, _aten.clone.default}


def number_of(value: Any) -> Any:
    """The number that a tensor of one element answers with."""
    if not isinstance(value, torch.Tensor):
        return value
    if not isinstance(value, TracedTensor):
        return value.item()
    known = value.known_data()
    if known is not None:
        return known.item()
    return UNKNOWN if value._block.value is None else value._block.value


def remember_number(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: TracedTensor) -> None:
    """Note what is known of a result without dimensions."""
    compare = _COMPARISONS.get(func)
    if compare is not None:
        if result._block.value is None:
            result._block.value = float(compare(number_of(args[0]), number_of(args[1])))
    elif func in _ARITHMETIC:
        tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
        if all(_is_known(tensor) for tensor in tensors):
            know(func, tuple(_data(arg) for arg in args), kwargs, result)


def know(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: TracedTensor) -> None:
    """Compute the call for real, and remember what it gives."""
    options = {name: value for name, value in kwargs.items() if name not in ("device", "pin_memory")}
    with _disable_current_modes():
        result._block.known = (func(*args, **options), result._version)


def _is_known(tensor: torch.Tensor) -> bool:
    return tensor.dim() == 0 and (not isinstance(tensor, TracedTensor) or tensor.known_data() is not None)


def _data(arg: Any) -> Any:
    return arg.known_data() if isinstance(arg, TracedTensor) else arg
