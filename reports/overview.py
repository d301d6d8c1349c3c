"""Predictions and measurements of several recipes in one table: what was said beside what was found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sslbench.bench.record import Record
from sslbench.reports.measurement import measurement_view
from sslbench.reports.report_view import step_key
from sslbench.reports.terminal import VERDICT_STYLES
from sslbench.reports.view import prediction_view

_NOTHING = "-"


@dataclass(slots=True)
class _Row:
    """A step on a machine and backend; a side that was not asked stays a dash."""

    recipe: str
    stage: str
    machine: str
    verdict: Text = field(default_factory=lambda: Text(_NOTHING))
    memory: str = _NOTHING
    predicted: str = _NOTHING
    measured: str = _NOTHING


def print_overview(records: Sequence[Record], console: Console) -> None:
    """One row for each step on a machine: verdict and memory as predicted, step time as predicted and as measured."""
    rows: dict[tuple[object, ...], _Row] = {}
    for record in records:
        row = rows.setdefault(step_key(record), _row(record))
        if record.kind == "prediction":
            view = prediction_view(record)
            row.verdict = Text(view.verdict.word, VERDICT_STYLES[view.verdict.key])
            row.memory, row.predicted = view.memory.replace(" of ", "/"), view.step_time
        else:
            seen = measurement_view(record)
            row.measured = seen.failure_kind or seen.step_time
    console.print(_table(rows.values()), highlight=False, markup=False, emoji=False)


def _row(record: Record) -> _Row:
    view = prediction_view(record)
    engine = ", ONNX" if record.backend.startswith("onnx") else ""
    return _Row(recipe=view.recipe.name, stage=record.recipe.stage, machine=view.machine_name + engine)


def _table(rows: Iterable[_Row]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    for name in ("recipe", "stage", "machine"):
        table.add_column(name, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for name in ("memory", "predicted", "measured"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            Text(row.recipe), row.stage, Text(row.machine), row.verdict, row.memory, row.predicted, row.measured
        )
    return table
