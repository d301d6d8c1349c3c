"""One measurement in words."""

from collections.abc import Iterator
from dataclasses import dataclass

from sslbench.bench.record import Record
from sslbench.reports.beside import ComparisonRow, own_rows, predicted_words
from sslbench.reports.memory import MemoryBar, memory_bar
from sslbench.reports.phases import PhaseBar, phase_bar
from sslbench.reports.ranks import ScalingView, scaling_view
from sslbench.reports.samples import DotPlot, dot_plot, middle_half
from sslbench.reports.state import state_rows
from sslbench.reports.units import (
    format_bytes,
    format_margin,
    format_rate,
    format_seconds,
    format_seconds_interval,
    format_share,
    format_si,
    significant,
)
from sslbench.reports.view import command_text, measured_step_s, throughput, warnings_of
from sslbench.reports.words import (
    LABEL_LENGTH,
    NOT_KNOWN,
    RecipeLabel,
    machine_title,
    plain,
    recipe_label,
    sample_unit,
    unknown_reason,
)

_KINDS = {
    "out-of-memory": "out of memory",
    "killed": "killed",
    "crashed": "crashed",
    "timed-out": "timed out",
    "raised": "raised an error",
}


@dataclass(frozen=True, slots=True)
class MeasurementView:
    """One measurement in words; a text that is empty has nothing to show."""

    recipe: RecipeLabel
    machine: str
    machine_name: str
    backend: str
    failure: str
    """`out of memory in warm-up after 0 steps`; empty where the step ran."""
    failure_kind: str
    failure_place: str
    failure_message: str
    step_time: str
    margin: str
    """`± 0.6 %`: how far the 90 % interval reaches."""
    step_basis: str
    """What the step time is, such as `median of 30 steps after 5 of warm-up`."""
    spread: str
    throughput: str
    tokens: str
    arithmetic: str
    """FLOP per second."""
    arithmetic_basis: str
    utilization: str
    """MFU alone, such as `41 %`."""
    memory: str
    memory_basis: str
    memory_rows: tuple[tuple[str, str], ...]
    page_faults: str
    energy: str
    energy_basis: str
    loader: str
    """How fast real input comes, and whether it is the limit; empty where there was none."""
    loader_basis: str
    predicted: str
    """What was predicted, and how far that is off."""
    beside: tuple[ComparisonRow, ...]
    phases: PhaseBar | None
    scaling: ScalingView | None
    state: tuple[tuple[str, str], ...]
    model: str
    """The exported model of ONNX Runtime: its size, and how far its outputs are from torch's."""
    snapshot: str
    plot: DotPlot | None
    bar: MemoryBar | None
    warnings: tuple[str, ...]
    command: str


def measurement_view(record: Record) -> MeasurementView:
    """What a report shows of a measurement."""
    step_s = measured_step_s(record)
    kind, place = _failure(record)
    memory, basis = _memory(record)
    use = record.utilization
    tokens = record.time.tokens_per_second
    return MeasurementView(
        recipe=recipe_label(record.recipe),
        machine=machine_title(record.machine),
        machine_name=plain(record.machine.name, LABEL_LENGTH),
        backend=backend_words(record),
        failure=f"{kind} {place}" if kind else "",
        failure_kind=kind,
        failure_place=place,
        failure_message=plain(record.failure.message) if record.failure else "",
        step_time=format_seconds(step_s) if step_s is not None else "" if kind else NOT_KNOWN,
        margin=format_margin(record.time.interval_seconds, step_s) if record.time.interval_seconds and step_s else "",
        step_basis=_step_basis(record),
        spread=_spread(record),
        throughput="" if kind else throughput(record, step_s),
        tokens="" if tokens is None else format_rate(tokens, "tokens"),
        arithmetic=format_si(use.flops_per_second, "FLOP/s") if use else "",
        arithmetic_basis=_arithmetic_basis(record),
        utilization=format_share(use.model_flops_utilization) if use else "",
        memory=memory,
        memory_basis=basis,
        memory_rows=tuple(_memory_rows(record)),
        page_faults=_faults(record),
        energy=_energy(record),
        energy_basis=_energy_basis(record),
        loader=_loader(record),
        loader_basis=f"fed by it a step takes {format_seconds(record.data.step_seconds)} on average"
        if record.data
        else "",
        predicted=predicted_words(record),
        beside=own_rows(record),
        phases=phase_bar(record.phases),
        scaling=scaling_view(record.scaling),
        state=state_rows(record.state),
        model=_model(record),
        snapshot=plain(record.snapshot or ""),
        plot=dot_plot(record.time.samples_seconds),
        bar=memory_bar(record.memory) if record.memory.breakdown else None,
        warnings=warnings_of(record),
        command=command_text(record),
    )


