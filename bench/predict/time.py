"""Step time from a trace and a machine: a roofline for every operator, with the efficiency that its class reaches.

An operator takes `((a * FLOPs / peak)^3 + (b * bytes / bandwidth)^3)^(1/3)`: the larger of arithmetic and traffic,
rounded off where both count. The multipliers (a, b) of each class were fitted on the published inference throughput of
half of 256 timm models on an RTX 3090 and an RTX 4090 (fp16 autocast, PyTorch 1.13 and 2.1). Layer normalisation,
copies and the two tensor-core constants are physical estimates, checked against the published step times of BERT on an
A100 (docs/accuracy.md).
"""

from collections import defaultdict
from dataclasses import dataclass
from math import exp

from sslbench.bench.predict.operators import OperatorClass, classify, compute_dtype, inner_size
from sslbench.bench.trace.events import OperatorKind, Trace
from sslbench.hardware_profiles.schema import Device, DType, Machine

MULTIPLIERS: dict[OperatorClass, tuple[float, float]] = {
    "convolution 1x1": (1.6, 1.4),
    "convolution": (1.1, 4.6),
    "grouped convolution": (1.0, 4.3),
    "depthwise convolution": (1.3, 2.8),
    "first convolution": (9.5, 5.4),
    "matrix product": (0.93, 1.9),
    "attention": (2.3, 0.5),
    "softmax": (0.0, 1.9),
    "batch normalisation": (0.0, 0.36),
    "layer normalisation": (0.0, 1.0),
    "copy": (0.0, 1.0),
    "pointwise": (0.0, 1.3),
}
"""(compute, bytes): how many times its ideal time an operator of the class takes on a GPU."""
CPU_MULTIPLIERS: dict[OperatorClass, tuple[float, float]] = {
    "convolution 1x1": (1.1, 1.0),
    "convolution": (1.1, 1.0),
    "grouped convolution": (1.5, 1.0),
    "depthwise convolution": (4.0, 1.0),
    "first convolution": (2.0, 1.0),
    "matrix product": (1.2, 1.0),
    "attention": (1.5, 1.0),
    "softmax": (0.0, 1.5),
    "batch normalisation": (0.0, 2.0),
    "layer normalisation": (0.0, 1.5),
    "copy": (0.0, 1.3),
    "pointwise": (0.0, 1.3),
}
"""The same on a CPU whose peak is a measured matrix product: from torch's profiler on two cores of an EPYC 9004."""
FRESH_BYTES = 32 * 2**20
"""glibc gives blocks of this size (the most that its threshold adapts to) back to the system at once (mallopt(3))."""
FRESH_BYTES_PER_SECOND = 3e9
"""Rate at which a system hands out zeroed 4 KiB pages as a kernel first writes to them (measured on a virtual host)."""
ROUNDING = 3.0
FULL_RATE_TENSOR_CORES = 1.3
"""Tensor cores that run at 4 or more times the fp32 rate are starved: the best published matrix products reach 0.74 to
0.87 of the dense peak on A100, V100 and H100, but 1.0 on GeForce cards, which accumulate at half rate
(tests/data/achieved_matmul.csv)."""
TILE_FILL_SECONDS = 1.6e-6
"""Time that a 128 x 128 tile of a matrix product takes to fill and drain its pipeline, beside its arithmetic."""
TILE_FLOPS_PER_K = 2 * 128 * 128
KERNEL_FLOOR_SECONDS = 2e-6
"""Shortest kernel on a GPU, from start to end of a small one."""
LOG_SIGMA = {"cuda": 0.25, "rocm": 0.4, "mps": 0.5, "cpu": 0.5}
"""Standard deviation of log(measured / predicted), by kind of device."""
Z_90 = 1.645


@dataclass(frozen=True, slots=True)
class TimePrediction:
    """Time of one step, and what it is made of."""

    step_seconds: float
    interval_seconds: tuple[float, float]
    device_seconds: float
    """Time that the device needs, if it is never kept waiting."""
    dispatch_seconds: float
    """Time that the host needs to launch the operators, one after the other."""
    seconds_by_class: dict[str, float]


