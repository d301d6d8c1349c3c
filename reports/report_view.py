"""A whole report: its groups, predictions beside measurements of the same step, and the evidence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from sslbench.bench import comparison as gate
from sslbench.bench.history import History
from sslbench.bench.record import Record
from sslbench.reports.accuracy import StatedAccuracy, stated
from sslbench.reports.beside import Comparison, comparison
from sslbench.reports.evidence import MachineTable, environment_rows, machine_table
from sslbench.reports.first_screen import Fact, advice, facts
from sslbench.reports.front import Front, fronts
from sslbench.reports.gate_view import GateView, gate_view
from sslbench.reports.groups import PredictionGroup, count_verdicts, flat_group, prediction_group
from sslbench.reports.history_view import HistoryView, history_view
from sslbench.reports.matrix import Matrix, matrix
from sslbench.reports.measurement import MeasurementView
from sslbench.reports.memory_timeline import MemoryTimeline, memory_timelines
from sslbench.reports.notes import command_notes, record_labels, unknown_notes, warning_notes
from sslbench.reports.ratios import Panel, ratio_panels
from sslbench.reports.roofline import Roofline, rooflines
from sslbench.reports.scaling import ScalingPicture, scaling_pictures
from sslbench.reports.sharpening import once
from sslbench.reports.sweep import Sweep, sweeps
from sslbench.reports.view import PredictionView, best_first, by_recipe
from sslbench.reports.what_if import WhatIfView, what_ifs
from sslbench.reports.words import LABEL_LENGTH, plain, recipe_key, recipe_label

_T = TypeVar("_T")
MANY = 24
"""Predictions up to which each is shown in full."""


@dataclass(frozen=True, slots=True)
class Hero:
    """The one prediction of a report."""

    view: PredictionView
    facts: tuple[Fact, ...]
    advice: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report shows."""

    title: str
    contents: str
    verdicts: str
    hero: Hero | None
    """Where there is one prediction."""
    matrix: Matrix | None
    """Where there are several recipes and several machines."""
    flat: PredictionGroup | None
    """All predictions of several recipes on one machine, under its name."""
    groups: tuple[PredictionGroup, ...]
    sweeps: tuple[Sweep, ...]
    """Measurements by recipe."""
    comparisons: tuple[Comparison, ...]
    ratios: tuple[Panel, ...]
    """Of the same and of measurements that carry their prediction."""
    gates: tuple[GateView, ...]
    """Comparisons of the regression gate."""
    histories: tuple[HistoryView, ...]
    what_ifs: tuple[WhatIfView, ...]
    """Of the predictions that have a grid of other settings."""
    fronts: tuple[Front, ...]
    scaling: tuple[ScalingPicture, ...]
    timelines: tuple[MemoryTimeline, ...]
    """Of the predictions that are explained."""
    rooflines: tuple[Roofline, ...]
    """Of the predictions that are explained."""
    accuracy: StatedAccuracy | None
    """Of predictions, where there are any."""
    warnings: tuple[tuple[str, str], ...]
    """Warning, and the records that carry it."""
    unknown: tuple[tuple[str, str, str], ...]
    """Fields, why they are not known, and the records that lack them."""
    commands: tuple[tuple[str, str], ...]
    """What it makes, and the command."""
    machines: tuple[MachineTable, ...]
    environments: tuple[tuple[tuple[str, str], ...], ...]

    @property
    def predictions(self) -> tuple[PredictionView, ...]:
        """All predictions, in the order of the groups."""
        return tuple(view for group in self.groups for view in group.predictions)

    @property
    def many(self) -> bool:
        """Whether the predictions are too many to draw and list each in full."""
        return len(self.predictions) > MANY

    @property
    def sharpened_by(self) -> list[str]:
        """What was measured elsewhere and entered predictions."""
        return once(view.sharpened_by for view in self.predictions)

    @property
    def measurements(self) -> tuple[MeasurementView, ...]:
        """All measurements, in the order of their recipes."""
        return tuple(row.view for sweep in self.sweeps for row in sweep.rows)


