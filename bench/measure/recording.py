"""From a worker's outcome to a record. Imports no torch."""

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sslbench.bench.environment import describe_environment
from sslbench.bench.files import with_home, without_home
from sslbench.bench.git import commit_of, has_changes
from sslbench.bench.measure.backends import on_processor
from sslbench.bench.measure.gpu import Gpu
from sslbench.bench.measure.messages import Outcome
from sslbench.bench.measured import Data, PhaseMeasured
from sslbench.bench.quantities import Backend, Energy, Memory, Time
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record
from sslbench.bench.statistics import FEWEST_FOR_INTERVAL, drift, median_absolute_deviation, run_interval
from sslbench.hardware_profiles.here import describe_here, processor_here
from sslbench.kernels.data.source import Source

_NEVER_MEASURED = {
    **dict.fromkeys(("memory.interval_bytes", "energy.interval_joules"), "measured once"),
    **dict.fromkeys(("verdict", "probability_fits", "max_batch_size"), "measured, not predicted"),
}


def make_record(
    outcome: Outcome,
    *,
    recipe: Recipe,
    backend: Backend,
    gpu: Gpu | None,
    sampled_bytes: int | None,
    command: Sequence[str],
) -> Record:
    """The record of a measurement; every field that is null says why.

    Args:
        outcome: what the worker measured.
        recipe: what it ran.
        backend: where it ran.
        gpu: the GPU it ran on, None for a processor, or a GPU that NVML does not show.
        sampled_bytes: most memory that the parent saw the worker hold.
        command: the sslbench arguments that make the record again.
    """
    machine = processor_here() if gpu is None else describe_here()
    if gpu is None and not on_processor(backend):
        memory = _accelerator_memory(outcome)
    elif gpu is None:
        memory = _cpu_memory(outcome, sampled_bytes, int(machine.device.memory_bytes.value))
    else:
        memory = _gpu_memory(outcome, sampled_bytes, gpu.total_bytes)
    return Record(
        kind="measurement",
        created=datetime.now(UTC),
        backend=backend,
        recipe=recipe,
        machine=machine,
        environment=describe_environment().model_copy(update={"threads": outcome.threads, **_code(recipe)}),
        command=list(command),
        memory=memory,
        time=_time(outcome, recipe),
        energy=Energy(joules_per_step=outcome.joules_per_step, source=outcome.energy_source),
        phases=[PhaseMeasured(**phase) for phase in outcome.phases],
        onnx=outcome.onnx or None,
        model_bytes=outcome.model_bytes,
        output_error=outcome.output_error,
        unknown=outcome.unknown | _NEVER_MEASURED | _missing(outcome, recipe, memory),
        warnings=[*outcome.warnings, *_warnings(outcome.samples_seconds, gpu, sampled_bytes)],
    )


def _code(recipe: Recipe) -> dict[str, object]:
    """The git commit of the user's own code: where the factory lies, else where we run."""
    folder = with_home(recipe.factory.rpartition(":")[0]).parent if recipe.factory else Path.cwd()
    return {"commit": commit_of(folder), "uncommitted": has_changes(folder)}


def with_data(record: Record, outcome: Outcome, source: Source) -> Record:
    """The record with what real input showed.

    Loading processes end several batches at a time, so fed steps come in bursts: what one costs is their mean.
    """
    rate, batch = outcome.loader_samples_per_second, record.recipe.batch_size
    step_s = record.time.step_seconds
    assert rate and batch and step_s and outcome.items  # noqa: S101 - a worker with a source measures them
    fed_s = statistics.fmean(outcome.fed_samples_seconds)
    data = Data(
        kind=source.kind,
        source=without_home(source.path),
        items=outcome.items,
        workers=source.workers,
        loader_samples_per_second=rate,
        step_seconds=fed_s,
        samples_per_second=batch / fed_s,
        samples_seconds=outcome.fed_samples_seconds,
        limit="loader" if rate < batch / step_s else "model",
    )
    return record.model_copy(update={"data": data})


