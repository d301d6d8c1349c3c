"""Predicted beside measured: quantity by quantity, and in a few words."""

from collections.abc import Iterator
from dataclasses import dataclass

from sslbench.bench.quantities import Memory, Time
from sslbench.bench.record import Record
from sslbench.reports.units import (
    format_bytes,
    format_bytes_interval,
    format_bytes_of,
    format_error,
    format_seconds,
    format_seconds_interval,
)
from sslbench.reports.view import measured_step_s
from sslbench.reports.words import VERDICTS, RecipeLabel, machine_title, recipe_label


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """A quantity that was predicted and measured."""

    quantity: str
    predicted: str
    interval: str
    measured: str
    error: float
    difference: str
    """How far the prediction is off, such as `3 % low`."""
    inside: bool | None
    """Whether the measurement lies in the predicted interval; None where there is no interval."""
    span: tuple[float, float] | None
    """That interval as shares of the prediction."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A step that was predicted and measured for the same recipe, machine and backend."""

    measurement: Record
    recipe: RecipeLabel
    machine: str
    backend: str
    rows: tuple[ComparisonRow, ...]


def comparison(measurement: Record, prediction: Record) -> Comparison | None:
    """A measurement beside a prediction; None where no quantity is known of both."""
    rows = tuple(_rows(measurement, prediction.memory, prediction.time))
    label, machine = recipe_label(measurement.recipe), machine_title(measurement.machine)
    return Comparison(measurement, label, machine, measurement.backend, rows) if rows else None


def own_rows(measurement: Record) -> tuple[ComparisonRow, ...]:
    """The prediction that a measurement carries, beside it."""
    said = measurement.predicted
    return tuple(_rows(measurement, said.memory, said.time)) if said else ()


def _rows(measurement: Record, memory: Memory, time: Time) -> Iterator[ComparisonRow]:
    step_s, real_s = time.step_seconds, measured_step_s(measurement)
    if step_s is not None and real_s:
        span = time.interval_seconds
        texts = format_seconds(step_s), format_seconds_interval(span) if span else "", format_seconds(real_s)
        yield _row("step time", texts, step_s, span, real_s)
    for field, quantity, span in (
        ("required_bytes", "memory required", memory.interval_bytes),
        ("peak_allocated_bytes", "peak of tensors", memory.allocated_interval_bytes),
        ("peak_reserved_bytes", "peak reserved", memory.reserved_interval_bytes),
    ):
        said, found = getattr(memory, field), getattr(measurement.memory, field)
        if said is not None and found:
            texts = format_bytes(said), format_bytes_interval(span) if span else "", format_bytes(found)
            yield _row(quantity, texts, said, span, found)


def _row(
    quantity: str, texts: tuple[str, str, str], said: float, span: tuple[float, float] | None, found: float
) -> ComparisonRow:
    error = said / found - 1
    return ComparisonRow(
        quantity,
        *texts,
        error=error,
        difference=format_error(error),
        inside=None if span is None else span[0] <= found <= span[1],
        span=(span[0] / said, span[1] / said) if span and said else None,
    )


def predicted_words(record: Record) -> str:
    """What was predicted and how far that is off, in one line; of a step that failed, the verdict; empty without."""
    said = record.predicted
    if said is None:
        return ""
    found = [f"{row.quantity} {row.predicted}, {row.difference}" for row in own_rows(record)]
    return "; ".join([*found, *_verdict(record)])


def _verdict(record: Record) -> Iterator[str]:
    """What the prediction said of fitting, where it is needed: the step failed, or ran although it should not fit."""
    said = record.predicted
    if said is None or said.verdict is None:
        return
    memory, failed = said.memory, record.failure is not None and record.failure.kind == "out-of-memory"
    word = VERDICTS[said.verdict].word
    if said.verdict == "fits" and not failed:
        return
    need, room = memory.required_bytes, memory.capacity_bytes
    yield f"{word}: {format_bytes_of(need, room)}" if need is not None and room else word
    if failed and said.max_batch_size is not None:
        yield f"largest batch {said.max_batch_size:,}"
