"""Predictions of one recipe beside each other: what columns sort by, and which machine is best at what."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sslbench.bench.record import Record
from sslbench.reports.words import verdict_words

_RUNS = ("fits", "tight", "spills")
"""Verdicts of steps that are expected to run: only those can be best."""


@dataclass(frozen=True, slots=True)
class SortValues:
    """A row's numbers, in the units of the record; None sorts last."""

    verdict: float
    """Rank of the verdict, and within it how improbable it is to fit."""
    memory: float | None
    step: float | None
    rate: float | None
    batch: float | None
    run: float | None
    rent: float | None
    energy: float | None


def sort_values(record: Record) -> SortValues:
    """What the row of a prediction sorts by."""
    bill = record.bill
    return SortValues(
        verdict=verdict_words(record).rank + 1 - (record.probability_fits or 0.0),
        memory=record.memory.required_bytes,
        step=record.time.step_seconds,
        rate=rate(record, record.time.step_seconds),
        batch=record.max_batch_size,
        run=bill.seconds if bill else None,
        rent=bill.rent_usd if bill else None,
        energy=bill.joules if bill else None,
    )


def rate(record: Record, step_s: float | None) -> float | None:
    """Samples per second, from the record or from a step time in seconds."""
    batch = record.recipe.batch_size
    if record.time.samples_per_second is not None:
        return record.time.samples_per_second
    return batch / step_s if batch and step_s else None


_LEAD = 1.02
"""Whoever is best leads the next by so much: a hundredth sets nothing apart."""
_MARKS: tuple[tuple[str, Callable[[SortValues], float | None]], ...] = (
    ("fastest", lambda values: 1 / values.rate if values.rate else None),
    ("cheapest run", lambda values: values.rent),
    ("least energy", lambda values: values.energy),
    ("least memory", lambda values: values.memory),
)
"""What can be best, and the number that is then least."""


def best_marks(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """For each of some predictions of one recipe what it is best at, among those that are expected to run."""
    values = [sort_values(record) for record in records]
    runs = [place for place, record in enumerate(records) if record.verdict in _RUNS]
    marks: list[list[str]] = [[] for _ in records]
    for name, key in _MARKS:
        known = sorted((number, place) for place in runs if (number := key(values[place])) is not None)
        if len(known) > 1 and known[0][0] * _LEAD < known[1][0]:
            marks[known[0][1]].append(name)
    return [tuple(each) for each in marks]
