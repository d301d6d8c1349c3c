"""The prediction beside a measurement: made when the measurement is done, in a process of its own. Imports no torch.

Whatever goes wrong here costs the record its prediction, with the reason in `unknown`, and nothing else.
"""

import time
from collections.abc import Callable
from typing import Any

from sslbench.bench.errors import MeasureError, SSLBenchError
from sslbench.bench.measure.messages import Spec
from sslbench.bench.measure.process import run_worker
from sslbench.bench.measured import Predicted, Utilization
from sslbench.bench.predict.capacity import limited
from sslbench.bench.quantities import Backend, Work
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record
from sslbench.hardware_profiles.schema import Machine

_TIMEOUT_SECONDS = 300.0  # the largest steps of the catalog are traced within one minute on two cores
_DEVICES = {"torch-cuda": ("cuda", "rocm"), "torch-cpu": ("cpu",), "onnx-cpu": ("cpu",)}
"""Kinds of devices that each backend is predicted for."""
_WORK = ("flops", "bytes_read", "bytes_written", "operators", "parameters")


def with_prediction(
    record: Record,
    *,
    devices: int = 1,
    memory_limit_bytes: int | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Record:
    """The measurement with what was predicted for it, what its step computes, and what share of the peak that is.

    Args:
        record: the finished measurement, or a failed one.
        devices: on how many devices the step ran; memory and time of several are not predicted.
        memory_limit_bytes: what the step was allowed to hold, where that was less than the machine has.
        progress: told that the prediction begins.
    """
    reason = _not_predicted(record.recipe, record.backend, record.machine)
    if reason:
        return without_prediction(record, reason)
    if progress is not None:
        progress("prediction", 0, None)
    try:
        found = _predict(record.recipe, record.backend, record.machine, memory_limit_bytes)
    except SSLBenchError as error:
        return without_prediction(record, f"the step could not be predicted: {error}")
    return _filled(record, Record.model_validate(found["record"]), found["peak"], devices)


def without_prediction(record: Record, reason: str) -> Record:
    """The measurement, saying why nothing was predicted for it and no operator of its step counted."""
    unknown = dict.fromkeys(("predicted", "utilization", *(f"work.{name}" for name in _WORK)), reason)
    return record.model_copy(update={"unknown": record.unknown | unknown})


def predicted_record(
    recipe: Recipe, backend: Backend, machine: Machine, *, memory_limit_bytes: int | None = None
) -> Record:
    """What `sslbench fit` says of a recipe on a machine, from a process of its own.

    Raises:
        SSLBenchError: the step cannot be traced, or steps of that kind are not predicted.
    """
    reason = _not_predicted(recipe, backend, machine)
    if reason:
        raise MeasureError(reason)
    return Record.model_validate(_predict(recipe, backend, machine, memory_limit_bytes)["record"])


def _not_predicted(recipe: Recipe, backend: Backend, machine: Machine) -> str:
    """Why there is no prediction for this backend, stage and device; empty where there is one."""
    if backend not in _DEVICES:
        return f"{backend} is not predicted"
    if backend == "onnx-cpu" and recipe.stage != "infer":
        return "training in ONNX Runtime is not predicted"
    if machine.device.kind not in _DEVICES[backend]:
        return f"the device has no profile ({machine.notes or machine.title})"
    return ""


def _predict(recipe: Recipe, backend: Backend, machine: Machine, memory_limit_bytes: int | None) -> dict[str, Any]:
    machine = machine if memory_limit_bytes is None else limited(machine, memory_limit_bytes)
    spec = Spec(
        task="predict",
        backend=backend,
        recipe=recipe.model_dump(),
        steps=None,
        warmup=None,
        tolerance=1.0,
        max_seconds=_TIMEOUT_SECONDS,
        machine=machine.model_dump(mode="json"),
    )
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    return run_worker(spec, deadline=deadline, on_phase=lambda *_: None, on_step=lambda *_: None).prediction


def _filled(record: Record, prediction: Record, peak: Any, devices: int) -> Record:
    utilization = _utilization(record, prediction.work, peak, devices)
    unknown = {f"work.{name}": "not in the trace" for name in _WORK if getattr(prediction.work, name) is None}
    if utilization is None:
        unknown["utilization"] = "the step did not run" if record.failure else "the step has no matrix product"
    if devices > 1:
        unknown["predicted"] = "memory and time of a step on several devices are not predicted"
    update = {
        "work": prediction.work,
        "utilization": utilization,
        "predicted": None if devices > 1 else compared(record, prediction),
        "unknown": record.unknown | unknown,
        "warnings": [*record.warnings, *_warnings(prediction, utilization)],
    }
    return record.model_copy(update=update)


def _warnings(prediction: Record, utilization: Utilization | None) -> list[str]:
    found = [f"prediction: {warning}" for warning in prediction.warnings]
    if utilization is not None and utilization.model_flops_utilization > 1:
        basis = utilization.peak_basis
        why = "something else ran while it was measured" if basis != "datasheet" else "its profile is too low"
        found.append(f"the step computes faster than the machine's {basis} peak: {why}; MFU and predicted time are off")
    return found


def compared(measurement: Record, prediction: Record) -> Predicted:
    """A prediction beside the measurement of the same step, with its relative errors."""
    said, found = prediction.memory, measurement.memory
    return Predicted(
        memory=said,
        time=prediction.time,
        verdict=prediction.verdict,
        max_batch_size=prediction.max_batch_size,
        memory_error=_error(said.required_bytes, found.required_bytes),
        allocated_error=_error(said.peak_allocated_bytes, found.peak_allocated_bytes),
        time_error=_error(prediction.time.step_seconds, measurement.time.step_seconds),
    )


def _error(predicted: float | None, measured: float | None) -> float | None:
    return predicted / measured - 1 if predicted is not None and measured else None


def _utilization(record: Record, work: Work, peak: Any, devices: int) -> Utilization | None:
    """Of all devices together: each computes the whole step on a batch of its own."""
    step_s = record.time.step_seconds
    if not step_s or not work.flops:
        return None
    figure = record.machine.device.peak_flops_per_second[peak]
    rate, most = devices * work.flops / step_s, record.machine.device_count * figure.value
    return Utilization(
        flops_per_second=rate,
        peak_flops_per_second=most,
        peak_basis=figure.basis,
        model_flops_utilization=rate / most,
    )