def predict_time(trace: Trace, machine: Machine) -> TimePrediction:
    """Step time of a trace on a machine, all its operators one after the other."""
    device = machine.device
    calls: dict[int, int] = defaultdict(int)
    for call in trace.calls:
        calls[call.kind] += 1
    by_class: dict[str, float] = defaultdict(float)
    for index, count in calls.items():
        kind = trace.kinds[index]
        if kind.is_view:
            continue
        by_class[classify(kind)] += count * operator_seconds(kind, device, trace)
    if device.kind == "cpu":
        by_class["fresh memory"] = _fresh_bytes(trace) / FRESH_BYTES_PER_SECOND
    device_seconds = sum(by_class.values())
    dispatch_seconds = len(trace.calls) * device.launch_seconds.value  # views too cost the host time
    # On a CPU the same cores dispatch and compute; a GPU computes while the host runs ahead.
    order = 1.0 if device.kind == "cpu" else ROUNDING
    total = _larger(device_seconds, dispatch_seconds, order)
    spread = exp(Z_90 * LOG_SIGMA[device.kind])
    return TimePrediction(total, (total / spread, total * spread), device_seconds, dispatch_seconds, dict(by_class))


def _fresh_bytes(trace: Trace) -> int:
    """Bytes of the second step's storages that are too large for the C library to keep."""
    sizes = (trace.storages[event].size for event in trace.events[trace.marks[1] :] if event >= 0)
    return sum(size for size in sizes if size >= FRESH_BYTES)


def operator_seconds(kind: OperatorKind, device: Device, trace: Trace) -> float:
    """Time of one call of an operator on a device."""
    operator_class = classify(kind)
    compute, traffic = (CPU_MULTIPLIERS if device.kind == "cpu" else MULTIPLIERS)[operator_class]
    arithmetic = compute * _arithmetic_seconds(kind, operator_class, device, trace) if kind.flops else 0.0
    moved = kind.bytes_read + kind.bytes_written
    seconds = _larger(arithmetic, traffic * moved / device.memory_bandwidth_bytes_per_second.value, ROUNDING)
    return seconds if device.kind == "cpu" else max(seconds, KERNEL_FLOOR_SECONDS)


def _larger(first: float, second: float, order: float) -> float:
    """The larger of two times, rounded off where they are close (the norm of this order; 1 adds them)."""
    return float((first**order + second**order) ** (1 / order))


def _arithmetic_seconds(kind: OperatorKind, operator_class: OperatorClass, device: Device, trace: Trace) -> float:
    peak = peak_flops(kind, operator_class, device, trace)
    seconds = kind.flops / peak
    if device.kind == "cpu":
        return seconds
    if peak >= 4 * device.peak_flops_per_second["fp32"].value:
        seconds *= FULL_RATE_TENSOR_CORES
    k = inner_size(kind) if operator_class == "matrix product" else None
    if k and device.multiprocessors:
        seconds *= 1 + TILE_FILL_SECONDS * peak / device.multiprocessors / TILE_FLOPS_PER_K / k
    return seconds


def peak_flops(kind: OperatorKind, operator_class: OperatorClass, device: Device, trace: Trace) -> float:
    """Dense peak for the operator's type; a type without a fast path runs at the fp32 rate."""
    dtype = compute_dtype(kind)
    wanted: DType = "fp32"
    if dtype == "fp32":
        tf32 = trace.tf32_convolution if "convolution" in operator_class else trace.tf32_matmul
        wanted = "tf32" if tf32 else "fp32"
    elif dtype == "fp16":
        wanted = "fp16"
    elif dtype == "bf16":
        wanted = "bf16"
    elif dtype == "fp64":
        wanted = "fp64"
    peaks = device.peak_flops_per_second
    return (peaks.get(wanted) or peaks["fp32"]).value
