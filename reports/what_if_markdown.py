"""`fit --what-if` as tables of Markdown: batches down, settings across."""

from collections.abc import Iterator

from sslbench.reports.gfm import escape, table
from sslbench.reports.what_if import Cell, MachineView, WhatIfView


def what_if_markdown(view: WhatIfView) -> str:
    """One table a machine."""
    title = f"### What if: {escape(view.recipe.title)}, predicted"
    parts = [title, f"The recipe's own settings: {escape(view.own)}."]
    return "\n\n".join(part for part in (*parts, *(text for machine in view.machines for text in _machine(machine))))


def _machine(machine: MachineView) -> Iterator[str]:
    yield f"**{escape(machine.machine)}**, {escape(machine.capacity)}"
    rows = zip(*(settings.cells for settings in machine.settings), strict=True)
    yield table(
        ["Batch", *(escape(settings.label) for settings in machine.settings)],
        [
            ["largest", *(f"**{escape(settings.largest)}**" for settings in machine.settings)],
            *([cells[0].batch, *map(_cell, cells)] for cells in rows),
        ],
    )


def _cell(cell: Cell) -> str:
    if cell.unknown:
        return escape(cell.unknown)
    found = f"{cell.verdict.symbol} {cell.required}"
    return escape(found if cell.verdict.key == "does-not-fit" else f"{found}, {cell.step}")
