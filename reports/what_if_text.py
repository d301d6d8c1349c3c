"""`fit --what-if` on a terminal of 80 columns: batches down, settings across."""

from collections.abc import Iterator, Sequence
from math import ceil

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sslbench.bench.record import Record
from sslbench.reports.terminal import VERDICT_STYLES, show
from sslbench.reports.what_if import Cell, MachineView, SettingsView, what_ifs
from sslbench.reports.words import unknown_reason

_COLUMNS = 6
"""Settings that find room side by side."""

_ASCII = {"fits": "", "tight": "~", "spills": "~", "does-not-fit": "x", "none": "?"}


def print_what_ifs(records: Sequence[Record], console: Console) -> None:
    """One table a machine, or two where there are many settings; else why there is none."""
    for view in what_ifs(records):
        for machine in view.machines:
            head = Text.assemble(("What if", "bold"), f" on {machine.machine}, {machine.capacity}; own: {view.own}")
            show(console, Text(), head)
            for settings in _beside(machine.settings):
                show(console, _table(settings, console))
            show(console, *map(Text, _reasons(machine)))
    reasons = dict.fromkeys(filter(None, (unknown_reason(record, "what_if") for record in records)))
    show(console, *(Text(f"\nWhat if: not known: {reason}") for reason in reasons))


def _beside(settings: Sequence[SettingsView]) -> Iterator[Sequence[SettingsView]]:
    """Settings in as few tables as find room, all about as wide."""
    tables = ceil(len(settings) / _COLUMNS)
    width = ceil(len(settings) / tables)
    return (settings[start : start + width] for start in range(0, len(settings), width))


def _table(settings: Sequence[SettingsView], console: Console) -> Table:
    ascii_only = console.options.ascii_only
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("batch", justify="right")
    for each in settings:
        table.add_column(Text(each.label.replace(", checkpointing", "\n+checkpt")), justify="right", no_wrap=True)
    table.add_row(Text("largest", "bold"), *(Text(each.largest, "bold") for each in settings))
    for place, first in enumerate(settings[0].cells):
        table.add_row(first.batch, *(_cell(each.cells[place], ascii_only=ascii_only) for each in settings))
    return table


def _cell(cell: Cell, *, ascii_only: bool) -> Text:
    if cell.unknown:
        return Text("?")
    symbol = _ASCII[cell.verdict.key] if ascii_only else cell.verdict.symbol
    text = Text(f"{symbol} {cell.required}", VERDICT_STYLES[cell.verdict.key])
    return text if cell.verdict.key == "does-not-fit" else text.append(f"\n{cell.step}", "default")


def _reasons(machine: MachineView) -> list[str]:
    """Why cells are not known, each reason once."""
    found = {cell.unknown: each.label for each in machine.settings for cell in each.cells if cell.unknown}
    return [f"? {label}: {reason}" for reason, label in found.items()]
