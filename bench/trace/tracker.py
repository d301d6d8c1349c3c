"""Who makes what: the module whose forward runs, the optimizer's turn, and each storage's category."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch.nn.modules import module as torch_module
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from sslbench.bench.trace.events import BUILD, FORWARD, WORKSPACE
from sslbench.bench.trace.recorder import Recorder


class Tracker:
    """Watches modules and optimizers through torch's global hooks while a recorder runs."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.modules: dict[str, int] = {"": 0}
        self.roles: dict[int, str] = {}
        """Category of a storage, by its index, where its role is known."""
        self.homes: dict[int, int] = {}
        """Module that holds a parameter, or whose it is a gradient or a state of, by storage."""
        self.parameter_elements = 0
        self._optimized: set[int] = set()
        self._paths: dict[int, int] = {}
        self._stack: list[int] = []
        self._known: WeakSet[torch.nn.Module] = WeakSet()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """While active, hooks keep the recorder informed."""
        with ExitStack() as stack:
            for handle in (
                torch_module.register_module_parameter_registration_hook(self._registered),
                torch_module.register_module_buffer_registration_hook(self._registered),
                torch_module.register_module_forward_pre_hook(self._enter),
                torch_module.register_module_forward_hook(self._leave, always_call=True),
                register_optimizer_step_pre_hook(self._before_update),
                register_optimizer_step_post_hook(self._after_update),
            ):
                stack.callback(handle.remove)
            yield

    def built(self) -> None:
        """Model and optimizer exist: note which storages are parameters and buffers, after moves between devices."""
        gone = {~event for event in self.recorder.events if event < 0}
        for index, elements in self.recorder.parameters.items():
            if index >= 0 and index not in gone:
                self.roles[index] = "parameter"
                self.parameter_elements += elements
        for module in self._known:
            self._note_buffers(module)

    def gradients(self) -> None:
        """Note the gradients that exist now (for a step that has no optimizer)."""
        for module in self._known:
            for parameter in module._parameters.values():
                if parameter is not None:
                    self._note(parameter.grad, "gradient", parameter)

    def category(self, index: int, birth_phase: int, death: int | None, backward_start: int | None) -> str:
        """Category of a storage from its role, else from when it lived.

        Args:
            index: the storage.
            birth_phase: the phase that made it.
            death: index into the events of its end; None: alive at the end.
            backward_start: index into the events where the backward after its birth starts; None: there is none.
        """
        role = self.roles.get(index)
        if role == "parameter" and index in self.recorder.changed and index not in self._optimized:
            return "buffer"  # changed by the step but not by an optimizer: an EMA copy of a model
        if role is not None:
            return role
        if self.recorder.births[index][3] == WORKSPACE:
            return "temporary"
        if birth_phase == BUILD:
            return "input"
        if birth_phase == FORWARD and (backward_start is None or death is None or death > backward_start):
            return "activation"
        return "temporary"

    # ------------------------------------------------------------------ hooks
    def _registered(self, module: torch.nn.Module, name: str, value: Any) -> None:
        self._known.add(module)

    def _enter(self, module: torch.nn.Module, args: Any) -> None:
        if not self._stack and id(module) not in self._paths:
            self._name(module)
        self._stack.append(self.recorder.module)
        self.recorder.module = self._paths.get(id(module), self.recorder.module)

    def _leave(self, module: torch.nn.Module, args: Any, output: Any) -> None:
        if self._stack:
            self.recorder.module = self._stack.pop()

    def _name(self, root: torch.nn.Module) -> None:
        for path, module in root.named_modules():
            name = f"{type(root).__name__}.{path}" if path else type(root).__name__
            self._paths[id(module)] = self.modules.setdefault(name, len(self.modules))
            self._known.add(module)  # copies of modules are made without registration
            self._note_buffers(module)
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                index = self.recorder.storage_of(tensor)
                if index is not None:
                    self.homes.setdefault(index, self._paths[id(module)])

    def _note_buffers(self, module: torch.nn.Module) -> None:
        for buffer in module._buffers.values():
            self._note(buffer, "buffer")

    def _before_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        for parameter in _parameters(optimizer):
            index = self._note(parameter, "parameter")
            if index is not None:
                self._optimized.add(index)
            self._note(parameter.grad, "gradient", parameter)
        self.recorder.in_optimizer = True

    def _after_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.recorder.in_optimizer = False
        for parameter, state in optimizer.state.items():
            for value in state.values() if isinstance(state, dict) else ():
                self._note(value, "optimizer state", parameter)

    def _note(self, tensor: Any, category: str, parameter: Any = None) -> int | None:
        """Note a tensor's role; a parameter's gradient or state belongs to the parameter's module."""
        index = self.recorder.storage_of(tensor)
        if index is not None:
            self.roles.setdefault(index, category)
            owner = self.recorder.storage_of(parameter)
            home = None if owner is None else self.homes.get(owner)
            if home is not None:
                self.homes.setdefault(index, home)
        return index


def _parameters(optimizer: Optimizer) -> Iterator[torch.Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]
