"""Records checked: predictions are made again, with the software that is here, from their own recipe and machine.

A measurement cannot be made again from its record: what follows from its timed steps is computed again.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sslbench.bench.comparison import version_differences
from sslbench.bench.consistency import inconsistencies
from sslbench.bench.environment import describe_environment
from sslbench.bench.errors import SSLBenchError
from sslbench.bench.grid import WhatIf
from sslbench.bench.made_again import MadeAgain, not_here
from sslbench.bench.quantities import Environment
from sslbench.bench.record import Record
from sslbench.bench.trace.cache import TraceCache
from sslbench.bench.verification import Check, Difference, Outcome, difference, leaves, same
from sslbench.kernels.model_tables import timm_name

_FIGURES = {
    *("memory", "time", "energy", "work", "verdict", "probability_fits", "max_batch_size"),
    *("plan", "bill", "explain"),
}
"""Fields of a prediction that follow from recipe, machine and software."""
_OF_THE_TIME = ("energy.", "bill.")
"""Figures that a sharpened time enters: the measurements behind it are not in the record."""


def name_of(record: Record, number: int) -> str:
    """What a check calls a record."""
    return f"record {number}: {record.recipe.name} on {record.machine.title or record.machine.name}"


def check_records(records: Sequence[Record], cache: TraceCache | None) -> Iterator[Check]:
    """Check each record, in order.

    Args:
        records: of one file.
        cache: where traces are kept; None: no prediction is made again.
    """
    stated = [record if record.kind == "prediction" else _carried(record) for record in records]
    predicted = [record for record in stated if record is not None] if cache is not None else []
    made = MadeAgain(predicted, cache or TraceCache(None))
    for number, (record, prediction) in enumerate(zip(records, stated, strict=True), 1):
        if cache is None or record.kind == "measurement":
            yield _check_figures(record, number, again=cache is not None)
        if cache is not None and prediction is not None:
            name = name_of(record, number) + ("" if prediction is record else ", the prediction beside it")
            check = _check_prediction(prediction, made, name)
            yield check
            if check.outcome != "holds" and record.kind == "prediction":
                yield _check_figures(record, number, again=True)


def _check_figures(record: Record, number: int, *, again: bool) -> Check:
    """Whether the figures of a record agree with each other."""
    count, found = inconsistencies(record)
    steps = len(record.time.samples_seconds)
    words = f"{count:,} figures follow from its others" + (f" and its {steps:,} timed steps" if steps else "")
    outcome: Outcome = "differs" if found else "holds"
    if found:
        words = f"{len(found):,} of {count:,} figures do not follow from its others"
    elif record.kind == "prediction" and not again:
        outcome, words = "not checked", f"{words}; it was not predicted again (--no-predictions)"
    elif record.failure is not None:
        words = "the step did not run, and states no figures"
    elif record.kind == "measurement" and not steps:
        outcome, words = "not checked", f"{words}; it has no timed steps to check its time against"
    if record.kind == "measurement":
        words += "; a measurement cannot be made again from its record"
    return Check(
        subject=record.kind, name=name_of(record, number), outcome=outcome, summary=words, differences=tuple(found)
    )


def _check_prediction(record: Record, made: MadeAgain, name: str) -> Check:
    """Compare every figure that a prediction states with those of the same one, made here."""
    reason = not_here(record)
    if not reason:
        try:
            return _compared(record, made.of(record), name)
        except (SSLBenchError, ImportError) as error:
            reason = f"could not be predicted again here: {error}"
        except (ArithmeticError, LookupError, ValueError) as error:  # a machine without any peak, say
            reason = f"could not be predicted again here: its figures make no sense ({type(error).__name__}: {error})"
    return Check(subject="prediction", name=name, outcome="not checked", summary=reason)


def _carried(record: Record) -> Record | None:
    """The prediction that a measurement carries, as a record of its own; None where it has none."""
    said = record.predicted
    if said is None:
        return None
    return Record(
        kind="prediction",
        created=record.created,
        backend=record.backend,
        recipe=record.recipe,
        machine=record.machine,
        environment=record.environment,
        command=record.command,
        memory=said.memory,
        time=said.time,
        work=record.work,
        verdict=said.verdict,
        max_batch_size=said.max_batch_size,
        warnings=[warning.removeprefix("prediction: ") for warning in record.warnings],
    )


def _compared(record: Record, again: Record, name: str) -> Check:
    shared = set(_batches(record)) & set(_batches(again))
    stated, expected = (_figures(each, shared, sharpened=record) for each in (record, again))
    found = [*_differences(stated, expected), *_unsaid(record, again)]
    left = list(_left_out(record, again))
    reasons = tuple(_other_software(record.environment, describe_environment(), record)) if found else ()
    outcome: Outcome = "not checked" if left else "holds"
    words = f"predicted again here: all {len(stated):,} figures are the same, to the byte"
    if found:
        outcome = "moved" if reasons and _within(record, again) else "differs"
        words = f"predicted again here: {len(found):,} of {len(stated):,} figures differ"
        words += ", within its interval and with the same verdict" if outcome == "moved" else ""
        words += "" if reasons else ", though the versions are the same"
    return Check(
        subject="prediction",
        name=name,
        outcome=outcome,
        summary="; ".join([words, *left]),
        reasons=reasons,
        differences=tuple(found),
    )


def _left_out(record: Record, again: Record) -> Iterator[str]:
    """What of a prediction is not compared, and why."""
    if record.sharpening is not None:
        yield "not so what measurements elsewhere sharpen, which are not in it"
    elif _batches(record) != _batches(again):
        yield "of its what-if grid only the batches that the machines in this file share"


def _batches(record: Record) -> list[int]:
    return record.what_if.batch_sizes if record.what_if else []


def _figures(record: Record, batches: Collection[int], *, sharpened: Record) -> dict[str, Any]:
    """Figures by dotted path; of a sharpened prediction those that its measurements do not enter."""
    table = record.model_dump(mode="json", include=_FIGURES)
    if sharpened.sharpening is None:
        return leaves(table) | (_cells(record.what_if, batches) if record.what_if else {})
    if record.sharpening is not None:
        table["time"] = record.sharpening.unsharpened.model_dump(mode="json")
    return {place: value for place, value in leaves(table).items() if not place.startswith(_OF_THE_TIME)}


def _cells(grid: WhatIf, batches: Collection[int]) -> dict[str, Any]:
    """Figures of a what-if grid by settings and batch, at those batches."""
    found: dict[str, Any] = {}
    for settings in grid.settings:
        where = f"what_if.{settings.precision}{', checkpointing' if settings.activation_checkpointing else ''}"
        for column, values in settings:
            if isinstance(values, list):
                cells = [pair for pair in zip(grid.batch_sizes, values, strict=False) if pair[0] in batches]
                found |= leaves({f"{where}, batch {batch}.{column}": value for batch, value in cells})
        found |= leaves({f"{where}.max_batch_size": settings.max_batch_size})
    return found


def _differences(stated: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[Difference]:
    """Of what is stated: an older record may lack what is computed now."""
    for place, value in stated.items():
        if not same(value, expected.get(place)):
            yield difference(place, value, expected.get(place))


def _unsaid(record: Record, again: Record) -> Iterator[Difference]:
    """Doubts that the record leaves out."""
    for warning in again.warnings:
        if warning not in record.warnings:
            yield difference("warnings", None, warning)


def _other_software(then: Environment, now: Environment, record: Record) -> list[str]:
    """What differs between the software that made the record and the one here, and matters to its figures."""
    names = ["torch", "transformers"]
    names += ["onnx", "onnxruntime"] if record.backend.startswith("onnx") else []
    names += ["timm"] if timm_name(record.recipe.model) is not None else []
    # A build for another CUDA (2.13.0+cpu) makes the same trace.
    sides = [
        {"sslbench": each.sslbench}
        | {name: each.packages[name].partition("+")[0] for name in names if name in each.packages}
        for each in (then, now)
    ]
    cores = [f"{each.logical_cores} logical cores" for each in (then, now)]
    threads = [f"{cores[0]}, now {cores[1]}"] if record.machine.device.kind == "cpu" and cores[0] != cores[1] else []
    return [*version_differences(*sides), *threads]


def _within(record: Record, again: Record) -> bool:
    """Whether the new figures keep the promise of the old ones: the verdict, and the intervals."""
    time = record.sharpening.unsharpened if record.sharpening else record.time
    pairs: Sequence[tuple[float | None, tuple[float, float] | None]] = (
        (again.memory.required_bytes, record.memory.interval_bytes),
        (again.time.step_seconds, time.interval_seconds),
    )
    inside = all(value is None or interval is None or interval[0] <= value <= interval[1] for value, interval in pairs)
    return inside and record.verdict == again.verdict
