"""Memory of a step on a machine: the trace's storages through the allocator, plus what lies outside it.

Every constant is named here with where it comes from.
"""

from collections import Counter
from dataclasses import dataclass
from math import erf, hypot, sqrt

from sslbench.bench.record import Memory, Verdict
from sslbench.bench.trace.allocator import OutOfDeviceMemoryError, peak_bytes, replay
from sslbench.bench.trace.events import Trace
from sslbench.hardware_profiles.schema import Machine

MIB = 2**20
GIB = 2**30

CUDA_CONTEXT_BYTES = 600 * MIB
"""CUDA context with the kernels that a training step loads, outside the allocator (lazy loading, CUDA 11.7 and newer).

0.47 GiB after the first tensor on an A100 (torch 2.1.1+cu121; stas00/ml-engineering, training/performance/README.md);
618 MiB after training GPT-2 on an A10G (huggingface/optimum-benchmark CI: device memory less the reserved peak).
"""
CUDA_CONTEXT_SIGMA_BYTES = 100 * MIB
"""The two figures above and the 300 to 400 MB that PyTorch's maintainers name lie within two of these."""
CUDA_USABLE = 0.985
"""What cudaMemGetInfo calls total, of what nvidia-smi calls total.

RTX 3090: 23.69 of 24.00 GiB; T4: 14.75 of 15.00; A100 40 GB: 39.59 of 40.00 (PyTorch's out-of-memory messages).
"""
METAL_USABLE = 0.75
"""Metal's recommended working set, of the unified memory of a machine with more than 36 GB."""
HOST_USABLE = 0.92
"""What an operating system without much else to do leaves of a host's memory."""
CPU_BASELINE_BYTES = 420 * MIB
"""Resident size of a Python process that has imported torch and one transformers model (CPU build, Linux)."""
CPU_BASELINE_SIGMA_BYTES = 60 * MIB

# Standard deviation of log(measured / predicted) allocated bytes.
ALLOCATED_SIGMA = 0.015
"""Matrix products: 12 published peaks of BERT-base fine-tuning on an A100 lie within 1.5 % (tests/data)."""
CONVOLUTION_SIGMA = 0.05
"""Convolutions: cuDNN's workspaces, which depend on its choice of algorithm, are not modelled."""
CPU_SIGMA = 0.06
"""What glibc's allocator keeps, and the temporaries of oneDNN's kernels."""
FRAGMENTATION_SIGMA = 0.25
"""Of reserved less allocated: the real order of allocations may fragment more or less than the replayed one."""
Z_90 = 1.645
FITS_PROBABILITY = 0.95
"""A verdict other than `tight` is one whose 90 % interval lies on one side of the capacity: 5 % are left beyond it."""


@dataclass(frozen=True, slots=True)
class MemoryPrediction:
    """Memory of one step on one machine, with the verdict."""

    memory: Memory
    verdict: Verdict
    probability_fits: float


def predict_memory(trace: Trace, machine: Machine) -> MemoryPrediction:
    """Peak memory of a trace on a machine and whether it fits."""
    sizes = [storage.size for storage in trace.storages]
    capacity, overhead = capacity_bytes(machine), overhead_bytes(machine)
    allocated, reserved = _peaks(sizes, trace.events, machine)
    required = overhead + (allocated if reserved is None else reserved)
    sigma = _sigma_bytes(trace, machine, allocated, reserved)
    probability = _probability(sizes, trace.events, machine, sigma)
    verdict = _verdict(probability, required, machine)
    upper = required + Z_90 * sigma
    memory = Memory(
        peak_allocated_bytes=allocated,
        peak_reserved_bytes=reserved,
        fixed_overhead_bytes=overhead,
        required_bytes=required,
        # A step that fits never holds more than there is: the allocator gives cached memory back first.
        interval_bytes=(required - Z_90 * sigma, min(upper, capacity) if verdict == "fits" else upper),
        capacity_bytes=capacity,
        breakdown=breakdown(trace),
    )
    return MemoryPrediction(memory, verdict, round(probability, 4))


