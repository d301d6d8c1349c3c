"""`fit --explain` on a terminal of 80 columns, and as Markdown."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from rich.console import Console, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from sslbench.bench.record import Record
from sslbench.reports.explain import ExplainView, explain_views
from sslbench.reports.gfm import escape, folded, table
from sslbench.reports.timeline import CAPACITY, LAYERS, Chart, Layer, chart

_AXIS = 10
"""Columns of the labels beside the chart."""
_MOST_COLUMNS = 100
MARKDOWN_COLUMNS = 72


def print_explanations(records: Sequence[Record], console: Console) -> None:
    """Chart and tables of every record that is explained."""
    views = explain_views(records)
    with console.capture() as capture:
        for view in views:
            title = (Text(), Text(view.machine, "bold underline")) if len(views) > 1 else ()
            for part in (*title, *_sections(view, console)):
                console.print(part, highlight=False, markup=False, emoji=False)
    text = capture.get()
    if console.options.ascii_only:  # units and sources have other letters, which would not encode
        text = text.replace("µ", "u").encode("ascii", "replace").decode()
    console.file.write(text)


def _sections(view: ExplainView, console: Console) -> Iterator[RenderableType]:
    ascii_only = console.options.ascii_only
    yield from _heading("Memory", f"over the {view.part}")
    drawn = chart(view.explanation.timeline, view.room_bytes, min(console.width - _AXIS - 2, _MOST_COLUMNS))
    if drawn is not None:
        yield from _chart(drawn, ascii_only=ascii_only)
        yield _legend(drawn, ascii_only=ascii_only)
    yield Text(f"peaks: {view.phase_peaks}")
    if view.room:
        yield Text(view.room)
    yield from _heading("Alive at the peak", view.alive_total)
    yield _alive(view)
    yield from _heading("Longest operators", view.device_time)
    yield _operators(view)
    yield from _heading("Constants", "that are not the step's own")
    yield _constants(view)


def _heading(title: str, detail: str) -> tuple[Text, Text]:
    return Text(), Text.assemble((title, "bold"), " ", (detail, "dim"))


# ---------------------------------------------------------------------- chart
def _chart(drawn: Chart, *, ascii_only: bool) -> Iterator[Text]:
    yield Text(" " * (_AXIS + 1) + _peak_line(drawn, ascii_only=ascii_only))
    for label, cells in drawn.rows:
        tick = ("+" if label else "|") if ascii_only else ("┤" if label else "│")
        text = Text(f"{label:>{_AXIS}}{tick}")
        for layer in cells:
            text.append(_mark(layer, ascii_only=ascii_only), layer.style)
        yield text
    yield Text(" " * _AXIS + _phase_line(drawn, ascii_only=ascii_only), "dim")


def _mark(layer: Layer, *, ascii_only: bool) -> str:
    return layer.ascii if ascii_only else layer.shade


def _peak_line(drawn: Chart, *, ascii_only: bool) -> str:
    mark = "v" if ascii_only else "▼"
    words = f"peak {drawn.peak}" + (f" in {drawn.peak_phase}" if drawn.peak_phase else "")
    if drawn.peak_column + 2 + len(words) <= len(drawn.rows[0][1]):
        return " " * drawn.peak_column + f"{mark} {words}"
    return f"{words} {mark}".rjust(drawn.peak_column + 1)


def _phase_line(drawn: Chart, *, ascii_only: bool) -> str:
    """The phases under the axis: `└forward────┴backward────┴optimizer───`."""
    corner, tee, dash = ("+", "+", "-") if ascii_only else ("└", "┴", "─")
    width = len(drawn.rows[0][1])
    line = [dash] * width
    for (name, start), (_, end) in pairwise((*drawn.phases, ("", width))):
        room = end - start - (1 if start else 0)
        if start:
            line[start] = tee
        for place, letter in enumerate(name[: max(room, 0)], start + (1 if start else 0)):
            line[place] = letter
    return corner + "".join(line)


def _legend(drawn: Chart, *, ascii_only: bool) -> Text:
    present = {layer for _, cells in drawn.rows for layer in cells}
    parts = [
        Text.assemble((_mark(layer, ascii_only=ascii_only), layer.style), f" {layer.label}")
        for layer in (*LAYERS, CAPACITY)
        if layer in present
    ]
    return Text("  ").join(parts)


# ---------------------------------------------------------------------- tables
def _grid(*justify: JustifyMethod) -> Table:
    """Columns of figures and one of words, which takes the rest of the line."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for each in justify:
        grid.add_column(justify=each, no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _alive(view: ExplainView) -> Table:
    grid = _grid("right", "right")
    for row in view.alive:
        made = ", ".join(filter(None, (row.storages, row.made_by)))
        grid.add_row(row.size, Text(row.share, "dim"), Text.assemble(row.module, ("\n" + made, "dim")))
    return grid


def _operators(view: ExplainView) -> Table:
    grid = _grid("right", "right", "left", "right", "right")
    for row in view.operators:
        figures = (row.bound, Text(row.intensity, "dim"), Text(row.reached, "dim"))
        grid.add_row(row.time, Text(row.share, "dim"), *figures, Text(f"{row.calls} {row.operator}".strip()))
    return grid


def _constants(view: ExplainView) -> Table:
    grid = _grid("right")
    for row in view.constants:
        grid.add_row(row.value, Text.assemble(f"{row.name}: {row.meaning}", ("\nSource: " + row.source, "dim")))
    return grid


# ---------------------------------------------------------------------- Markdown
def explanations_markdown(records: Sequence[Record]) -> str:
    """The explanations as Markdown; empty where no record is explained."""
    return "".join(f"\n{part}\n" for view in explain_views(records) for part in _markdown(view))


def _markdown(view: ExplainView) -> Iterator[str]:
    yield f"### Explained: {escape(view.machine)}"
    yield f"**Memory** over the {escape(view.part)}. Peaks: {escape(view.phase_peaks)}. {escape(view.room)}".rstrip()
    drawn = chart(view.explanation.timeline, view.room_bytes, MARKDOWN_COLUMNS)
    if drawn is not None:
        lines = [*_chart(drawn, ascii_only=False), _legend(drawn, ascii_only=False)]
        text = "\n".join(line.plain.rstrip() for line in lines)
        yield f"```text\n{text.replace('`', chr(39))}\n```"
    yield f"**Alive at the peak:** {escape(view.alive_total)}"
    yield table(
        ("Bytes", "Share", "Storages", "Module", "Made by"),
        (tuple(map(escape, (row.size, row.share, row.storages, row.module, row.made_by))) for row in view.alive),
    )
    yield f"**Longest operators:** {escape(view.device_time)}"
    yield table(
        ("Time", "Share", "Bound by", "Intensity", "Reaches", "Calls", "Operator"),
        (
            tuple(
                map(
                    escape,
                    (row.time, row.share, row.bound, row.intensity, row.reached, row.calls, row.operator),
                )
            )
            for row in view.operators
        ),
    )
    constants = table(
        ("Constant", "Value", "Meaning", "Source"),
        (tuple(map(escape, (row.name, row.value, row.meaning, row.source))) for row in view.constants),
    )
    yield folded("Constants that are not the step's own", constants)
