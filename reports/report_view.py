"""A whole report: its groups, predictions beside measurements of the same step, and the evidence."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from sslbench.bench import comparison as gate
from sslbench.bench.record import Record
from sslbench.reports.beside import Comparison, comparison
from sslbench.reports.evidence import MachineTable, environment_rows, machine_table
from sslbench.reports.front import Front, fronts
from sslbench.reports.gate_view import GateView, gate_view
from sslbench.reports.measurement import MeasurementView
from sslbench.reports.memory_timeline import MemoryTimeline, memory_timelines
from sslbench.reports.notes import command_notes, record_labels, unknown_notes, warning_notes
from sslbench.reports.ratios import Panel, ratio_panels
from sslbench.reports.roofline import Roofline, rooflines
from sslbench.reports.sharpening import once
from sslbench.reports.sweep import Sweep, sweeps
from sslbench.reports.view import PredictionView, best_first, by_recipe, prediction_view
from sslbench.reports.words import LABEL_LENGTH, RecipeLabel, plain, recipe_label

_T = TypeVar("_T")
_VERBS = {
    "fits": ("fits", "fit"),
    "tight": ("is tight", "are tight"),
    "spills": ("spills", "spill"),
    "does-not-fit": ("does not fit", "do not fit"),
    "none": ("has no verdict", "have no verdict"),
}
"""What one and what several predictions of a verdict do."""


@dataclass(frozen=True, slots=True)
class PredictionGroup:
    """All predictions of one recipe, best machine first."""

    recipe: RecipeLabel
    predictions: tuple[PredictionView, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report shows."""

    title: str
    contents: str
    verdicts: str
    groups: tuple[PredictionGroup, ...]
    sweeps: tuple[Sweep, ...]
    """Measurements by recipe."""
    comparisons: tuple[Comparison, ...]
    ratios: tuple[Panel, ...]
    """Of the same and of measurements that carry their prediction."""
    gates: tuple[GateView, ...]
    """Comparisons of the regression gate."""
    fronts: tuple[Front, ...]
    timelines: tuple[MemoryTimeline, ...]
    """Of the predictions that are explained."""
    rooflines: tuple[Roofline, ...]
    """Of the predictions that are explained."""
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
    def sharpened_by(self) -> list[str]:
        """What was measured elsewhere and entered predictions."""
        return once(view.sharpened_by for view in self.predictions)

    @property
    def measurements(self) -> tuple[MeasurementView, ...]:
        """All measurements, in the order of their recipes."""
        return tuple(row.view for sweep in self.sweeps for row in sweep.rows)


def build_report(
    records: Sequence[Record], *, comparisons: Sequence[gate.Comparison] = (), title: str | None = None
) -> Report:
    """The report of some records and comparisons; without a title it is named after its recipes or sides."""
    gates = tuple(map(gate_view, comparisons))
    predicted = [record for record in records if record.kind == "prediction"]
    measured = [record for record in records if record.kind == "measurement"]
    groups = tuple(
        PredictionGroup(recipe_label(group[0].recipe), tuple(prediction_view(record) for record in best_first(group)))
        for group in by_recipe(predicted)
    )
    measurements = sweeps(measured)
    compared = tuple(_comparisons(predicted, measured))
    labels = record_labels(records, measurements)
    return Report(
        title=plain(title, LABEL_LENGTH) if title else _title(records, gates),
        contents=_contents(records, len(predicted), len(measured), len(gates)),
        verdicts=_verdicts(groups),
        groups=groups,
        sweeps=measurements,
        comparisons=compared,
        ratios=ratio_panels(measurements, compared),
        gates=gates,
        fronts=tuple(fronts(predicted)),
        timelines=tuple(memory_timelines(predicted)),
        rooflines=tuple(rooflines(predicted)),
        warnings=warning_notes(records, labels),
        unknown=unknown_notes(records, labels),
        commands=command_notes([*chain.from_iterable(map(best_first, by_recipe(predicted))), *measured], labels),
        machines=tuple(machine_table(machine) for machine in _unique([record.machine for record in records])),
        environments=tuple(dict.fromkeys(environment_rows(record.environment) for record in records)),
    )


def _title(records: Sequence[Record], gates: Sequence[GateView]) -> str:
    titles = [recipe_label(record.recipe).title for record in records] or [each.sides for each in gates]
    titles = list(dict.fromkeys(titles))
    if not titles:
        return "No records"
    return titles[0] if len(titles) == 1 else f"{titles[0]} and {len(titles) - 1} more"


def _contents(records: Sequence[Record], predictions: int, measurements: int, gates: int) -> str:
    counts = ((predictions, "prediction"), (measurements, "measurement"), (gates, "comparison"))
    parts = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count]
    days = sorted({record.created.date().isoformat() for record in records})
    return ", ".join(parts) + (f"; {' to '.join(dict.fromkeys((days[0], days[-1])))}" if days else "")


def _verdicts(groups: Sequence[PredictionGroup]) -> str:
    verdicts = sorted((view.verdict for group in groups for view in group.predictions), key=lambda words: words.rank)
    counts = Counter(words.key for words in verdicts)
    return ", ".join(f"{count} {_VERBS[key][count > 1]}" for key, count in counts.items())


def _comparisons(predicted: Sequence[Record], measured: Sequence[Record]) -> Iterator[Comparison]:
    """Measurements that carry no prediction of their own, beside those of the same step among the records."""
    for measurement in measured:
        others = predicted if measurement.predicted is None else ()
        same = (record for record in others if step_key(record) == step_key(measurement))
        yield from filter(None, (comparison(measurement, record) for record in same))


def step_key(record: Record) -> tuple[object, ...]:
    """What a prediction and a measurement share if they are of one step on one machine and backend."""
    recipe = json.dumps(record.recipe.model_dump(exclude={"title", "paper", "budget"}), sort_keys=True)
    return recipe, record.machine.name, record.machine.device_count, record.backend


def _unique(values: list[_T]) -> list[_T]:
    """Values without repeats, in order, for values that cannot be hashed."""
    unique: list[_T] = []
    for value in values:
        if value not in unique:
            unique.append(value)
    return unique
