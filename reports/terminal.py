"""Predictions on a terminal: one in full, several as tables of at most 80 columns; plain text in a pipe."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sslbench.bench.record import Record
from sslbench.reports.groups import PredictionGroup
from sslbench.reports.measurement import MeasurementView
from sslbench.reports.memory import MemoryBar
from sslbench.reports.report_view import build_report
from sslbench.reports.sharpening import once
from sslbench.reports.view import PredictionView, verdict_line
from sslbench.reports.words import NOT_KNOWN, RecipeLabel

VERDICT_STYLES = {
    "fits": "bold green",
    "tight": "bold yellow",
    "spills": "bold magenta",
    "does-not-fit": "bold red",
    "none": "",
}
BAR_WIDTH = 30


def print_predictions(records: Sequence[Record], console: Console) -> None:
    """One prediction in full, or a table a recipe with one row a machine."""
    groups = build_report([record for record in records if record.kind == "prediction"]).groups
    views = [view for group in groups for view in group.predictions]
    if len(views) == 1:
        show(console, _full(views[0], console))
        return
    for place, group in enumerate(groups):
        show(console, *([Text()] if place else []), heading(group.recipe), Text(), _machines(group))
    for text in once(view.sharpened_by for view in views):
        show(console, Text(f"step times sharpened by {text}"))
    show(console, *warning_lines(views))


def show(console: Console, *parts: RenderableType) -> None:
    """Print parts as they are: no markup, no highlighting."""
    for part in parts:
        console.print(part, highlight=False, markup=False, emoji=False)


def heading(recipe: RecipeLabel) -> Text:
    """Title and settings of a recipe."""
    return Text.assemble((recipe.title, "bold"), "\n", (recipe.settings, "dim"))


def _full(view: PredictionView, console: Console) -> RenderableType:
    on = Text.assemble("on ", (view.machine, "bold"), f", {view.backend}")
    parts: list[RenderableType] = [heading(view.recipe), on, Text(), _verdict(view), Text()]
    if view.bar:
        parts += [_breakdown(view.bar, console), Text()]
    moot = " if it fit" if view.verdict.key == "does-not-fit" else ""
    interval = f", 90 % interval {view.step_interval}" if view.step_interval else ""
    rows = [
        ("step time", f"{view.step_time}{moot}{interval}"),
        ("sharpened by", view.sharpened_by),
        ("without it", view.unsharpened),
        ("throughput", f"{view.throughput}{moot}"),
        ("largest batch that fits", view.max_batch),
        *view.run.rows,
        ("work", view.work),
    ]
    return Group(*parts, facts(rows), *warning_lines([view]))


def _verdict(view: PredictionView) -> Text:
    text = Text(verdict_line(view))
    text.stylize(VERDICT_STYLES[view.verdict.key], 0, len(view.verdict.word))
    return text


def _breakdown(bar: MemoryBar, console: Console) -> Table:
    """Every category with its size and a bar, scaled to the largest."""
    block = "#" if console.options.ascii_only else "█"
    widest = max(segment.bytes for segment in bar.segments)
    table = grid()
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for segment in bar.segments:
        length = max(1, round(BAR_WIDTH * segment.bytes / widest))
        table.add_row(Text(segment.label), segment.size, Text(segment.share, "dim"), Text(block * length, "cyan"))
    table.add_row(Text("together", "bold"), Text(bar.total, "bold"), "", Text("predicted peak", "dim"))
    return table


def _machines(group: PredictionGroup) -> Table:
    """One row a machine; every column but the machine's stays on one line, 77 columns for names of up to 14."""
    rates = {view.throughput.rpartition(" ")[2] for view in group.predictions if view.throughput != NOT_KNOWN}
    unit = rates.pop() if len(rates) == 1 else ""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("machine", overflow="fold", min_width=14)
    table.add_column("verdict", no_wrap=True, min_width=12)
    for name, width in (("memory", 13), ("P(fits)", 7), ("step", 8), (unit or "throughput", 11), ("batch", 6)):
        table.add_column(name, no_wrap=True, justify="right", min_width=width)
    for view in group.predictions:
        table.add_row(
            Text(view.machine_name),
            Text(view.verdict.word, VERDICT_STYLES[view.verdict.key]),
            _short(view.memory.replace(" of ", "/")),
            view.probability or "?",
            _short(view.step_time),
            _short(view.throughput.removesuffix(" " + unit) if unit else view.throughput),
            _short(view.max_batch),
        )
    return table


def facts(rows: Sequence[tuple[str, RenderableType]]) -> Table:
    """Names and values, without those that are empty."""
    table = grid()
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in rows:
        if value:
            table.add_row(name, Text(value) if isinstance(value, str) else value)
    return table


def grid() -> Table:
    """A table without lines."""
    return Table.grid(padding=(0, 2, 0, 0))


def warning_lines(views: Sequence[PredictionView | MeasurementView]) -> list[Text]:
    """Every warning of some views, once."""
    unique = dict.fromkeys(warning for view in views for warning in view.warnings)
    return [Text.assemble(("warning: ", "yellow"), warning) for warning in unique]


def _short(text: str) -> str:
    return "?" if text == NOT_KNOWN else text
