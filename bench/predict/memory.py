"""Memory of a step on a machine: the trace's storages through the allocator, plus what lies outside it, and how sure.

Every spread is named here with where it comes from.
"""

from collections import Counter
from dataclasses import dataclass
from math import erf, hypot, sqrt

from sslbench.bench.accuracy import FITS_PROBABILITY
from sslbench.bench.predict.capacity import MIB, capacity_bytes, overhead_bytes
from sslbench.bench.predict.identity import kept_for_itself
from sslbench.bench.predict.interval import beside
from sslbench.bench.predict.replay import Replay, replay_of, trains
from sslbench.bench.quantities import Memory, Verdict
from sslbench.bench.trace.events import Trace
from sslbench.bench.trace.lifetimes import alive_after, find_peak
from sslbench.hardware_profiles.schema import Machine

CUDA_CONTEXT_SIGMA_BYTES = 100 * MIB
"""Spread of the context between cards and steps. Its two figures lie within one and a half of these; PyTorch's
maintainers name 300 to 400 MB for less work (https://github.com/pytorch/pytorch/issues/107667)."""
EAGER_CONTEXT_SIGMA_BYTES = 200 * MIB
"""Spread of the contexts of CUDA before 11.7. 1343 to 1823 MiB on three cards (hardware_profiles/context.py)."""
DESKTOP_SIGMA_BYTES = 250 * MIB
"""Spread of what a desktop takes of a GPU's memory. An estimate."""
CPU_BASELINE_SIGMA_BYTES = 15 * MIB
"""Spread of the baseline. As measured, see there."""
CPU_HEAP_SIGMA_BYTES = 80 * MIB
"""Spread of what the heap keeps. As measured, see there."""

# Standard deviation of log(measured / predicted) allocated bytes.
ALLOCATED_SIGMA = 0.02
"""Spread of allocated bytes. 78 published peaks of steps whose code is known lie within 2.3 %, most within 0.5 %; of 20
that were predicted blind, with other code for the same model, 12 lie in the interval (docs/accuracy.md)."""
CPU_SIGMA = 0.01
"""Spread of a CPU's tensors and kernels' temporaries. Peaks of the catalog's small recipes equal torch's allocator's
within 0.5 % (tests/bench/trace/test_cpu_allocator.py)."""
FRAGMENTATION_SIGMA = 0.25
"""Spread of reserved less allocated, as a share of it. An estimate: the real order of allocations may fragment more or
less than the replayed one."""


@dataclass(frozen=True, slots=True)
class MemoryPrediction:
    """Memory of one step on one machine, with the verdict."""

    memory: Memory
    verdict: Verdict
    probability_fits: float


def predict_memory(trace: Trace, machine: Machine, *, expandable: bool = False) -> MemoryPrediction:
    """Peak memory of a trace on a machine and whether it fits; `expandable` as in `Replay`."""
    capacity, overhead = capacity_bytes(machine), overhead_bytes(machine, trains=trains(trace))
    step = replay_of(trace, machine, expandable=expandable)
    allocated, reserved = step.peaks()
    required = overhead + (allocated if reserved is None else reserved)
    sigmas = _sigmas(trace, machine, allocated, reserved)
    probability = _probability(step, sigmas.least)
    verdict = _verdict(probability, required, machine)
    lower, upper = beside(required, sigmas.required)
    memory = Memory(
        peak_allocated_bytes=allocated,
        peak_reserved_bytes=reserved,
        fixed_overhead_bytes=overhead,
        required_bytes=required,
        # A step that fits never holds more than there is: the allocator gives cached memory back first.
        interval_bytes=(lower, min(upper, capacity) if verdict == "fits" else upper),
        allocated_interval_bytes=beside(allocated, sigmas.allocated),
        reserved_interval_bytes=None if reserved is None else beside(reserved, sigmas.reserved),
        capacity_bytes=capacity,
        breakdown=_with_workspace(breakdown(trace), step.workspace),
    )
    return MemoryPrediction(memory, verdict, round(probability, 4))


def _with_workspace(parts: dict[str, int], workspace: int) -> dict[str, int]:
    if not workspace:
        return parts
    return parts | {"temporary": parts.get("temporary", 0) + workspace}


def _probability(step: Replay, sigma: float) -> float:
    """Probability that the step runs: how many sigma less (or more) memory would be the least that it runs in."""
    limit, low, high = step.limit_bytes, -4.0, 4.0
    if step.runs_within(limit - high * sigma):
        return 1.0
    if not step.runs_within(limit - low * sigma):
        return 0.0
    for _ in range(8):
        middle = (low + high) / 2
        if step.runs_within(limit - middle * sigma):
            low = middle
        else:
            high = middle
    return 0.5 * (1 + erf((low + high) / 2 / sqrt(2)))


@kept_for_itself(16)
def breakdown(trace: Trace) -> dict[str, int]:
    """Bytes alive at the peak, by category, largest first; they sum to the peak before the allocator rounds."""
    categories: Counter[str] = Counter()
    for index in alive_after(trace, find_peak(trace).position):
        categories[trace.storages[index].category] += trace.storages[index].size
    return {category: size for category, size in categories.most_common() if size}


@dataclass(frozen=True, slots=True)
class _Sigmas:
    """Standard deviations in bytes."""

    allocated: float
    reserved: float
    required: float
    least: float
    """Of the least memory that the step runs in: under pressure the allocator gives back what fragments hold."""


def _sigmas(trace: Trace, machine: Machine, allocated: int, reserved: int | None) -> _Sigmas:
    if reserved is None:
        tensors = CPU_SIGMA * allocated
        heap = CPU_HEAP_SIGMA_BYTES if trains(trace) else 0
        resident = hypot(tensors, CPU_BASELINE_SIGMA_BYTES, heap)
        return _Sigmas(tensors, 0.0, resident, resident)
    # other vendors' kernels are not CUDA's
    tensors = ALLOCATED_SIGMA * allocated * (1 if machine.device.kind == "cuda" else 2)
    segments = hypot(tensors, FRAGMENTATION_SIGMA * (reserved - allocated))
    old = machine.device.context_bytes is not None
    context = (EAGER_CONTEXT_SIGMA_BYTES if old else CUDA_CONTEXT_SIGMA_BYTES) if machine.device.kind != "mps" else 0
    desktop = 0 if machine.device.in_use_bytes is None else DESKTOP_SIGMA_BYTES
    return _Sigmas(tensors, segments, hypot(segments, context, desktop), hypot(tensors, context, desktop))


def _verdict(probability: float, required: int, machine: Machine) -> Verdict:
    if probability >= FITS_PROBABILITY:
        return "fits"
    if probability > 1 - FITS_PROBABILITY:
        return "tight"
    unified = machine.device.memory_kind == "unified"
    return "spills" if unified and required <= machine.device.memory_bytes.value else "does-not-fit"
