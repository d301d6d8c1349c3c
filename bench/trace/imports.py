"""Models imported and traced without what only compilers and distributed training need of torch: half of the time.

transformers imports torch._dynamo and torch.distributed.tensor beside its models, for decorators and annotations, and
torch's optimizers and shape checks import torch._dynamo and sympy when they are first called. A trace runs eagerly, in
one process, on sizes that are numbers, and needs none of it.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

import torch

_DYNAMO = "torch._dynamo"
_TRANSFORM = "torch._dynamo._trace_wrapped_higher_order_op"
_CONFIG = "torch._dynamo.config"
_TOGETHER = (_DYNAMO, _TRANSFORM, _CONFIG)
_SHAPES = "torch.fx.experimental.symbolic_shapes"
_DECORATORS = ("allow_in_graph", "assume_constant_result", "disable")
"""Of torch._dynamo and torch.compiler: they say how a function is compiled."""


class _TransformGetItemToIndex:
    """The mode of that name in torch._dynamo, which is imported when one is made: few models need it."""

    def __new__(cls) -> Any:
        _forget(*_TOGETHER)
        return importlib.import_module(_TRANSFORM).TransformGetItemToIndex()


class _StandIn(ModuleType):
    """Has what model code asks of torch._dynamo while it is imported; asked for more, it gives way to the real one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system's own questions
            raise AttributeError(name)
        _forget(self.__name__, *(_TOGETHER if self.__name__ in _TOGETHER else ()))
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def light_imports() -> Iterator[None]:
    """While active, importing transformers' models leaves torch._dynamo and torch.distributed.tensor alone."""
    with eager_only(), ExitStack() as stack:
        for name in _DECORATORS:
            stack.enter_context(mock.patch.object(torch.compiler, name, _as_it_is))
        stack.enter_context(mock.patch.object(torch.distributed, "is_available", _never))
        yield


@contextmanager
def eager_only() -> Iterator[None]:
    """While active, torch imports torch._dynamo and sympy only for what the stand-ins do not have."""
    if _DYNAMO in sys.modules:  # somebody has paid for it, or it stands in already
        yield
        return
    for name, has in _STAND_INS.items():
        if name not in sys.modules:
            sys.modules[name] = stand_in = _StandIn(name)
            vars(stand_in).update(has)
    vars(sys.modules[_DYNAMO])["config"] = sys.modules[_CONFIG]
    try:
        yield
    finally:
        _forget(*_STAND_INS)


def _forget(*names: str) -> None:
    """Take stand-ins away, so that the next import finds the real modules."""
    for name in names:
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


def _as_it_is(function: Any = None, *args: Any, **kwargs: Any) -> Any:
    """A decorator, with or without arguments, that changes nothing."""
    return (lambda decorated: decorated) if function is None else function


def _nothing(*args: Any, **kwargs: Any) -> None:
    """What a graph break is where there is no graph."""


def _always(*args: Any) -> bool:
    return True


def _never(*args: Any) -> bool:
    return False


def _no_symbols(*args: Any) -> set[Any]:
    return set()


def _every(*conditions: Any) -> bool:
    return all(conditions)


def _some(*conditions: Any) -> bool:
    return any(conditions)


def _equal(left: Any, right: Any) -> bool:
    """Whether two sizes, or two shapes, are the same; a list may equal a tuple."""
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return list(left) == list(right)
    return bool(left == right)


_STAND_INS: dict[str, dict[str, Any]] = {
    _DYNAMO: {"graph_break": _nothing, **dict.fromkeys(_DECORATORS, _as_it_is)},
    _CONFIG: {"error_on_nested_fx_trace": True},  # checkpointing sets it for a while
    _TRANSFORM: {"TransformGetItemToIndex": _TransformGetItemToIndex},
    # Of numbers, a check and every guard say what they are asked.
    _SHAPES: {
        "free_unbacked_symbols": _no_symbols,
        "guarding_hint_or_throw": _as_it_is,
        "has_guarding_hint": _always,
        "is_nested_int": _never,
        "sym_and": _every,
        "sym_eq": _equal,
        "sym_or": _some,
        **dict.fromkeys(
            (
                "expect_true",
                "guard_bool",
                "guard_or_false",
                "guard_or_true",
                "guard_size_oblivious",
                "statically_known_true",
            ),
            bool,
        ),
    },
}
