"""Machines by name for the engine: the loader's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from sslbench.bench.errors import MachineError
from sslbench.hardware_profiles.context import with_cuda, with_display
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


def find_machine(
    name: str, *, memory_bytes: int | None = None, cuda: str | None = None, display: bool = False
) -> Machine:
    """The machine of a name (see `load_machine`), changed as the user says.

    Args:
        name: a profile, a GPU, a file or `here`.
        memory_bytes: of the device, instead of the profile's.
        cuda: version of CUDA that PyTorch was built with; None: today's.
        display: whether a desktop runs on the device.

    Raises:
        MachineError: unknown, ambiguous or malformed, or it has no such thing.
    """
    with profile_errors():
        machine = load_machine(name)
        device = machine.device
        if memory_bytes is not None:
            memory = Figure(value=memory_bytes, basis="derived", source="given by the user")
            device = device.model_copy(update={"memory_bytes": memory})
        if cuda is not None:
            device = with_cuda(device, cuda)
        if display:
            device = with_display(device)
    return machine if device is machine.device else machine.model_copy(update={"device": device})
