"""What a report's numbers rest on: the figures of each machine, with their sources, and the software that ran."""

from collections.abc import Iterator
from dataclasses import dataclass

from sslbench.bench.quantities import Environment
from sslbench.hardware_profiles.schema import Figure, Machine
from sslbench.reports.units import format_bytes, format_seconds, format_si
from sslbench.reports.words import LABEL_LENGTH, machine_title, plain


@dataclass(frozen=True, slots=True)
class MachineTable:
    """A machine's figures as (figure, value, basis, source)."""

    title: str
    name: str
    notes: str
    figures: tuple[tuple[str, str, str, str], ...]


def machine_table(machine: Machine) -> MachineTable:
    """Every figure of the profile with its origin."""
    return MachineTable(
        title=machine_title(machine),
        name=plain(machine.name, LABEL_LENGTH),
        notes=plain(machine.notes),
        figures=tuple((label, value, figure.basis, plain(figure.source)) for label, value, figure in _figures(machine)),
    )


def _figures(machine: Machine) -> Iterator[tuple[str, str, Figure]]:
    device = machine.device
    yield "memory", format_bytes(device.memory_bytes.value), device.memory_bytes
    bandwidth = device.memory_bandwidth_bytes_per_second
    yield "memory bandwidth", format_si(bandwidth.value, "B/s"), bandwidth
    if device.l2_cache_bytes:
        yield "last-level cache", format_bytes(device.l2_cache_bytes.value), device.l2_cache_bytes
    for dtype, figure in device.peak_flops_per_second.items():
        yield f"dense peak, {dtype}", format_si(figure.value, "FLOP/s"), figure
    yield "operator launch", format_seconds(device.launch_seconds.value), device.launch_seconds
    if device.power_watts:
        yield "power limit", format_si(device.power_watts.value, "W"), device.power_watts
    if machine.price.rent_usd_per_hour:
        rent = machine.price.rent_usd_per_hour
        yield "rent", f"{rent.value:,.2f} USD/h", rent
    if machine.price.buy_usd:
        yield "price", f"{machine.price.buy_usd.value:,.0f} USD", machine.price.buy_usd


def environment_rows(environment: Environment) -> tuple[tuple[str, str], ...]:
    """Software and host as (name, value)."""
    rows = (
        ("sslbench", environment.sslbench),
        ("Python", environment.python),
        ("platform", environment.platform),
        ("processor", f"{environment.processor}, {environment.logical_cores} logical cores"),
        ("memory", format_bytes(environment.memory_bytes)),
        *environment.packages.items(),
    )
    return tuple((plain(name, LABEL_LENGTH), plain(value)) for name, value in rows)
