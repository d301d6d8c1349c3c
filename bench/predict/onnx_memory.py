"""Memory of an inference step in ONNX Runtime on a CPU, and its time.

The process is Python with numpy and onnxruntime, without torch: what `sslbench profile --backend onnx-cpu` measures.
Beside it lie the session (the runtime's own code and its graph), the weights, and what the arena touched. Weights count
once: those that a kernel packs leave their file's pages, others are pages of the file. The constants were read off the
sessions of docs/accuracy.md, "ONNX Runtime on a CPU" (onnxruntime 1.31, Linux, AVX-512).
"""

from dataclasses import dataclass
from math import erf, hypot, sqrt

from sslbench.bench.accuracy import FITS_PROBABILITY
from sslbench.bench.predict.capacity import capacity_bytes
from sslbench.bench.predict.cpu import CPU, cpu_sigma
from sslbench.bench.predict.interval import around, beside
from sslbench.bench.predict.memory import breakdown
from sslbench.bench.predict.onnx_arena import Arena, run_two_steps
from sslbench.bench.predict.peak import peak_dtype
from sslbench.bench.quantities import Memory, Time, Verdict
from sslbench.bench.trace.events import Trace
from sslbench.bench.trace.lifetimes import find_peak
from sslbench.bench.trace.onnx_plan import Buffer
from sslbench.bench.trace.onnx_values import OnnxGraph
from sslbench.hardware_profiles.schema import Machine

MIB = 2**20
SOURCE = "sessions of the recipes in docs/accuracy.md, ONNX Runtime on a CPU"

ONNX_PROCESS_BYTES = int(50.3 * MIB)
"""Resident size of the worker once onnxruntime is imported."""
ONNX_SESSION_BYTES = int(11.5 * MIB)
"""What the runtime's code, its kernels and its thread pool add once a step has run."""
ONNX_NODE_BYTES = 8900
"""Bytes of the session's own bookkeeping for an operator of the graph."""
BLOCKED_COPY_SHARE = 0.85
"""Of a convolution's weights, the share of the copy that stays resident after the runtime has laid them out in blocks.

The C library keeps what is freed in its heap: all of it for ResNet-18, two thirds for ResNet-50.
"""
BLOCKED_COPY_SIGMA = 0.15
"""Spread of that share."""
ONNX_FIXED_SIGMA_BYTES = 4 * MIB
"""Spread of process and session."""
ONNX_SIGMA = 0.04
"""Spread of the arena and the weights, as a share of them."""
ONNX_KERNELS_SIGMA = 0.25
"""Spread of the logarithm of the runtime's kernels over torch's. Two undisturbed steps were 14 and 23 % faster."""
_BLOCKED_CONVOLUTION = "com.microsoft.nchwc.Conv"


@dataclass(frozen=True, slots=True)
class OnnxMemory:
    """Memory of a step in ONNX Runtime on one machine, with the verdict."""

    memory: Memory
    verdict: Verdict
    probability_fits: float


def predict_onnx_memory(graph: OnnxGraph, buffers: list[Buffer], trace: Trace, machine: Machine) -> OnnxMemory:
    """Peak resident memory of the process that runs the graph.

    Args:
        graph: the optimised graph.
        buffers: its plan.
        trace: the two as a trace.
        machine: whose memory it must fit.
    """
    capacity = capacity_bytes(machine)
    arena = run_two_steps(buffers)
    weights = sum(graph.values[name].size for name in graph.weights)
    bound = sum(graph.values[name].size for name in (*graph.inputs, *graph.outputs))
    bookkeeping = ONNX_SESSION_BYTES + ONNX_NODE_BYTES * len(graph.nodes)
    step = weights + bound + _beside_weights(graph, arena)
    required = ONNX_PROCESS_BYTES + bookkeeping + step
    sigma = hypot(ONNX_FIXED_SIGMA_BYTES, ONNX_SIGMA * step, BLOCKED_COPY_SIGMA * sum(_blocked(graph)))
    probability = 0.5 * (1 + erf((capacity - required) / sigma / sqrt(2)))
    memory = Memory(
        peak_allocated_bytes=find_peak(trace).bytes,
        fixed_overhead_bytes=ONNX_PROCESS_BYTES,
        required_bytes=required,
        interval_bytes=beside(required, sigma),
        capacity_bytes=capacity,
        breakdown=breakdown(trace),
    )
    return OnnxMemory(memory, _verdict(probability), round(probability, 4))


def _blocked(graph: OnnxGraph) -> list[int]:
    """Bytes of each weight that the runtime lays out in blocks."""
    names = {node.inputs[1] for node in graph.nodes if node.operator == _BLOCKED_CONVOLUTION}
    return [graph.values[name].size for name in names]


def _beside_weights(graph: OnnxGraph, arena: Arena) -> int:
    """Resident bytes of the arena and of what laying out convolutions leaves behind, which small regions use again."""
    sizes = _blocked(graph)
    left_behind = int(BLOCKED_COPY_SHARE * sum(sizes))
    # glibc serves from its heap what is smaller than the largest block freed so far (mallopt(3), M_MMAP_THRESHOLD).
    from_heap = arena.touched_bytes(smaller_than=max(sizes, default=0))
    return arena.touched_bytes() + left_behind - min(left_behind, from_heap)


def _verdict(probability: float) -> Verdict:
    if probability >= FITS_PROBABILITY:
        return "fits"
    return "tight" if probability > 1 - FITS_PROBABILITY else "does-not-fit"


def predict_onnx_time(trace: Trace, machine: Machine) -> Time:
    """Step time by the kernels of `sslbench.bench.predict.cpu`, operator by operator.

    The arena keeps its memory, so that no fresh memory costs time. The interval is wider than that of torch's kernels.
    """
    device = machine.device
    cpu = CPU(device)
    kinds = [trace.kinds[call.kind] for call in trace.calls if not trace.kinds[call.kind].is_view]
    seconds = sum(cpu.seconds(kind, peak_dtype(kind, device, trace)) + device.launch_seconds.value for kind in kinds)
    sigma = hypot(cpu_sigma(device), ONNX_KERNELS_SIGMA)
    rate = None if trace.batch_size is None else trace.batch_size / seconds
    return Time(step_seconds=seconds, interval_seconds=around(seconds, sigma), samples_per_second=rate)
