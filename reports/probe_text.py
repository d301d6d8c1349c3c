"""A probed machine on the terminal and as Markdown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sslbench.hardware_profiles.schema import Machine
from sslbench.reports.gfm import escape, table
from sslbench.reports.probe import ProbeView, probe_view

if TYPE_CHECKING:
    from rich.table import Table

_FIGURES = ("figure", "measured", "rated", "of rated")
_KERNELS = ("kernel", "sizes", "noise", "size", "time", "rate")
_BEST = ("kernel", "best rate", "at size")


def probe_markdown(machine: Machine) -> str:
    """Tables of the figures and of every size of every kernel."""
    view = probe_view(machine)
    parts = [f"## {escape(view.title)}", escape(view.made), escape(view.processor)]
    parts += [f"**Doubtful**: {escape(warning)}" for warning in view.warnings]
    for header, rows in ((_FIGURES, _figure_rows(view)), (_KERNELS, _kernel_rows(view))):
        parts.append(table(header, [tuple(map(escape, row)) for row in rows]))
    return "\n\n".join(part for part in parts if part) + "\n"


def print_probe(machine: Machine) -> None:
    """The figures and the best rates on the terminal; every size is in the profile and on its page."""
    from rich.console import Console  # noqa: PLC0415 - rich is loaded only to draw

    view = probe_view(machine)
    console = Console(markup=False, highlight=False, emoji=False)
    for line in (view.title, view.made, view.processor):
        console.print(line)
    console.print(_drawn(_FIGURES, _figure_rows(view), len(_FIGURES) if view.has_rated else 2))
    console.print(_drawn(_BEST, [(each.title, each.best.rate, each.best.shape) for each in view.kernels if each.best]))
    for warning in view.warnings:
        console.print(f"doubtful: {warning}")


def _drawn(header: Sequence[str], rows: Sequence[Sequence[str]], columns: int | None = None) -> "Table":
    """A table's first columns, all by default; words to the left, numbers to the right."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, heading in enumerate(header[:columns]):
        drawn.add_column(heading, justify="right" if position else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*row[:columns])
    return drawn


def _figure_rows(view: ProbeView) -> list[tuple[str, ...]]:
    return [(row.name, row.measured, row.rated, row.share) for row in view.figures]


def _kernel_rows(view: ProbeView) -> list[tuple[str, ...]]:
    """A kernel's name stands in its first row only."""
    rows: list[tuple[str, ...]] = []
    for kernel in view.kernels:
        for number, point in enumerate(kernel.points):
            head = (kernel.title, kernel.shape_names, kernel.noise) if number == 0 else ("", "", "")
            rows.append((*head, point.shape, point.time, point.rate))
    return rows
