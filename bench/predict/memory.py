"""Memory of a step on a machine: the trace's storages through the allocator, plus what lies outside it.

Every constant is named here with where it comes from.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import erf, hypot, prod, sqrt

from sslbench.bench.accuracy import FITS_PROBABILITY
from sslbench.bench.predict.operators import classify
from sslbench.bench.record import Memory, Verdict
from sslbench.bench.trace.allocator import OutOfDeviceMemoryError, peak_bytes, replay
from sslbench.bench.trace.events import BACKWARD, Shape, Trace
from sslbench.bench.trace.lifetimes import alive_after, find_peak
from sslbench.hardware_profiles.schema import Machine

MIB = 2**20

CUDA_CONTEXT_BYTES = 600 * MIB
"""CUDA context with the kernels that a training step loads, outside the allocator (lazy loading, CUDA 11.7 and newer).

0.47 GiB after the first tensor on an A100 (torch 2.1.1+cu121; stas00/ml-engineering, training/performance/README.md);
618 MiB after training GPT-2 on an A10G (huggingface/optimum-benchmark CI: device memory less the reserved peak).
"""
CUDA_CONTEXT_SIGMA_BYTES = 100 * MIB
"""Spread of the context between cards and steps. Its two figures lie within one and a half of these; PyTorch's
maintainers name 300 to 400 MB for less work (https://github.com/pytorch/pytorch/issues/107667)."""
EAGER_CONTEXT_SIGMA_BYTES = 200 * MIB
"""Spread of the contexts of CUDA before 11.7. 1343 to 1823 MiB on three cards (hardware_profiles/context.py)."""
DESKTOP_SIGMA_BYTES = 250 * MIB
"""Spread of what a desktop takes of a GPU's memory. An estimate."""
ROCM_CONTEXT_BYTES = 430 * MIB
"""Context of a process on an AMD GPU, outside the allocator.

423 MiB after training GPT-2 on an Instinct MI210, ROCm 5.7 (huggingface/optimum-benchmark CI: device memory less the
reserved peak).
"""
CUDA_USABLE = 0.985
"""What cudaMemGetInfo calls total, of what nvidia-smi calls total.

RTX 3090: 23.69 of 24.00 GiB; T4: 14.75 of 15.00; A100 40 GB: 39.59 of 40.00 (PyTorch's out-of-memory messages).
"""
METAL_USABLE = 0.75
"""Metal's recommended working set, of the unified memory. Apple's recommendedMaxWorkingSetSize on machines with more
than 36 GB, as PyTorch's mps backend reports it."""
HOST_USABLE = 0.92
"""What an operating system without much else to do leaves of a host's memory. An estimate."""
CPU_BASELINE_BYTES = 380 * MIB
"""Resident size of a process that has imported torch and one transformers model, and runs its kernels. 344 MiB after
the imports; 374 to 388 MiB more than the tensors in inference (CPU build, Linux, 1 and 2 threads)."""
CPU_HEAP_BYTES = 120 * MIB
"""What the C library's heap keeps of a training step's freed tensors. 10 to 300 MiB over eleven steps of ResNet-18,
BERT and a small Llama, without relation to the peak; the median."""
CPU_BASELINE_SIGMA_BYTES = 15 * MIB
"""Spread of the baseline. As measured, see there."""
CPU_HEAP_SIGMA_BYTES = 80 * MIB
"""Spread of what the heap keeps. As measured, see there."""

CUDNN_WORKSPACE_BYTES = 256 * MIB
"""Most that a cuDNN convolution takes beside its tensors, from the caching allocator.

SimCLR with ResNet-18 in fp32 needs 0.26 GiB (RTX A6000, 224 px) and 0.29 GiB (V100, 128 px) more than its tensors and
the evaluation's feature bank (lightly's published benchmarks).
"""
# Winograd's F(4x4, 3x3) holds 6x6 values for 4x4 of input and output, and for 3x3 of the weights: Lavin and Gray,
# https://arxiv.org/abs/1509.09308
_WINOGRAD_IMAGES, _WINOGRAD_WEIGHTS = 36 / 16, 36 / 9

# Standard deviation of log(measured / predicted) allocated bytes.
ALLOCATED_SIGMA = 0.008
"""Spread of allocated bytes without convolutions. 72 published peaks of BERT, ALBERT, BioGPT and ELECTRA lie within
1.4 % (`sslbench validate`)."""
CONVOLUTION_SIGMA = 0.015
"""Spread of allocated bytes with convolutions, whose workspaces depend on cuDNN's choice of algorithm. Six published
peaks of joint-embedding methods with ResNet-18 at 224 px lie 0.3 to 2.3 % off (lightly's benchmarks)."""
CPU_SIGMA = 0.01
"""Spread of a CPU's tensors and kernels' temporaries. Peaks of the catalog's small recipes equal torch's allocator's
within 0.5 % (tests/bench/trace/test_cpu_allocator.py)."""
FRAGMENTATION_SIGMA = 0.25
"""Spread of reserved less allocated, as a share of it. An estimate: the real order of allocations may fragment more or
less than the replayed one."""
Z_90 = 1.645
"""Standard deviations on each side of a 90 % interval."""


@dataclass(frozen=True, slots=True)
class MemoryPrediction:
    """Memory of one step on one machine, with the verdict."""

    memory: Memory
    verdict: Verdict
    probability_fits: float


@dataclass(frozen=True, slots=True)
class Replay:
    """A step's storages at some batch, to be run through a machine's allocator."""

    sizes: list[int]
    """Bytes of every storage."""
    events: tuple[int, ...]
    """As `Trace.events`."""
    workspace: int
    """Bytes that libraries take beside the storages."""
    machine: Machine
    trains: bool
    """Whether the step has a backward pass."""
    expandable: bool = False
    """Whether the allocator has expandable segments."""

    def peaks(self) -> tuple[int, int | None]:
        """Allocated and reserved peak, within the machine's memory where the step fits it; a CPU reserves nothing."""
        if self.machine.device.kind == "cpu":
            return peak_bytes(self.sizes, self.events), None
        try:
            allocator = replay(self.sizes, self.events, self.limit_bytes, expandable=self.expandable)
        except OutOfDeviceMemoryError:
            allocator = replay(self.sizes, self.events, expandable=self.expandable)
        return allocator.peak_allocated_bytes + self.workspace, allocator.peak_reserved_bytes + self.workspace

    @property
    def limit_bytes(self) -> int:
        """What the storages may take of the machine's memory, by the central estimate."""
        return max(0, capacity_bytes(self.machine) - overhead_bytes(self.machine, trains=self.trains) - self.workspace)

    def runs_within(self, limit_bytes: float) -> bool:
        """Whether the step runs if its storages may take this much."""
        if self.machine.device.kind == "cpu":
            return peak_bytes(self.sizes, self.events) <= limit_bytes
        try:
            replay(self.sizes, self.events, max(0, int(limit_bytes)), expandable=self.expandable)
        except OutOfDeviceMemoryError:
            return False
        return True

    def fits(self) -> bool:
        """Whether the step fits the machine, by the central estimate."""
        return self.runs_within(self.limit_bytes)


def predict_memory(trace: Trace, machine: Machine, *, expandable: bool = False) -> MemoryPrediction:
    """Peak memory of a trace on a machine and whether it fits; `expandable` as in `Replay`."""
    capacity, overhead = capacity_bytes(machine), overhead_bytes(machine, trains=_trains(trace))
    step = replay_of(trace, machine, expandable=expandable)
    allocated, reserved = step.peaks()
    required = overhead + (allocated if reserved is None else reserved)
    sigmas = _sigmas(trace, machine, allocated, reserved)
    probability = _probability(step, sigmas.least)
    verdict = _verdict(probability, required, machine)
    upper = required + Z_90 * sigmas.required
    memory = Memory(
        peak_allocated_bytes=allocated,
        peak_reserved_bytes=reserved,
        fixed_overhead_bytes=overhead,
        required_bytes=required,
        # A step that fits never holds more than there is: the allocator gives cached memory back first.
        interval_bytes=(required - Z_90 * sigmas.required, min(upper, capacity) if verdict == "fits" else upper),
        allocated_interval_bytes=_interval(allocated, sigmas.allocated),
        reserved_interval_bytes=None if reserved is None else _interval(reserved, sigmas.reserved),
        capacity_bytes=capacity,
        breakdown=_with_workspace(breakdown(trace), step.workspace),
    )
    return MemoryPrediction(memory, verdict, round(probability, 4))


def replay_of(trace: Trace, machine: Machine, *, expandable: bool = False) -> Replay:
    """A trace as it is, to be run through a machine's allocator."""
    sizes = [storage.size for storage in trace.storages]
    return Replay(sizes, trace.events, workspace_bytes(trace), machine, _trains(trace), expandable)


def _trains(trace: Trace) -> bool:
    return any(phase == BACKWARD for _, phase in trace.phase_marks)


def _interval(value: int, sigma: float) -> tuple[float, float]:
    return value - Z_90 * sigma, value + Z_90 * sigma


def workspace_bytes(trace: Trace) -> int:
    """What cuDNN takes beside the tensors for the largest dense convolution of a CUDA step; 0 without one."""
    return bounded_workspace(workspace_needs(trace))


def workspace_needs(trace: Trace) -> list[int]:
    """Bytes of a Winograd transform of every dense convolution of a CUDA step."""
    if trace.target != "cuda":
        return []
    return [
        int(_WINOGRAD_IMAGES * (kind.bytes_read + kind.bytes_written))
        + int(_WINOGRAD_WEIGHTS * prod(_weight(kind.inputs)) * 4)
        for kind in trace.kinds
        if classify(kind) in ("convolution", "convolution backward")
    ]


def bounded_workspace(needs: Iterable[float]) -> int:
    """The workspace for convolutions of these needs."""
    return int(min(CUDNN_WORKSPACE_BYTES, max(needs, default=0)))


def _weight(inputs: tuple[tuple[str, Shape], ...]) -> Shape:
    """A convolution's weight, which is its last image-like input."""
    return [shape for _, shape in inputs if len(shape) >= 3][-1]


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


def capacity_bytes(machine: Machine) -> int:
    """Memory that a step can have on one device of the machine."""
    device = machine.device
    usable = {"dedicated": CUDA_USABLE, "unified": METAL_USABLE, "host": HOST_USABLE}[device.memory_kind]
    taken = 0 if device.in_use_bytes is None else device.in_use_bytes.value
    return max(0, int(device.memory_bytes.value * usable - taken))


def overhead_bytes(machine: Machine, *, trains: bool) -> int:
    """Memory taken outside the allocator: the driver's context, or on a CPU the process beside the step's tensors."""
    device = machine.device
    if device.kind in ("cpu", "mps"):
        return CPU_BASELINE_BYTES + (CPU_HEAP_BYTES if trains else 0)
    if device.context_bytes is not None:
        return int(device.context_bytes.value)
    return ROCM_CONTEXT_BYTES if device.kind == "rocm" else CUDA_CONTEXT_BYTES


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
        tensors = ALLOCATED_SIGMA * allocated
        heap = CPU_HEAP_SIGMA_BYTES if _trains(trace) else 0
        resident = hypot(CPU_SIGMA * allocated, CPU_BASELINE_SIGMA_BYTES, heap)
        return _Sigmas(tensors, 0.0, resident, resident)
    convolves = any("convolution" in kind.name for kind in trace.kinds)
    share = CONVOLUTION_SIGMA if convolves else ALLOCATED_SIGMA
    if machine.device.kind != "cuda":
        share *= 2  # other vendors' kernels are not CUDA's
    tensors = share * allocated
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
