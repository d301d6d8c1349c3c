"""Predictions against measurements: those that others published, and records that were measured.

An error is predicted over measured, less one.
"""

from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import as_file, files
from typing import Any

from sslbench.bench.accuracy import Comparison
from sslbench.bench.errors import RecordError, SSLBenchError
from sslbench.bench.fit import TraceSource
from sslbench.bench.machines import find_machine
from sslbench.bench.predict.prediction import Prediction, predict
from sslbench.bench.published.rows import PublishedRow
from sslbench.bench.record import Record
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cache import TraceCache
from sslbench.hardware_profiles.schema import Machine


def compare_published(rows: Sequence[PublishedRow], cache: TraceCache) -> Iterator[Comparison]:
    """Predict published rows; rows of one step share its trace.

    Args:
        rows: what to predict.
        cache: where traces are kept.

    Raises:
        SSLBenchError: a step cannot be traced with the libraries that are installed; names the row.
    """
    sources: dict[tuple[Any, ...], TraceSource] = {}
    with as_file(files("sslbench.bench.published").joinpath("steps.py")) as steps:
        for row in rows:
            step = (row.recipe, *row.settings.items())
            try:
                if step not in sources:
                    argument = row.recipe.replace("steps.py:", f"{steps}:")
                    sources[step] = TraceSource(resolve_recipe(argument, {"options": row.settings}), cache)
                yield _compare_row(row, sources[step])
            except SSLBenchError as error:
                raise type(error)(f"published row {row.id}: {error}") from error


def _compare_row(row: PublishedRow, source: TraceSource) -> Comparison:
    machine = find_machine(row.machine, cuda=row.cuda or None)
    prediction = _predict(source, machine)
    return _comparison(row.id, row.group, row.metric, machine=row.machine, measured=row.value, prediction=prediction)


def _predict(source: TraceSource, machine: Machine) -> Prediction:
    recipe = source.recipe
    return predict(source.trace(machine.device, recipe.batch_size), machine, expandable=recipe.expandable_segments)


def compare_records(records: Iterable[Record], cache: TraceCache) -> Iterator[Comparison]:
    """Predict what measured records measured, on the machine that they name.

    Raises:
        RecordError: a record is of a backend that is not predicted.
        SSLBenchError: a step cannot be traced.
    """
    for record in records:
        if record.backend not in ("torch-cuda", "torch-cpu"):
            raise RecordError(f"record of {record.recipe.name}: backend {record.backend} is not predicted")
        prediction = _predict(TraceSource(record.recipe, cache), record.machine)
        measured = {
            "allocated": record.memory.peak_allocated_bytes,
            "reserved": record.memory.peak_reserved_bytes,
            "device": record.memory.required_bytes,
            "seconds": record.time.step_seconds,
        }
        for metric, value in measured.items():
            if value:
                name = f"{record.recipe.name} {record.recipe.stage} {record.recipe.precision}"
                yield _comparison(
                    name, record.backend, metric, machine=record.machine.name, measured=value, prediction=prediction
                )


def _comparison(
    name: str, group: str, metric: str, *, machine: str, measured: float, prediction: Prediction
) -> Comparison:
    memory, time = prediction.memory, prediction.time
    predicted, interval = {
        "runs": (prediction.probability_fits, None),
        "allocated": (memory.peak_allocated_bytes, memory.allocated_interval_bytes),
        "reserved": (memory.peak_reserved_bytes, memory.reserved_interval_bytes),
        "device": (memory.required_bytes, memory.interval_bytes),
        "seconds": (time.step_seconds, time.interval_seconds),
    }[metric]
    inside = None if interval is None else interval[0] <= measured <= interval[1]
    return Comparison(name, group, metric, machine, measured, float(predicted or 0), inside)
