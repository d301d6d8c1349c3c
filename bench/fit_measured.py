"""Measured records as what sharpens the prediction of a step on other machines (`fit --measured`)."""

from collections.abc import Sequence
from math import hypot, log
from pathlib import Path, PurePath

from sslbench.bench.environment import describe_environment
from sslbench.bench.errors import RecordError
from sslbench.bench.explanation import MeasuredElsewhere
from sslbench.bench.fit import BACKENDS, TraceSource
from sslbench.bench.predict.elsewhere import Elsewhere, step_key
from sslbench.bench.predict.interval import Z_90
from sslbench.bench.predict.transfer import REPEATED_SIGMA, VERSION_SIGMA, Observation, observe
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record, load_records
from sslbench.bench.trace.cache import TraceCache
from sslbench.bench.trace.events import PHASES

_DOUBTFUL = 2.5
"""Standard deviations of a measured time from its prediction from which on it is named as doubtful."""
_FEW_STEPS_SIGMA = 0.1
"""Standard deviation of the logarithm of a median of so few steps that it has no interval. An estimate."""


def read_measured(paths: Sequence[Path], recipe: Recipe, cache: TraceCache) -> tuple[Elsewhere, list[str]]:
    """What files of measured records say of a recipe's model, and why some records say nothing.

    Args:
        paths: as `profile -o` writes them.
        recipe: what is to be predicted.
        cache: where traces are kept.

    Raises:
        RecordError: a file cannot be read, or no record is of use.
        SSLBenchError: a measured step cannot be traced.
    """
    records = [(path, record) for path in paths for record in load_records(path)]
    reasons = [_of_no_use(record, recipe) for _, record in records]
    left = [
        f"{path}: {record.recipe.name} on {record.machine.name} {why}"
        for (path, record), why in zip(records, reasons, strict=True)
        if why
    ]
    used = [record for (_, record), why in zip(records, reasons, strict=True) if not why]
    if not used:
        raise RecordError(f"--measured {left[0]}")
    observed = [_observe(record, cache) for record in used]
    pairs = list(zip(used, (steps[0] for steps in observed), strict=True))
    return Elsewhere(
        observed=tuple(each for steps in observed for each in steps),
        measured=tuple(_beside(record, whole) for record, whole in pairs),
        warnings=tuple(doubt for record, whole in pairs for doubt in _doubts(record, whole)),
    ), left


def _of_no_use(record: Record, recipe: Recipe) -> str:
    """Why a record cannot sharpen a recipe's prediction; empty where it can."""
    theirs = record.recipe
    if record.kind != "measurement":
        return "is a prediction: measure with `sslbench profile -o FILE`"
    if record.failure is not None or (record.time.step_seconds or 0.0) <= 0:
        return "has no measured step"
    if record.scaling is not None:
        return "ran on several devices: measure it on one"
    if record.backend != BACKENDS[record.machine.device.kind]:
        return f"ran with {record.backend}: only steps of PyTorch are set beside their predictions"
    if (theirs.model, PurePath(theirs.factory).name) != (recipe.model, PurePath(recipe.factory).name):
        return f"measured {theirs.model or theirs.factory}, another model than {recipe.model or recipe.factory}"
    return "" if theirs.compile == recipe.compile else "and what is predicted: only one of the two is compiled"


def _observe(record: Record, cache: TraceCache) -> list[Observation]:
    """The step first, then its phases."""
    trace = TraceSource(record.recipe, cache).run_trace(record.machine.device)
    if not trace.calls:
        raise RecordError(f"--measured: {record.recipe.name} on {record.machine.name} runs no operator of torch")
    interval = record.time.interval_seconds
    within = (
        log(interval[1] / interval[0]) / (2 * Z_90) if interval and 0 < interval[0] <= interval[1] else _FEW_STEPS_SIGMA
    )
    return observe(
        trace,
        record.machine,
        step_key(record.recipe),
        seconds=record.time.step_seconds or 0.0,
        phase_seconds={
            PHASES.index(phase.name): phase.seconds or 0.0 for phase in record.phases if phase.name in PHASES
        },
        sigma=hypot(within, REPEATED_SIGMA, VERSION_SIGMA if _other_torch(record) else 0.0),
    )


def _other_torch(record: Record) -> str:
    """The record's version of torch, where its first two numbers are not those of the version here."""
    theirs, ours = (each.packages.get("torch", "") for each in (record.environment, describe_environment()))
    return theirs if theirs.split(".")[:2] != ours.split(".")[:2] else ""


def _beside(record: Record, whole: Observation) -> MeasuredElsewhere:
    return MeasuredElsewhere(
        recipe=record.recipe.name,
        batch_size=record.recipe.batch_size,
        machine=record.machine.title,
        step_seconds=record.time.step_seconds or 0.0,
        predicted_seconds=whole.predicted_seconds,
    )


def _doubts(record: Record, whole: Observation) -> list[str]:
    where = f"{record.recipe.name} on {record.machine.title}"
    found = [f"{where}: {warning}" for warning in record.warnings]
    if version := _other_torch(record):
        found.append(f"{where} was measured with torch {version}, whose kernels may take other times than today's")
    if abs(whole.log_ratio) > _DOUBTFUL * hypot(whole.mix.sigmas.total, whole.sigma):
        ratio = whole.measured_seconds / whole.predicted_seconds
        found.append(
            f"{where} took {ratio:.2g} times what is predicted there: was it busy, throttled, or another step?"
        )
    return found
