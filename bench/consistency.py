"""Whether the figures of one record agree with each other: what each says of the others, as plain formulas.

A measurement cannot be made again from its record. What follows from its timed steps can be computed again.
"""

import statistics
from collections.abc import Iterator
from typing import Any

from sslbench.bench.environment import package_version
from sslbench.bench.measured import Data
from sslbench.bench.record import Record
from sslbench.bench.statistics import median_absolute_deviation, run_interval
from sslbench.bench.verification import Difference, difference, same

Rule = tuple[str, Any, Any]
"""Dotted path, what stands there, what follows from other figures."""


def inconsistencies(record: Record) -> tuple[int, list[Difference]]:
    """How many figures follow from others of the record, and those that do not agree with them."""
    try:
        rules = [rule for rule in _rules(record) if rule[1] is not None and rule[2] is not None]
    except (ArithmeticError, ValueError) as error:  # a peak of 0, a negative step
        return 1, [difference("the record", "figures that nothing can be computed with", str(error))]
    return len(rules), [difference(*rule) for rule in rules if not same(rule[1], rule[2])]


def _rules(record: Record) -> Iterator[Rule]:
    yield from _rates(record)
    yield from _held_by_intervals(record)
    if record.kind == "prediction":
        yield from _of_a_prediction(record)
    else:
        yield from _of_samples(record)
        yield from _of_a_measurement(record)


def _devices(record: Record) -> int:
    if record.scaling is not None:
        return record.scaling.devices
    return record.plan.devices if record.plan is not None else 1


def _rates(record: Record) -> Iterator[Rule]:
    time, recipe = record.time, record.recipe
    rate = recipe.batch_size * _devices(record) / time.step_seconds if recipe.batch_size and time.step_seconds else None
    yield "time.samples_per_second", time.samples_per_second, rate
    yield "time.tokens_per_second", time.tokens_per_second, rate * recipe.seq_len if rate and recipe.seq_len else None


def _held_by_intervals(record: Record) -> Iterator[Rule]:
    """An interval has the figure that it is of inside."""
    memory = record.memory
    for name, value, interval in (
        ("memory.interval_bytes", memory.required_bytes, memory.interval_bytes),
        ("memory.allocated_interval_bytes", memory.peak_allocated_bytes, memory.allocated_interval_bytes),
        ("memory.reserved_interval_bytes", memory.peak_reserved_bytes, memory.reserved_interval_bytes),
        ("time.interval_seconds", record.time.step_seconds, record.time.interval_seconds),
        ("energy.interval_joules", record.energy.joules_per_step, record.energy.interval_joules),
    ):
        if value is not None and interval is not None:
            words = f"{interval[0]:.9g} to {interval[1]:.9g}"
            yield name, words, words if interval[0] <= value <= interval[1] else f"around {value:.9g}"


def _of_a_prediction(record: Record) -> Iterator[Rule]:
    plan = record.plan
    if plan is not None and record.time.step_seconds:
        yield "plan.efficiency", plan.efficiency, plan.single_step_seconds / record.time.step_seconds


def _of_samples(record: Record) -> Iterator[Rule]:
    """What the timed steps say by themselves; the interval as the same sslbench computes it."""
    time = record.time
    samples = time.samples_seconds
    if not samples:
        return
    yield "time.step_seconds", time.step_seconds, statistics.median(samples)
    yield "time.mad_seconds", time.mad_seconds, median_absolute_deviation(samples)
    if record.environment.sslbench == package_version("sslbench"):
        again = run_interval(samples)
        for place, stated, expected in zip(("low", "high"), time.interval_seconds or (), again or (), strict=False):
            yield f"time.interval_seconds, {place}", stated, expected
    if record.turns is not None:
        yield "turns.steps, together", sum(record.turns.steps), len(samples)


def _of_a_measurement(record: Record) -> Iterator[Rule]:
    step_s, use, said, scaling = record.time.step_seconds, record.utilization, record.predicted, record.scaling
    if use is not None and record.work.flops and step_s:
        yield "utilization.flops_per_second", use.flops_per_second, _devices(record) * record.work.flops / step_s
        share = use.flops_per_second / use.peak_flops_per_second
        yield "utilization.model_flops_utilization", use.model_flops_utilization, share
    if said is not None:
        yield "predicted.time_error", said.time_error, _error(said.time.step_seconds, step_s)
        for name, field in (("memory_error", "required_bytes"), ("allocated_error", "peak_allocated_bytes")):
            pair = (getattr(memory, field) for memory in (said.memory, record.memory))
            yield f"predicted.{name}", getattr(said, name), _error(*pair)
    if scaling is not None and scaling.single_step_seconds and step_s:
        yield "scaling.efficiency", scaling.efficiency, scaling.single_step_seconds / step_s
    if record.data is not None:
        yield from _of_data(record.data, record.recipe.batch_size)


def _of_data(data: Data, batch: int | None) -> Iterator[Rule]:
    if data.samples_seconds:
        yield "data.step_seconds", data.step_seconds, statistics.fmean(data.samples_seconds)
    if batch:
        yield "data.samples_per_second", data.samples_per_second, batch / data.step_seconds


def _error(predicted: float | None, measured: float | None) -> float | None:
    return predicted / measured - 1 if predicted is not None and measured else None
