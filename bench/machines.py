"""Machines by name for the engine: the loader's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sslbench.bench.errors import MachineError
from sslbench.hardware_profiles.context import with_cuda, with_display
from sslbench.hardware_profiles.errors import ProfileError
from sslbench.hardware_profiles.loader import load_machine
from sslbench.hardware_profiles.schema import Figure, Links, Machine


@contextmanager
def profile_errors() -> Iterator[None]:
    """What the profiles' loader raises inside becomes a MachineError."""
    try:
        yield
    except ProfileError as error:
        raise MachineError(str(error)) from error


def find_machine(
    name: str,
    *,
    memory_bytes: int | None = None,
    cuda: str | None = None,
    display: bool = False,
    link: float | None = None,
    network: float | None = None,
    rent_usd_per_hour: float | None = None,
) -> Machine:
    """The machine of a name (see `load_machine`), changed as the user says.

    Args:
        name: a profile, a GPU, a file or `here`.
        memory_bytes: of the device, instead of the profile's.
        cuda: version of CUDA that PyTorch was built with; None: today's.
        display: whether a desktop runs on the device.
        link: bytes a second of one device to the others, in one direction; instead of the profile's.
        network: bytes a second of one whole machine to others, in one direction.
        rent_usd_per_hour: of one device; instead of the profile's.

    Raises:
        MachineError: unknown, ambiguous or malformed, or it has no such thing.
    """
    with profile_errors():
        machine = load_machine(name)
        device = machine.device
        if memory_bytes is not None:
            device = device.model_copy(update={"memory_bytes": _given(memory_bytes)})
        if cuda is not None:
            device = with_cuda(device, cuda)
        if display:
            device = with_display(device)
    changes: dict[str, Any] = {} if device is machine.device else {"device": device}
    if link is not None or network is not None:
        changes["links"] = _links(machine, link, network)
    if rent_usd_per_hour is not None:
        changes["price"] = machine.price.model_copy(update={"rent_usd_per_hour": _given(rent_usd_per_hour)})
    return machine.model_copy(update=changes) if changes else machine


def _given(value: float) -> Figure:
    return Figure(value=value, basis="derived", source="given by the user")


def _links(machine: Machine, link: float | None, network: float | None) -> Links:
    """The machine's links with the user's figures.

    Raises:
        MachineError: there is a network, but what connects the devices of one machine is not known.
    """
    if machine.links is None and link is None:
        raise MachineError(f"{machine.name}: what connects its devices is not known: say --link, such as 32GB/s, too")
    links = machine.links or Links(kind="pcie", bytes_per_second=_given(link or 0.0))
    changes = {"bytes_per_second": link, "network_bytes_per_second": network}
    return links.model_copy(update={name: _given(value) for name, value in changes.items() if value is not None})