def _cpu_memory(outcome: Outcome, sampled: int | None, capacity: int) -> Memory:
    return Memory(
        peak_allocated_bytes=outcome.peak_allocated_bytes,
        peak_reserved_bytes=outcome.peak_reserved_bytes,
        fixed_overhead_bytes=outcome.baseline_bytes,
        required_bytes=outcome.peak_resident_bytes or sampled,
        capacity_bytes=capacity,
        unique_bytes=outcome.unique_bytes,
        minor_page_faults=outcome.minor_page_faults,
        major_page_faults=outcome.major_page_faults,
    )


def _accelerator_memory(outcome: Outcome) -> Memory:
    """Of a GPU that NVML does not show: what torch's allocator tells."""
    return Memory(
        peak_allocated_bytes=outcome.peak_allocated_bytes,
        peak_reserved_bytes=outcome.peak_reserved_bytes,
        unique_bytes=outcome.unique_bytes,
        minor_page_faults=outcome.minor_page_faults,
        major_page_faults=outcome.major_page_faults,
    )


def _gpu_memory(outcome: Outcome, sampled: int | None, capacity: int) -> Memory:
    reserved = outcome.peak_reserved_bytes
    overhead = max(sampled - reserved, 0) if sampled is not None and reserved is not None else None
    return Memory(
        peak_allocated_bytes=outcome.peak_allocated_bytes,
        peak_reserved_bytes=reserved,
        fixed_overhead_bytes=overhead,
        required_bytes=sampled,
        capacity_bytes=capacity,
        unique_bytes=outcome.unique_bytes,
        minor_page_faults=outcome.minor_page_faults,
        major_page_faults=outcome.major_page_faults,
    )


def _time(outcome: Outcome, recipe: Recipe) -> Time:
    samples = outcome.samples_seconds
    median = statistics.median(samples)
    rate = recipe.batch_size / median if recipe.batch_size else None
    return Time(
        step_seconds=median,
        interval_seconds=run_interval(samples),
        samples_per_second=rate,
        samples_seconds=samples,
        mad_seconds=median_absolute_deviation(samples),
        waited_seconds=outcome.waited_seconds if outcome.threads == 1 else [],
        warmup_steps=outcome.warmup_steps,
        tokens_per_second=rate * recipe.seq_len if rate and recipe.seq_len else None,
    )


def _missing(outcome: Outcome, recipe: Recipe, memory: Memory) -> dict[str, str]:
    reasons = {}
    if memory.required_bytes is None:
        reasons["memory.required_bytes"] = "the worker's memory could not be sampled"
    if memory.capacity_bytes is None:
        reasons["memory.capacity_bytes"] = reasons["memory.required_bytes"] = "NVML does not show this GPU"
    if memory.fixed_overhead_bytes is None:
        reasons["memory.fixed_overhead_bytes"] = "the backend does not tell its allocator's share"
    if len(outcome.samples_seconds) < FEWEST_FOR_INTERVAL:
        reasons["time.interval_seconds"] = f"a 90 % interval of the median needs {FEWEST_FOR_INTERVAL} timed steps"
    if len(outcome.samples_seconds) < 2:
        reasons["time.mad_seconds"] = "one timed step has no spread"
    if recipe.batch_size is None:
        reasons["time.samples_per_second"] = "the factory has no batch_size"
        reasons["time.tokens_per_second"] = "the factory has no batch_size"
    elif recipe.seq_len is None:
        reasons["time.tokens_per_second"] = "the recipe has no seq_len"
    return reasons


def _warnings(samples: list[float], gpu: Gpu | None, sampled: int | None) -> list[str]:
    found = []
    if len(samples) < FEWEST_FOR_INTERVAL:
        few = f"fewer than {FEWEST_FOR_INTERVAL} steps were timed ({len(samples)})"
        found.append(f"{few}: raise --steps or --max-seconds")
    change = drift(samples)
    if change is not None:
        found.append(f"step time changed by {change:+.0%} from the first half of the steps to the second: not settled")
    if gpu is not None and sampled is not None and not gpu.sees_process:
        found.append("NVML does not show this process's GPU memory: required_bytes is what the GPU's total grew by")
    return found
