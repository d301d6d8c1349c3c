"""Which module of a network an operator was run in, so that an error can name it. Imports torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules import module as hooks


class Homes:
    """Notes the module of every operator's first call.

    Args:
        network: whose modules have names.
    """

    def __init__(self, network: nn.Module) -> None:
        self._names = {
            id(part): f"{name or 'the network'} ({type(part).__name__})" for name, part in network.named_modules()
        }
        self._stack: list[str] = []
        self._first: dict[str, str] = {}

    def note(self, operator: Any) -> None:
        """Remember where `operator` is being run, if it is in a module."""
        if self._stack:
            self._first.setdefault(str(operator), self._stack[-1])

    def of(self, operator: str) -> str:
        """The module that first ran an operator, or the forward operator of which it is the backward."""
        forward = operator.replace("_backward_data", "").replace("_backward", "")
        packet = forward.rpartition(".")[0]
        for name in (operator, forward):
            if name in self._first:
                return self._first[name]
        kin = [home for name, home in self._first.items() if packet and name.rpartition(".")[0] == packet]
        return kin[0] if kin else "the loss or the update"

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, modules tell when they begin and end."""

        def enter(part: nn.Module, _args: Any) -> None:
            self._stack.append(self._names.get(id(part), self._stack[-1] if self._stack else type(part).__name__))

        def leave(_part: nn.Module, _args: Any, _output: Any) -> None:
            self._stack.pop()

        handles = [
            hooks.register_module_forward_pre_hook(enter),
            hooks.register_module_forward_hook(leave, always_call=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._stack.clear()
