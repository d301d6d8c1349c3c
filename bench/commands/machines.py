"""`sslbench machines`: list, search and show machine profiles."""

import sys
from typing import TYPE_CHECKING

import click

from sslbench.bench.commands.options import list_format
from sslbench.bench.commands.output import print_json
from sslbench.bench.machines import find_machine, profile_errors
from sslbench.hardware_profiles.loader import search_machines, shipped_machines
from sslbench.hardware_profiles.schema import Device, Figure, Machine

if TYPE_CHECKING:
    from rich.table import Table


@click.group("machines", invoke_without_command=True)
@list_format
@click.pass_context
def command(context: click.Context, output_format: str) -> None:
    """List the machine profiles that come with sslbench.

    A machine is also any GPU that `search` finds, a TOML file, or `here`; `NAME:8` is the machine with eight of them.
    """
    if context.invoked_subcommand is None:
        with profile_errors():
            machines = shipped_machines()
        if output_format == "json":
            print_json([machine.model_dump(mode="json") for machine in machines])
        else:
            _print_table(_overview(machines))


@command.command()
@click.argument("text")
@list_format
def search(text: str, output_format: str) -> None:
    """Names that hold every word of TEXT, of shipped profiles and of the GPU database."""
    with profile_errors():
        names = search_machines(text)
    if output_format == "json":
        print_json(names)
    elif names:
        click.echo("\n".join(names))
    else:
        click.echo(f"no machine's name holds {text!r}", err=True)


@command.command()
@click.argument("name")
@list_format
def show(name: str, output_format: str) -> None:
    """Every figure of the machine NAME, with its origin.

    NAME is a profile, a GPU of the database, the path of a TOML file, or `here`.
    """
    machine = find_machine(name)
    if output_format == "json":
        print_json(machine.model_dump(mode="json"))
        return
    click.echo(f"{machine.title} ({machine.name})" + (f" x {machine.device_count}" if machine.device_count > 1 else ""))
    _print_table(_figures(machine))
    if machine.notes:
        click.echo(machine.notes)


def _overview(machines: list[Machine]) -> "Table":
    table = _table("name")
    for heading in ("memory", "bandwidth", "fp32", "fp16", "bf16", "power"):
        table.add_column(heading, justify="right", no_wrap=True)
    for machine in machines:
        device = machine.device
        peaks = [_peak(device.peak_flops_per_second.get(dtype)) for dtype in ("fp32", "fp16", "bf16")]
        power = f"{device.power_watts.value:.0f} W" if device.power_watts else "-"
        table.add_row(machine.name, _memory(device), _bandwidth(device), *peaks, power)
    table.caption = "Peaks are dense, in TFLOP/s, accumulating in fp32; - means no fast path, or unknown."
    return table


def _figures(machine: Machine) -> "Table":
    device, price = machine.device, machine.price
    table = _table("figure", "value", "basis")
    table.add_column("source", overflow="fold")
    rows: list[tuple[str, str, Figure | None]] = [
        ("memory", _memory(device), device.memory_bytes),
        ("memory bandwidth", _bandwidth(device), device.memory_bandwidth_bytes_per_second),
    ]
    rows += [(f"peak {k}", f"{_peak(v)} TFLOP/s", v) for k, v in device.peak_flops_per_second.items()]
    for label, scale, unit, figure in (
        ("last-level cache", 2**20, "MiB", device.l2_cache_bytes),
        ("operator launch", 1e-6, "us", device.launch_seconds),
        ("power limit", 1, "W", device.power_watts),
        ("rent", 1, "USD/h", price.rent_usd_per_hour),
        ("price", 1, "USD", price.buy_usd),
    ):
        rows.append((label, f"{figure.value / scale:.4g} {unit}" if figure else "", figure))
    for label, value, figure in rows:
        if figure is not None:
            table.add_row(label, value, figure.basis, figure.source)
    return table


def _memory(device: Device) -> str:
    return f"{device.memory_bytes.value / 2**30:.1f} GiB"


def _bandwidth(device: Device) -> str:
    return f"{device.memory_bandwidth_bytes_per_second.value / 1e9:,.0f} GB/s"


def _peak(figure: Figure | None) -> str:
    return f"{figure.value / 1e12:,.1f}" if figure else "-"


def _table(*headings: str) -> "Table":
    from rich import box  # noqa: PLC0415 - rich is loaded only to draw
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def _print_table(table: "Table") -> None:
    from rich.console import Console  # noqa: PLC0415

    # In a pipe there is no width to fit: lines stay whole, for grep.
    width = None if sys.stdout.isatty() else 240
    Console(markup=False, highlight=False, emoji=False, width=width).print(table)