def build_report(
    records: Sequence[Record],
    *,
    comparisons: Sequence[gate.Comparison] = (),
    histories: Sequence[History] = (),
    title: str | None = None,
) -> Report:
    """All that a report shows; without a title it is named after its recipes, or else what it compares or follows."""
    gates, trends = tuple(map(gate_view, comparisons)), tuple(map(history_view, histories))
    others = [*(each.sides for each in gates), *(f"History of {each.source}" for each in trends)]
    predicted = [record for record in records if record.kind == "prediction"]
    measured = [record for record in records if record.kind == "measurement"]
    groups = tuple(prediction_group(best_first(group)) for group in by_recipe(predicted))
    measurements = sweeps(measured)
    compared = tuple(_comparisons(predicted, measured))
    labels = record_labels(records, measurements)
    return Report(
        title=plain(title, LABEL_LENGTH) if title else _title(records, others),
        contents=_contents(
            records,
            (
                (len(predicted), "prediction", "predictions"),
                (len(measured), "measurement", "measurements"),
                (len(gates), "comparison", "comparisons"),
                (len(trends), "history", "histories"),
            ),
        ),
        verdicts=count_verdicts([view for group in groups for view in group.predictions]),
        hero=_hero(predicted[0], groups[0].predictions[0]) if len(predicted) == 1 else None,
        matrix=matrix([tuple(zip(group.predictions, group.marks, strict=True)) for group in groups]),
        flat=flat_group(groups),
        groups=groups,
        sweeps=measurements,
        comparisons=compared,
        ratios=ratio_panels(measurements, compared),
        gates=gates,
        histories=trends,
        what_ifs=tuple(what_ifs(predicted)),
        fronts=tuple(fronts(predicted)),
        scaling=tuple(scaling_pictures(records)),
        timelines=tuple(memory_timelines(predicted)),
        rooflines=tuple(rooflines(predicted)),
        accuracy=stated() if predicted else None,
        warnings=warning_notes(records, labels),
        unknown=unknown_notes(records, labels),
        commands=command_notes([*chain.from_iterable(map(best_first, by_recipe(predicted))), *measured], labels),
        machines=tuple(machine_table(machine) for machine in _unique([record.machine for record in records])),
        environments=tuple(dict.fromkeys(environment_rows(record.environment) for record in records)),
    )


def _title(records: Sequence[Record], others: Sequence[str]) -> str:
    titles = [recipe_label(record.recipe).title for record in records] or [plain(each, LABEL_LENGTH) for each in others]
    titles = list(dict.fromkeys(titles))
    if not titles:
        return "No records"
    return titles[0] if len(titles) == 1 else f"{titles[0]} and {len(titles) - 1} more"


def _contents(records: Sequence[Record], counts: Sequence[tuple[int, str, str]]) -> str:
    parts = [f"{count} {one if count == 1 else several}" for count, one, several in counts if count]
    days = sorted({record.created.date().isoformat() for record in records})
    return ", ".join(parts) + (f"; {' to '.join(dict.fromkeys((days[0], days[-1])))}" if days else "")


def _hero(record: Record, view: PredictionView) -> Hero:
    return Hero(view, facts(view, record), advice(record))


def _comparisons(predicted: Sequence[Record], measured: Sequence[Record]) -> Iterator[Comparison]:
    """Measurements that carry no prediction of their own, beside those of the same step among the records."""
    for measurement in measured:
        others = predicted if measurement.predicted is None else ()
        same = (record for record in others if step_key(record) == step_key(measurement))
        yield from filter(None, (comparison(measurement, record) for record in same))


def step_key(record: Record) -> tuple[object, ...]:
    """What a prediction and a measurement share if they are of one step on one machine and backend."""
    return recipe_key(record.recipe), record.machine.name, record.machine.device_count, record.backend


def _unique(values: list[_T]) -> list[_T]:
    """Values without repeats, in order, for values that cannot be hashed."""
    unique: list[_T] = []
    for value in values:
        if value not in unique:
            unique.append(value)
    return unique
