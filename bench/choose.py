"""Which machine for a recipe: every candidate predicted, ranked by money, time or energy, and what keeps one out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sslbench.bench.doubts import warnings_of
from sslbench.bench.errors import RecipeError
from sslbench.bench.fit import Run, TraceSource, record_of, with_defaults
from sslbench.bench.predict.bill import NO_BUDGET
from sslbench.bench.predict.communication import fabric_of
from sslbench.bench.predict.prediction import predict
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record
from sslbench.bench.trace.cache import TraceCache
from sslbench.hardware_profiles.schema import Machine

Measure = Literal["cost", "speed", "energy"]
_UNKNOWN = {"cost": "no rent known", "speed": "no batch known", "energy": "no power known"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a whole run may take."""

    seconds: float | None = None
    usd: float | None = None
    """Of rent."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One candidate."""

    record: Record
    rank: float | None
    """By what it is ranked, for one sample: US dollars, seconds or joules."""
    out: str
    """What keeps it out; empty where nothing does."""


def choose(
    recipe: Recipe,
    machines: Sequence[Machine],
    *,
    by: Measure,
    limits: Limits,
    run: Run,
    cache: TraceCache,
    command: list[str],
) -> list[Choice]:
    """Every machine predicted, the best first, those that something keeps out last.

    Args:
        recipe: what is trained or run.
        machines: candidates; see `with_counts`.
        by: what they are ranked by.
        limits: of a whole run.
        run: how it is run.
        cache: where traces are kept between calls.
        command: the sslbench arguments that ask this, for the records.

    Raises:
        RecipeError: there are limits, but no budget to hold them against.
        SSLBenchError: the step cannot be built or traced.
    """
    recipe = with_defaults(recipe)
    if recipe.budget is None and (limits.seconds is not None or limits.usd is not None):
        raise RecipeError(f"recipe {recipe.name}: {NO_BUDGET.partition(': ')[2]}, to hold the limits against")
    source = TraceSource(recipe, cache)
    found = [_choice(_record(recipe, machine, source, run, command), by, limits) for machine in machines]
    return sorted(found, key=lambda choice: (bool(choice.out), choice.rank is None, choice.rank or 0.0))


def with_counts(machines: Sequence[Machine], most: int) -> Iterator[Machine]:
    """Each machine with one device, two, four, ... up to `most`, as far as what connects them is known."""
    for machine in machines:
        count = machine.device_count
        while count == machine.device_count or count <= most:
            several = machine.model_copy(update={"device_count": count})
            if count > machine.device_count and fabric_of(several) is None:
                break
            yield several
            count *= 2


def _record(recipe: Recipe, machine: Machine, source: TraceSource, run: Run, command: list[str]) -> Record:
    trace = source.trace(machine.device, recipe.batch_size)
    prediction = predict(trace, machine, expandable=recipe.expandable_segments, strategy=run.strategy)
    reason = "not looked for: ask `sslbench fit`"
    warnings = warnings_of(recipe, machine)
    return record_of(recipe, machine, prediction, command, run, unknown={"max_batch_size": reason}, warnings=warnings)


def _choice(record: Record, by: Measure, limits: Limits) -> Choice:
    rank, bill = _per_sample(record, by), record.bill
    out = ""
    if record.verdict == "does-not-fit":
        out = "does not fit"
    elif bill is not None and limits.seconds is not None and bill.seconds > limits.seconds:
        out = "too slow"
    elif bill is not None and limits.usd is not None and bill.rent_usd is None:
        out = _UNKNOWN["cost"]
    elif bill is not None and limits.usd is not None and (bill.rent_usd or 0.0) > limits.usd:
        out = "too dear"
    elif rank is None:
        out = _UNKNOWN[by]
    return Choice(record, rank, out)


def _per_sample(record: Record, by: Measure) -> float | None:
    rate, step = record.time.samples_per_second, record.time.step_seconds
    if not rate or not step:
        return None
    if by == "speed":
        return 1 / rate
    if by == "energy":
        joules = record.energy.joules_per_step
        return None if joules is None else joules / (rate * step)
    rent = record.machine.price.rent_usd_per_hour
    devices = record.machine.device_count if fabric_of(record.machine) else 1
    return None if rent is None else devices * rent.value / 3600 / rate
