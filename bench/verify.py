"""Records checked: predictions are made again, with the software that is here, from their own recipe and machine.

A measurement cannot be made again from its record: what follows from its timed steps is computed again.

Nothing that a record names is fetched or run: a file that somebody sent may name any. So a step of one's own, and a
model that is not here, are not computed again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sslbench.bench.comparison import version_differences
from sslbench.bench.consistency import inconsistencies
from sslbench.bench.environment import describe_environment
from sslbench.bench.errors import SSLBenchError
from sslbench.bench.fit import Run, fit
from sslbench.bench.fit_onnx import fit_onnx
from sslbench.bench.quantities import Environment
from sslbench.bench.record import Record
from sslbench.bench.trace.cache import TraceCache
from sslbench.bench.verification import Check, Difference, Outcome, difference, leaves, same
from sslbench.kernels.catalog import objective_names
from sslbench.kernels.model_tables import MODELS, config_file, timm_name

_FIGURES = {
    *("memory", "time", "energy", "work", "verdict", "probability_fits", "max_batch_size"),
    *("plan", "bill", "explain"),
}
"""Fields of a prediction that follow from recipe, machine and software."""
_OF_THE_TIME = ("energy.", "bill.")
"""Figures that a sharpened time enters: the measurements behind it are not in the record."""
_JOULES_PER_KWH = 3.6e6


def name_of(record: Record, number: int) -> str:
    """What a check calls a record."""
    return f"record {number}: {record.recipe.name} on {record.machine.title or record.machine.name}"


def check_records(records: Sequence[Record], cache: TraceCache | None) -> Iterator[Check]:
    """Check each record, in order.

    Args:
        records: of one file.
        cache: where traces are kept; None: no prediction is computed again.
    """
    for number, record in enumerate(records, 1):
        stated = record if record.kind == "prediction" else _carried(record)
        if cache is None or record.kind == "measurement":
            yield _check_figures(record, number, again=cache is not None)
        if cache is not None and stated is not None:
            name = name_of(record, number) + ("" if stated is record else ", the prediction beside it")
            check = check_prediction(stated, name, cache)
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


def check_prediction(record: Record, name: str, cache: TraceCache) -> Check:
    """Make a prediction again, and compare every figure that it states.

    Args:
        record: of kind `prediction`; or what a measurement carries.
        name: what the check is called.
        cache: where traces are kept.
    """
    reason = _not_here(record)
    if not reason:
        try:
            return _compared(record, computed_again(record, cache), name)
        except (SSLBenchError, ImportError) as error:
            reason = f"could not be predicted again here: {error}"
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


def _not_here(record: Record) -> str:
    """Why a record cannot be computed again here; empty where it can."""
    recipe = record.recipe
    if "--memory-limit" in record.command:
        return "it was made for less memory than its machine has, and does not say for how much"
    if recipe.factory:
        return "a step of one's own: a report has no code, and code that a report names is not run"
    if recipe.objective not in objective_names():
        return f"objective {recipe.objective!r} is not one of this sslbench"
    if not _is_here(recipe.model):
        return f"model {recipe.model!r} is not here, and `verify` fetches nothing: `sslbench fit --model` does"
    return ""


def _is_here(model: str) -> bool:
    """Whether a model is known without asking the network: of timm by its own name, not one of the hub."""
    if timm_name(model) is not None:
        return ":" not in model.removeprefix("timm:")
    return not model or model in MODELS or config_file(model) is not None


def computed_again(record: Record, cache: TraceCache) -> Record:
    """What `sslbench fit` says of the record's recipe and machine here.

    Raises:
        SSLBenchError: the step cannot be built or traced.
    """
    asked: dict[str, Any] = {"command": record.command, "explained": record.explain is not None}
    if record.backend == "onnx-cpu":
        return fit_onnx(record.recipe, [record.machine], **asked)[0]
    return fit(record.recipe, [record.machine], cache=cache, run=_run(record), **asked)[0]


def _run(record: Record) -> Run:
    """How the record's step was run; the price of electricity follows from the bill."""
    bill = record.bill
    electricity = None
    if bill is not None and bill.electricity_usd is not None and bill.joules:
        electricity = bill.electricity_usd / bill.joules * _JOULES_PER_KWH
    return Run(strategy=record.plan.strategy if record.plan else "ddp", electricity_usd_per_kwh=electricity)


def _compared(record: Record, again: Record, name: str) -> Check:
    stated, expected = (_figures(each, sharpened=record) for each in (record, again))
    found = [*_differences(stated, expected), *_unsaid(record, again)]
    left = "; what was measured elsewhere and sharpens its time is not in it" if record.sharpening else ""
    if not found:
        summary = f"predicted again here: all {len(stated):,} figures are the same, to the byte{left}"
        return Check(subject="prediction", name=name, outcome="not checked" if left else "holds", summary=summary)
    reasons = tuple(_other_software(record.environment, describe_environment(), record))
    outcome: Outcome = "moved" if reasons and _within(record, again) else "differs"
    words = f"predicted again here: {len(found):,} of {len(stated):,} figures differ"
    if outcome == "moved":
        words += ", within its interval and with the same verdict"
    elif not reasons:
        words += ", though the versions are the same"
    return Check(
        subject="prediction",
        name=name,
        outcome=outcome,
        summary=words + left,
        reasons=reasons,
        differences=tuple(found),
    )


def _figures(record: Record, *, sharpened: Record) -> dict[str, Any]:
    """Figures by dotted path; of a sharpened prediction those that its measurements do not enter."""
    table = record.model_dump(mode="json", include=_FIGURES)
    if sharpened.sharpening is None:
        return leaves(table)
    if record.sharpening is not None:
        table["time"] = record.sharpening.unsharpened.model_dump(mode="json")
    return {place: value for place, value in leaves(table).items() if not place.startswith(_OF_THE_TIME)}


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
