"""What a prediction rests on: memory over the step, what is alive at the peak, the longest operators, the constants."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from sslbench.bench.explanation import Alive, Bound, Explanation, OperatorTime, Timeline
from sslbench.bench.predict.constants import constants_used
from sslbench.bench.predict.efficiency import L2_COST
from sslbench.bench.predict.peak import peak_dtype
from sslbench.bench.predict.time import (
    FRESH_MEMORY,
    TimePrediction,
    at_work,
    kernel_bounds,
    operator_seconds,
    predict_time,
)
from sslbench.bench.predict.workspace import workspace_bytes
from sslbench.bench.trace.events import (
    BUILD,
    CATEGORIES,
    FORWARD,
    OPTIMIZER,
    PHASES,
    OperatorKind,
    Trace,
    module_pattern,
)
from sslbench.bench.trace.lifetimes import alive_after, find_peak, part_range, totals
from sslbench.hardware_profiles.schema import Device, DType, Machine

POINTS = 160
"""Moments of a timeline: two a column on a terminal."""
WORKSPACE = "cuDNN workspace"
"""Named as the operator of what the allocator gives to cuDNN beside the trace's storages."""

_Origin = tuple[str, str, str, str]


def explain(trace: Trace, machine: Machine) -> Explanation:
    """What the prediction of a trace on a machine rests on."""
    seconds = predict_time(trace, machine)
    return Explanation(
        timeline=timeline(trace),
        phase_peaks_bytes=phase_peaks(trace),
        alive_at_peak=at_peak(trace),
        device_seconds=seconds.device_seconds,
        launch_seconds=seconds.dispatch_seconds,
        operators=sorted([*operator_times(trace, machine), *_fresh(seconds)], key=lambda row: -row.seconds),
        cache_bytes_per_second=_cache_bytes_per_second(machine.device),
        constants=constants_used(trace, machine),
    )


def _cache_bytes_per_second(device: Device) -> float | None:
    return None if device.kind == "cpu" else device.memory_bandwidth_bytes_per_second.value / L2_COST


def _fresh(seconds: TimePrediction) -> list[OperatorTime]:
    """On a CPU, what the system takes to hand out large fresh memory: no operator, but time of the step."""
    fresh = seconds.seconds_by_class.get(FRESH_MEMORY, 0.0)
    return [OperatorTime(operator=FRESH_MEMORY, calls=0, seconds=fresh, bound="bandwidth")] if fresh else []


# ---------------------------------------------------------------------- memory
def timeline(trace: Trace, points: int = POINTS) -> Timeline:
    """Bytes alive by category over the part of the trace that holds the peak.

    Args:
        trace: what is looked at.
        points: most moments to keep; of each stretch of events the one with most bytes, so that the peak stays.
    """
    alive = totals(trace)
    peak = find_peak(trace, alive)
    part = part_range(trace, peak.part)
    kept = _fullest(alive, part, points)
    columns = _by_category(trace, kept)
    return Timeline(
        part=peak.part,
        events=len(part),
        positions=[position - part.start for position in kept],
        bytes=columns,
        phases=[(PHASES[phase], start - part.start) for phase, start in _phases(trace, part)],
        peak_at=kept.index(peak.position) if kept else None,
    )


