"""Measurements on a terminal: one in full, several of a recipe as a table of what varies; plain text in a pipe."""

from collections.abc import Sequence

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from sslbench.bench.record import Record
from sslbench.reports.measurement import MeasurementView
from sslbench.reports.phases import PhaseBar
from sslbench.reports.ranks import ScalingView
from sslbench.reports.sweep import Sweep, SweepRow, sweeps
from sslbench.reports.terminal import facts, grid, heading, show, warning_lines
from sslbench.reports.words import NOT_KNOWN

_BAR_WIDTH = 24
_ERROR = "pred."
_NUMBERS = ("batch", "tokens", "pixels", "threads", "devices")
_SHORT = {"precision": "prec."}

_Column = tuple[str, list[str]]


def print_measurements(records: Sequence[Record], console: Console) -> None:
    """One measurement in full, or a table for each recipe with one row a measurement; then the warnings."""
    found = sweeps([record for record in records if record.kind == "measurement"])
    for place, sweep in enumerate(found):
        parts = [_full(sweep.rows[0].view, console)] if len(sweep.rows) == 1 else _table(sweep, console)
        show(console, *([Text()] if place else []), *parts)
    show(console, *warning_lines([row.view for sweep in found for row in sweep.rows]))


def _full(view: MeasurementView, console: Console) -> RenderableType:
    on = Text.assemble("measured on ", (view.machine, "bold"), f", {view.backend}")
    return Group(heading(view.recipe), on, Text(), facts(_ran(view, console) if not view.failure else _failed(view)))


def _failed(view: MeasurementView) -> list[tuple[str, RenderableType]]:
    return [
        ("did not run", Text(view.failure, "bold red")),
        ("", Text(view.failure_message)),
        ("predicted", view.predicted),
        ("state", _joined(view.state)),
    ]


def _ran(view: MeasurementView, console: Console) -> list[tuple[str, RenderableType]]:
    step = f"{view.step_time} {view.margin}".rstrip()
    memory = f"{view.memory}, {view.memory_basis}" if view.memory_basis else view.memory
    return [
        ("step time", ", ".join(filter(None, (step, view.step_basis, view.spread)))),
        ("throughput", ", ".join(filter(None, (view.throughput, view.tokens)))),
        ("arithmetic", ", ".join(filter(None, (view.arithmetic, view.arithmetic_basis)))),
        ("phases", _phases(view.phases, console) if view.phases else ""),
        ("memory", memory),
        ("", _joined(view.memory_rows)),
        ("model", view.model),
        ("energy", ", ".join(filter(None, (view.energy, view.energy_basis)))),
        ("loader", ", ".join(filter(None, (view.loader, view.loader_basis)))),
        ("scaling", _scaling(view.scaling) if view.scaling else ""),
        ("predicted", view.predicted),
        ("state", _joined(view.state)),
        ("snapshot", view.snapshot),
    ]


def _joined(rows: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in rows)


def _phases(bar: PhaseBar, console: Console) -> Table:
    """Every phase with its time, a bar, and the peak of its tensors."""
    block = "#" if console.options.ascii_only else "█"
    widest = max(segment.width for segment in bar.segments)
    table = grid()
    sides: tuple[JustifyMethod, ...] = ("left", "right", "right", "left", "right")
    for justify in sides:
        table.add_column(justify=justify, no_wrap=True)
    for segment in bar.segments:
        length = max(1, round(_BAR_WIDTH * segment.width / widest)) if segment.width else 0
        share = Text(segment.share, "dim")
        table.add_row(segment.label, segment.seconds, share, Text(block * length, "cyan"), segment.memory)
    return table


def _scaling(view: ScalingView) -> RenderableType:
    table = grid()
    for rank, device, step, memory in view.ranks:
        table.add_row(Text(f"rank {rank}, {device}"), step, memory)
    return Group(Text(view.summary), table)


def _table(sweep: Sweep, console: Console) -> list[RenderableType]:
    shown = _fitting(sweep, console.width)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    for name in sweep.columns:
        justify: JustifyMethod = "right" if name in _NUMBERS else "left"
        table.add_column(_SHORT.get(name, name), overflow="fold", justify=justify)
    for name, _ in shown:
        table.add_column(name, no_wrap=True, justify="right")
    for place, row in enumerate(sweep.rows):
        table.add_row(*map(Text, row.varied), *(_cell(cells[place], row) for _, cells in shown))
    about = [Text(text, "dim") for text in (sweep.shared, sweep.place) if text]
    parts: list[RenderableType] = [Text(sweep.title, "bold"), *about, Text(), table]
    if any(name == _ERROR for name, _ in shown):
        parts.append(Text(f"{_ERROR}: how far the prediction of the figure before it is off", "dim"))
    if sweep.turns:
        parts += [Text(), *map(Text, sweep.turns)]
    return [*parts, *_failures(sweep)]


def _fitting(sweep: Sweep, width: int) -> list[_Column]:
    """The columns of figures that have something to say; the least important ones go where the lines get too long."""
    columns = [(name, cells) for name, cells in _columns(sweep) if any(cells)]
    values = zip(*(row.varied for row in sweep.rows), strict=True)
    used = sum(
        1 + max(map(len, (_SHORT.get(name, name), *cells))) for name, cells in zip(sweep.columns, values, strict=True)
    )
    for dispensable in ("MFU", _ERROR, _ERROR):
        if used + sum(1 + max(map(len, (name, *cells))) for name, cells in columns) <= width + 1:
            break
        last = max((place for place, (name, _) in enumerate(columns) if name == dispensable), default=None)
        columns = [column for place, column in enumerate(columns) if place != last]
    return columns


def _columns(sweep: Sweep) -> list[_Column]:
    """Name and cells of every column of figures; what is not known is empty."""
    rows = sweep.rows
    views = [row.view for row in rows]
    units = {view.throughput.rpartition(" ")[2] for view in views if view.throughput not in ("", NOT_KNOWN)}
    unit = units.pop() if len(units) == 1 else ""
    rates = [view.throughput.removesuffix(f" {unit}") if unit else view.throughput for view in views]
    return [
        ("step", [view.failure_kind or f"{view.step_time} {view.margin}".rstrip() for view in views]),
        (_ERROR, [row.time_error for row in rows]),
        (unit or "throughput", ["" if rate == NOT_KNOWN else rate for rate in rates]),
        ("memory", ["" if view.memory == NOT_KNOWN else view.memory for view in views]),
        (_ERROR, [row.memory_error for row in rows]),
        ("MFU", [view.utilization for view in views]),
    ]


def _cell(text: str, row: SweepRow) -> Text:
    return Text(text, "bold red" if row.view.failure and text == row.view.failure_kind else "")


def _failures(sweep: Sweep) -> list[Text]:
    """A line for each step that did not run: where, what had been predicted, and (if it is not memory) the cause."""
    lines = []
    for row in sweep.rows:
        if row.view.failure:
            said = f"; predicted: {row.view.predicted}" if row.view.predicted else ""
            cause = "" if row.view.failure_kind == "out of memory" else f": {row.view.failure_message}"
            lines.append(Text.assemble((f"{row.label or sweep.title}: ", "bold"), row.view.failure, said, cause))
    return lines
