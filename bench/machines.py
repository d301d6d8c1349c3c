"""Machines by name for the engine: the loader's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from sslbench.bench.errors import MachineError
from sslbench.hardware_profiles.errors import ProfileError
from sslbench.hardware_profiles.loader import load_machine
from sslbench.hardware_profiles.schema import Figure, Machine


@contextmanager
def profile_errors() -> Iterator[None]:
    """What the profiles' loader raises inside becomes a MachineError."""
    try:
        yield
    except ProfileError as error:
        raise MachineError(str(error)) from error


def find_machine(name: str, *, memory_bytes: int | None = None) -> Machine:
    """The machine of a name (see `load_machine`), with its device memory overridden where given.

    Raises:
        MachineError: unknown, ambiguous or malformed.
    """
    with profile_errors():
        machine = load_machine(name)
    if memory_bytes is None:
        return machine
    memory = Figure(value=memory_bytes, basis="derived", source="given by the user")
    return machine.model_copy(update={"device": machine.device.model_copy(update={"memory_bytes": memory})})