def backend_words(record: Record) -> str:
    """Backend, threads, and devices where there are several."""
    parts: list[str] = [record.backend]
    threads, scaling = record.environment.threads, record.scaling
    if threads is not None:
        parts.append(f"{threads} thread{'' if threads == 1 else 's'}")
    if scaling:
        parts.append(f"{scaling.devices:,} devices")
    return ", ".join(parts)


def _failure(record: Record) -> tuple[str, str]:
    """What went wrong, and where; nothing for a step that ran."""
    failure = record.failure
    if failure is None:
        return "", ""
    steps = f"{failure.steps_done:,} step{'' if failure.steps_done == 1 else 's'}"
    return _KINDS[failure.kind], f"in {plain(failure.phase, LABEL_LENGTH)} after {steps}"


def _step_basis(record: Record) -> str:
    samples, warmup = record.time.samples_seconds, record.time.warmup_steps
    if not samples:
        return "" if record.failure else unknown_reason(record, "time.step_seconds")
    steps = f"median of {len(samples):,} step{'' if len(samples) == 1 else 's'}"
    return f"{steps} after {warmup:,} of warm-up" if warmup else steps


def _spread(record: Record) -> str:
    if record.time.mad_seconds is not None:
        return f"MAD {format_seconds(record.time.mad_seconds)}"
    half = middle_half(record.time.samples_seconds)
    return f"middle half {format_seconds_interval(half)}" if half else ""


def _arithmetic_basis(record: Record) -> str:
    use = record.utilization
    if use is None:
        return ""
    peak = format_si(use.peak_flops_per_second, "FLOP/s")
    counted = ", recomputation counted" if record.recipe.activation_checkpointing else ""
    return f"MFU {format_share(use.model_flops_utilization)} of {peak} ({use.peak_basis} peak{counted})"


def _memory(record: Record) -> tuple[str, str]:
    memory = record.memory
    if memory.required_bytes is not None:
        basis = "peak resident memory of the process" if record.machine.device.kind == "cpu" else "peak on the device"
        return format_bytes(memory.required_bytes), basis
    if memory.peak_allocated_bytes is not None:
        return format_bytes(memory.peak_allocated_bytes), "peak that tensors held"
    return ("", "") if record.failure else (NOT_KNOWN, unknown_reason(record, "memory.required_bytes"))


def _memory_rows(record: Record) -> Iterator[tuple[str, str]]:
    """Every measured figure of memory beside the headline's."""
    memory, on_cpu = record.memory, record.machine.device.kind == "cpu"
    for label, size in (
        ("tensors (allocated)", memory.peak_allocated_bytes),
        ("reserved by the allocator", memory.peak_reserved_bytes),
        ("process before the step" if on_cpu else "outside the allocator", memory.fixed_overhead_bytes),
        ("unique to the process (USS)" if on_cpu else "host memory of the process (USS)", memory.unique_bytes),
        ("whole device", memory.device_used_bytes),
    ):
        if size is not None:
            yield label, format_bytes(size)


def _model(record: Record) -> str:
    size, error = record.model_bytes, record.output_error
    differs = "" if error is None else f"outputs within {error:.1g} of torch's in fp32"
    return ", ".join(filter(None, ("" if size is None else format_bytes(size), differs)))


def _faults(record: Record) -> str:
    minor, major = record.memory.minor_page_faults, record.memory.major_page_faults
    steps = "" if minor is None else f"{minor:,} a step"
    return ", ".join(filter(None, (steps, f"{major:,} from a disk" if major else "")))


def _energy(record: Record) -> str:
    joules = record.energy.joules_per_step
    if joules is None:
        return "" if record.failure else NOT_KNOWN
    return f"{significant(joules)} J/step"


def _energy_basis(record: Record) -> str:
    if record.energy.joules_per_step is None:
        return "" if record.failure else unknown_reason(record, "energy.joules_per_step")
    return plain(record.energy.source or "", LABEL_LENGTH)


def _loader(record: Record) -> str:
    data = record.data
    if data is None:
        return ""
    rate = format_rate(data.loader_samples_per_second, sample_unit(record.recipe))
    workers = f"{data.workers:,} worker{'' if data.workers == 1 else 's'}" if data.workers else "no worker of its own"
    other = "model" if data.limit == "loader" else "loader"
    return f"{rate} with {workers}: the {data.limit} is the limit, not the {other}"
