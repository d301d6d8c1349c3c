"""Predictions against measurements: those that others published, and records that were measured.

An error is predicted over measured, less one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

from sslbench.bench.accuracy import Comparison
from sslbench.bench.errors import SSLBenchError
from sslbench.bench.fit import TraceSource, predict_on
from sslbench.bench.machines import find_machine
from sslbench.bench.predict.capacity import limited
from sslbench.bench.predict.compiled import compiled
from sslbench.bench.predict.prediction import predict
from sslbench.bench.predict.time import predict_time
from sslbench.bench.published.rows import PublishedRow
from sslbench.bench.published.timm import timm_steps
from sslbench.bench.quantities import Interval, Memory, Time
from sslbench.bench.record import Record
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cache import TraceCache

_FITTED = ("torch-cuda", "torch-cpu", "onnx-cpu")
_RUNS = {"fits": 1.0, "spills": 1.0, "tight": 0.5, "does-not-fit": 0.0}
"""Probability that a verdict stands for."""


def compare_published(rows: Sequence[PublishedRow], cache: TraceCache) -> Iterator[Comparison]:
    """Predict published rows; rows of one step share its trace.

    Args:
        rows: what to predict.
        cache: where traces are kept.

    Raises:
        SSLBenchError: a step cannot be traced with the libraries that are installed; names the row.
    """
    sources: dict[tuple[Any, ...], TraceSource] = {}
    with as_file(files("sslbench.bench.published")) as folder:
        for row in rows:
            step = (row.recipe, *row.settings.items())
            try:
                if step not in sources:
                    argument = str(folder / row.recipe) if ".py:" in row.recipe else row.recipe
                    sources[step] = TraceSource(resolve_recipe(argument, {"options": row.settings}), cache)
                yield _compare_row(row, sources[step])
            except SSLBenchError as error:
                raise type(error)(f"published row {row.id}: {error}") from error


def _compare_row(row: PublishedRow, source: TraceSource) -> Comparison:
    machine = find_machine(row.machine, cuda=row.cuda or None)
    recipe = source.recipe
    trace = source.run_trace(machine.device)
    found = predict(trace, machine, expandable=recipe.expandable_segments, strategy=row.strategy)
    said = _Said(found.memory, found.time, found.probability_fits)
    return _comparison(row.id, row.group, row.metric, machine=row.machine, measured=row.value, said=said)


def compare_timm(groups: Sequence[str]) -> Iterator[Comparison]:
    """Predict the published steps of timm's models, which are traced already.

    Args:
        groups: of `published/timm.py`; other names are passed over.
    """
    for step in timm_steps():
        if step.group not in groups:
            continue
        trace = compiled(step.trace) if step.is_compiled else step.trace
        for machine, torch, seconds in step.rows:
            found = predict_time(trace, find_machine(machine))
            low, high = found.interval_seconds
            name = f"{step.name}, torch {torch}"
            yield Comparison(name, step.group, "seconds", machine, seconds, found.step_seconds, low <= seconds <= high)


@dataclass(frozen=True, slots=True)
class _Said:
    """What was predicted."""

    memory: Memory
    time: Time
    runs: float | None
    """Probability that the step fits."""


def not_compared(record: Record) -> str:
    """Why a measured record cannot be set beside a prediction; empty where it can."""
    if record.predicted is not None:
        return ""
    if record.failure is not None and record.failure.kind != "out-of-memory":
        return f"did not run ({record.failure.kind})"
    if record.backend not in _FITTED:
        return f"{record.backend} is not predicted"
    if record.backend == "onnx-cpu" and record.recipe.stage != "infer":
        return "training in ONNX Runtime is not predicted"
    if record.scaling is not None or record.machine.device_count > 1:
        return "a step on several devices is not predicted"
    return ""


def compare_records(records: Iterable[Record], cache: TraceCache, *, again: bool = False) -> Iterator[Comparison]:
    """What measured records measured beside the prediction that they carry; those without one are predicted now.

    Args:
        records: those for which `not_compared` has no reason.
        cache: where traces are kept.
        again: all are predicted now, with this version of sslbench.

    Raises:
        SSLBenchError: a step cannot be traced.
    """
    for record in records:
        carried = record.predicted
        if carried is not None and not again:
            said = _Said(carried.memory, carried.time, _RUNS.get(carried.verdict or ""))
        else:
            said = _predict_record(record, cache)
        recipe = record.recipe
        batch = f", batch {recipe.batch_size}" if recipe.batch_size else ""
        for metric, value in _measured(record):
            if _figure(said, metric)[0] is not None:
                yield _comparison(
                    f"{recipe.name} {recipe.stage} {recipe.precision}{batch}",
                    record.backend,
                    metric,
                    machine=record.machine.name,
                    measured=value,
                    said=said,
                )


def _measured(record: Record) -> Iterator[tuple[str, float]]:
    """Metrics and values; of a step that ran out of memory, only that."""
    failure, memory = record.failure, record.memory
    if failure is None:
        yield "runs", 1.0
    elif failure.kind == "out-of-memory":
        yield "runs", 0.0
    for metric, value in (
        ("allocated", memory.peak_allocated_bytes),
        ("reserved", memory.peak_reserved_bytes),
        ("device", memory.required_bytes),
        ("seconds", record.time.step_seconds),
    ):
        if value:
            yield metric, value


def _predict_record(record: Record, cache: TraceCache) -> _Said:
    """A prediction for the record's machine, with the memory limit that it ran under."""
    machine, carried = record.machine, record.predicted
    if carried is not None and carried.memory.capacity_bytes:
        machine = limited(machine, carried.memory.capacity_bytes)
    if record.backend == "onnx-cpu":
        from sslbench.bench.fit_onnx import fit_onnx  # noqa: PLC0415 - imports numpy, which a kept trace does not need

        (found,) = fit_onnx(record.recipe, [machine], command=[])
    else:
        found = predict_on(record.recipe, machine, TraceSource(record.recipe, cache), [])
    return _Said(found.memory, found.time, found.probability_fits)


def _comparison(name: str, group: str, metric: str, *, machine: str, measured: float, said: _Said) -> Comparison:
    predicted, interval = _figure(said, metric)
    inside = None if interval is None else interval[0] <= measured <= interval[1]
    return Comparison(name, group, metric, machine, measured, float(predicted or 0), inside)


def _figure(said: _Said, metric: str) -> tuple[float | None, Interval | None]:
    """What was predicted of a metric, and its interval."""
    memory, time = said.memory, said.time
    return {
        "runs": (said.runs, None),
        "allocated": (memory.peak_allocated_bytes, memory.allocated_interval_bytes),
        "reserved": (memory.peak_reserved_bytes, memory.reserved_interval_bytes),
        "device": (memory.required_bytes, memory.interval_bytes),
        "seconds": (time.step_seconds, time.interval_seconds),
    }[metric]