def _fullest(alive: Sequence[int], part: range, points: int) -> list[int]:
    """The first position with most bytes in each of `points` stretches of a part."""
    count = min(points, len(part))
    bounds = [part.start + len(part) * place // count for place in range(count + 1)] if count else []
    return [max(range(start, end), key=alive.__getitem__) for start, end in pairwise(bounds)]


def _by_category(trace: Trace, positions: Sequence[int]) -> dict[str, list[int]]:
    """Bytes alive after the events at ascending positions, by category."""
    current: Counter[str] = Counter()
    samples: list[dict[str, int]] = []
    wanted = set(positions)
    for position, event in enumerate(trace.events[: positions[-1] + 1 if positions else 0]):
        storage = trace.storages[event if event >= 0 else ~event]
        current[storage.category] += storage.size if event >= 0 else -storage.size
        if position in wanted:
            samples.append(dict(current))
    columns = {name: [sample.get(name, 0) for sample in samples] for name in CATEGORIES}
    return {name: column for name, column in columns.items() if any(column)}


def _phases(trace: Trace, part: range) -> list[tuple[int, int]]:
    """(phase, position of its first event) of each stretch of a part that has events."""
    stretches: list[tuple[int, int]] = []
    ends = [position for position, _ in trace.phase_marks[1:]] + [part.stop]
    for (start, phase), end in zip(trace.phase_marks, ends, strict=True):
        first = max(start, part.start)
        if first < min(end, part.stop) and (not stretches or stretches[-1][0] != phase):
            stretches.append((phase, first))
    # What follows the last update (gradients are dropped, a loss is read) is no forward pass.
    if [phase for phase, _ in stretches[-2:]] == [OPTIMIZER, FORWARD]:
        stretches.pop()
    return stretches


def phase_peaks(trace: Trace) -> dict[str, int]:
    """Most bytes alive in each phase of the second step, and while building; a phase without events is left out."""
    alive = totals(trace)
    peaks: Counter[str] = Counter()
    build, step = part_range(trace, "build"), part_range(trace, "second step")
    if build:
        peaks[PHASES[BUILD]] = max(alive[position] for position in build)
    for (phase, start), (_, end) in pairwise([*_phases(trace, step), (BUILD, step.stop)]):
        peaks[PHASES[phase]] = max(peaks[PHASES[phase]], *alive[start:end])
    return dict(peaks)


def at_peak(trace: Trace) -> list[Alive]:
    """What is alive at the peak by module (repeated blocks together), category, operator and line, largest first.

    A CUDA step's cuDNN workspace counts too: the sums by category are those of the record's breakdown.
    """
    groups: dict[_Origin, list[int]] = defaultdict(list)
    for index in alive_after(trace, find_peak(trace).position):
        storage = trace.storages[index]
        if storage.size:
            module = module_pattern(trace.modules[storage.module])
            groups[module, storage.category, storage.operator, trace.lines[storage.line]].append(storage.size)
    workspace = workspace_bytes(trace)
    if workspace:
        groups["", "temporary", WORKSPACE, ""].append(workspace)
    rows = [
        Alive(module=module, category=category, bytes=sum(sizes), storages=len(sizes), operator=operator, line=line)
        for (module, category, operator, line), sizes in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row.bytes, row.module, row.category, row.operator, row.line))


# ---------------------------------------------------------------------- time
@dataclass(slots=True)
class _Sums:
    """Of the calls that make one row."""

    calls: int = 0
    flops: int = 0
    bytes: int = 0
    seconds: dict[Bound, float] = field(default_factory=lambda: defaultdict(float))


def operator_times(trace: Trace, machine: Machine) -> list[OperatorTime]:
    """Predicted device time of the operators of the second step, longest first."""
    device = at_work(trace, machine.device)
    rows: dict[tuple[str, str, DType | None], _Sums] = defaultdict(_Sums)
    for index, count in Counter(call.kind for call in trace.calls).items():
        kind = trace.kinds[index]
        if kind.is_view:
            continue
        seconds, family, bound = _time_of(kind, device, trace)
        row = rows[kind.name, family, peak_dtype(kind, device, trace) if kind.flops else None]
        row.calls += count
        row.flops += count * kind.flops
        row.bytes += count * (kind.bytes_read + kind.bytes_written)
        row.seconds[bound] += count * seconds
    found = [
        OperatorTime(
            operator=name,
            calls=row.calls,
            seconds=sum(row.seconds.values()),
            bound=max(row.seconds, key=row.seconds.__getitem__),
            family=family,
            dtype=dtype,
            flops=row.flops,
            bytes=row.bytes,
        )
        for (name, family, dtype), row in rows.items()
    ]
    return sorted(found, key=lambda row: -row.seconds)


def _time_of(kind: OperatorKind, device: Device, trace: Trace) -> tuple[float, str, Bound]:
    """Seconds of one call, the family of its kernel with most arithmetic (or traffic), and what bounds it."""
    kernels = kernel_bounds(kind, device, trace)
    seconds = operator_seconds(kind, device, trace)
    family = max(kernels, key=lambda kernel: (kernel[0] != "layout conversion", *kernel[1:]))[0]
    if seconds < device.launch_seconds.value:
        return seconds, family, "launch"
    lead = sum(arithmetic - traffic for _, arithmetic, traffic in kernels)
    return seconds, family, "compute" if lead > 0 else "bandwidth"