def _peaks(sizes: list[int], events: tuple[int, ...], machine: Machine) -> tuple[int, int | None]:
    """Allocated and reserved peaks, within the machine's memory where the step fits it; a CPU reserves nothing."""
    if machine.device.kind == "cpu":
        return peak_bytes(sizes, events), None
    try:
        allocator = replay(sizes, events, _limit_bytes(machine))
    except OutOfDeviceMemoryError:
        allocator = replay(sizes, events)
    return allocator.peak_allocated_bytes, allocator.peak_reserved_bytes


def _limit_bytes(machine: Machine) -> int:
    """What the allocator may hold of the machine's memory, by the central estimate."""
    return max(0, capacity_bytes(machine) - overhead_bytes(machine))


def _runs_within(sizes: list[int], events: tuple[int, ...], machine: Machine, limit_bytes: float) -> bool:
    if machine.device.kind == "cpu":
        return peak_bytes(sizes, events) <= limit_bytes
    try:
        replay(sizes, events, max(0, int(limit_bytes)))
    except OutOfDeviceMemoryError:
        return False
    return True


def _probability(sizes: list[int], events: tuple[int, ...], machine: Machine, sigma: float) -> float:
    """Probability that the step runs: how many sigma less (or more) memory would be the least that it runs in."""
    limit = _limit_bytes(machine)
    low, high = -4.0, 4.0
    if _runs_within(sizes, events, machine, limit - high * sigma):
        return 1.0
    if not _runs_within(sizes, events, machine, limit - low * sigma):
        return 0.0
    for _ in range(8):
        middle = (low + high) / 2
        if _runs_within(sizes, events, machine, limit - middle * sigma):
            low = middle
        else:
            high = middle
    return 0.5 * (1 + erf((low + high) / 2 / sqrt(2)))


def fits(sizes: list[int], events: tuple[int, ...], machine: Machine) -> bool:
    """Whether storages of these sizes fit a machine, by the central estimate."""
    return _runs_within(sizes, events, machine, _limit_bytes(machine))


def capacity_bytes(machine: Machine) -> int:
    """Memory that a step can have on one device of the machine."""
    usable = {"dedicated": CUDA_USABLE, "unified": METAL_USABLE, "host": HOST_USABLE}[machine.device.memory_kind]
    return int(machine.device.memory_bytes.value * usable)


def overhead_bytes(machine: Machine) -> int:
    """Memory taken outside the allocator: the driver's context, or on a CPU the process before the step."""
    return CPU_BASELINE_BYTES if machine.device.kind in ("cpu", "mps") else CUDA_CONTEXT_BYTES


def breakdown(trace: Trace) -> dict[str, int]:
    """Bytes alive at the peak, by category, largest first; they sum to the peak before the allocator rounds."""
    alive: set[int] = set()
    total = most = 0
    peak_at = 0
    for position, event in enumerate(trace.events):
        total += trace.storages[event].size if event >= 0 else -trace.storages[~event].size
        if total > most:
            most, peak_at = total, position
    for event in trace.events[: peak_at + 1]:
        if event >= 0:
            alive.add(event)
        else:
            alive.discard(~event)
    categories: Counter[str] = Counter()
    for index in alive:
        categories[trace.storages[index].category] += trace.storages[index].size
    return {category: size for category, size in categories.most_common() if size}


def _sigma_bytes(trace: Trace, machine: Machine, allocated: int, reserved: int | None) -> float:
    if reserved is None:
        return hypot(CPU_SIGMA * allocated, CPU_BASELINE_SIGMA_BYTES)
    convolves = any("convolution" in kind.name for kind in trace.kinds)
    share = CONVOLUTION_SIGMA if convolves else ALLOCATED_SIGMA
    if machine.device.kind != "cuda":
        share *= 2  # other vendors' kernels are not CUDA's
    return hypot(share * allocated, FRAGMENTATION_SIGMA * (reserved - allocated), CUDA_CONTEXT_SIGMA_BYTES)


def _verdict(probability: float, required: int, machine: Machine) -> Verdict:
    if probability >= FITS_PROBABILITY:
        return "fits"
    if probability > 1 - FITS_PROBABILITY:
        return "tight"
    unified = machine.device.memory_kind == "unified"
    return "spills" if unified and required <= machine.device.memory_bytes.value else "does-not-fit"
