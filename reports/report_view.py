"""A whole report: its groups, predictions beside measurements of the same step, and the evidence."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sslbench.bench.record import Record
from sslbench.reports.evidence import MachineTable, environment_rows, machine_table
from sslbench.reports.units import (
    format_bytes,
    format_bytes_interval,
    format_difference,
    format_seconds,
    format_seconds_interval,
)
from sslbench.reports.view import (
    MeasurementView,
    PredictionView,
    best_first,
    by_recipe,
    command_text,
    measured_step_s,
    measurement_view,
    prediction_view,
)
from sslbench.reports.words import LABEL_LENGTH, RecipeLabel, machine_title, plain, recipe_label

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
class ComparisonRow:
    """A quantity that was predicted and measured for the same recipe, machine and backend."""

    recipe: RecipeLabel
    machine: str
    backend: str
    quantity: str
    predicted: str
    interval: str
    measured: str
    difference: str
    """Of the prediction from the measurement."""
    inside: bool | None
    """Whether the measurement lies in the predicted interval; None where there is no interval."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report shows."""

    title: str
    contents: str
    verdicts: str
    groups: tuple[PredictionGroup, ...]
    measurements: tuple[MeasurementView, ...]
    comparisons: tuple[ComparisonRow, ...]
    warnings: tuple[tuple[str, str], ...]
    """Warning, and the records that carry it."""
    unknown: tuple[tuple[str, str, str], ...]
    """Field, why it is not known, and the records that lack it."""
    commands: tuple[tuple[str, str], ...]
    """What it makes, and the command."""
    machines: tuple[MachineTable, ...]
    environments: tuple[tuple[tuple[str, str], ...], ...]

    @property
    def predictions(self) -> tuple[PredictionView, ...]:
        """All predictions, in the order of the groups."""
        return tuple(view for group in self.groups for view in group.predictions)


def build_report(records: Sequence[Record], *, title: str | None = None) -> Report:
    """The report of some records; without a title it is named after its recipes."""
    predicted = [record for record in records if record.kind == "prediction"]
    measured = [record for record in records if record.kind == "measurement"]
    groups = tuple(
        PredictionGroup(recipe_label(group[0].recipe), tuple(prediction_view(record) for record in best_first(group)))
        for group in by_recipe(predicted)
    )
    return Report(
        title=plain(title, LABEL_LENGTH) if title else _title(records),
        contents=_contents(records, len(predicted), len(measured)),
        verdicts=_verdicts(groups),
        groups=groups,
        measurements=tuple(measurement_view(record) for group in by_recipe(measured) for record in group),
        comparisons=tuple(_comparisons(predicted, measured)),
        warnings=_warnings(records),
        unknown=_unknown(records),
        commands=_commands(groups, measured),
        machines=tuple(machine_table(machine) for machine in _unique([record.machine for record in records])),
        environments=tuple(dict.fromkeys(environment_rows(record.environment) for record in records)),
    )


def _title(records: Sequence[Record]) -> str:
    titles = list(dict.fromkeys(recipe_label(record.recipe).title for record in records))
    if not titles:
        return "No records"
    return titles[0] if len(titles) == 1 else f"{titles[0]} and {len(titles) - 1} more"


def _contents(records: Sequence[Record], predictions: int, measurements: int) -> str:
    counts = ((predictions, "prediction"), (measurements, "measurement"))
    parts = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count]
    days = sorted({record.created.date().isoformat() for record in records})
    return ", ".join(parts) + (f"; {' to '.join(dict.fromkeys((days[0], days[-1])))}" if days else "")


def _verdicts(groups: Sequence[PredictionGroup]) -> str:
    verdicts = sorted((view.verdict for group in groups for view in group.predictions), key=lambda words: words.rank)
    counts = Counter(words.key for words in verdicts)
    return ", ".join(f"{count} {_VERBS[key][count > 1]}" for key, count in counts.items())


def _comparisons(predicted: Sequence[Record], measured: Sequence[Record]) -> Iterator[ComparisonRow]:
    for measurement in measured:
        for prediction in predicted:
            if step_key(prediction) == step_key(measurement):
                yield from _compare(prediction, measurement)


def step_key(record: Record) -> tuple[object, ...]:
    """What a prediction and a measurement share if they are of one step on one machine and backend."""
    recipe = json.dumps(record.recipe.model_dump(exclude={"title", "paper"}), sort_keys=True)
    return recipe, record.machine.name, record.machine.device_count, record.backend


def _compare(prediction: Record, measurement: Record) -> Iterator[ComparisonRow]:
    step_s = prediction.time.step_seconds
    real_s = measured_step_s(measurement)
    label = (recipe_label(measurement.recipe), machine_title(measurement.machine), measurement.backend)
    if step_s is not None and real_s is not None:
        span = prediction.time.interval_seconds
        yield ComparisonRow(
            *label,
            quantity="step time",
            predicted=format_seconds(step_s),
            interval=format_seconds_interval(span) if span else "",
            measured=format_seconds(real_s),
            difference=format_difference(step_s, real_s),
            inside=span[0] <= real_s <= span[1] if span else None,
        )
    for field, quantity in (("required_bytes", "memory required"), ("peak_allocated_bytes", "peak of tensors")):
        said, found = getattr(prediction.memory, field), getattr(measurement.memory, field)
        if said is None or found is None:
            continue
        span = prediction.memory.interval_bytes if field == "required_bytes" else None
        yield ComparisonRow(
            *label,
            quantity=quantity,
            predicted=format_bytes(said),
            interval=format_bytes_interval(span) if span else "",
            measured=format_bytes(found),
            difference=format_difference(said, found),
            inside=span[0] <= found <= span[1] if span else None,
        )


def _warnings(records: Sequence[Record]) -> tuple[tuple[str, str], ...]:
    carriers: dict[str, list[str]] = {}
    for record in records:
        for warning in record.warnings:
            carriers.setdefault(plain(warning), []).append(_record_label(record))
    return tuple((warning, "; ".join(dict.fromkeys(labels))) for warning, labels in carriers.items())


def _unknown(records: Sequence[Record]) -> tuple[tuple[str, str, str], ...]:
    lacking: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for path, reason in record.unknown.items():
            lacking.setdefault((plain(path, LABEL_LENGTH), plain(reason)), []).append(_record_label(record))
    return tuple((*why, "; ".join(dict.fromkeys(labels))) for why, labels in lacking.items())


def _record_label(record: Record) -> str:
    return f"{record.kind}: {recipe_label(record.recipe).name} on {machine_title(record.machine)}"


def _commands(groups: Sequence[PredictionGroup], measured: Sequence[Record]) -> tuple[tuple[str, str], ...]:
    """Commands by what they make; one command may have made several records."""
    made: dict[str, list[str]] = {}
    for group in groups:
        for view in group.predictions:
            label = f"prediction: {view.recipe.name} on {view.machine}"
            made.setdefault(view.command, []).append(label)
    for record in measured:
        made.setdefault(command_text(record), []).append(f"{_record_label(record)}, {record.backend}")
    return tuple(("; ".join(dict.fromkeys(labels)), command) for command, labels in made.items())


def _unique(values: list[_T]) -> list[_T]:
    """Values without repeats, in order, for values that cannot be hashed."""
    unique: list[_T] = []
    for value in values:
        if value not in unique:
            unique.append(value)
    return unique
