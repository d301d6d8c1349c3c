"""Step time from a trace and a machine: a roofline for every operator, with the efficiency that its class reaches.

An operator takes `((a * FLOPs / peak)^3 + (b * bytes / bandwidth)^3)^(1/3)`: the larger of arithmetic and traffic,
rounded off where both count. bench/predict/efficiency.py has the factors (a, b) of each class of operators.
"""

from collections import defaultdict
from dataclasses import dataclass
from math import exp

from sslbench.bench.predict.efficiency import (
    FRESH_BYTES,
    FRESH_BYTES_PER_SECOND,
    FULL_RATE_TENSOR_CORES,
    HALF_ON_WIDE_MEMORY,
    KERNEL_FLOOR_SECONDS,
    TILE_FILL_SECONDS,
    TILE_FLOPS_PER_K,
    WIDE_MEMORY_BYTES_PER_SECOND,
    multipliers,
)
from sslbench.bench.predict.operators import OperatorClass, classify, compute_dtype, inner_size
from sslbench.bench.trace.events import OperatorKind, Trace
from sslbench.hardware_profiles.schema import Device, DType, Machine

ROUNDING = 3.0
LOG_SIGMA = {"cuda": 0.2, "rocm": 0.4, "mps": 0.5, "cpu": 0.5}
"""Standard deviation of log(measured / predicted), by kind of device."""
Z_90 = 1.645
FRESH_MEMORY = "fresh memory"
"""Named as a class of operators: what the system takes to hand out memory."""


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
        by_class[FRESH_MEMORY] = _fresh_bytes(trace) / FRESH_BYTES_PER_SECOND
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
    seconds = _larger(*roofline_seconds(kind, device, trace), ROUNDING)
    return seconds if device.kind == "cpu" else max(seconds, KERNEL_FLOOR_SECONDS)


def roofline_seconds(kind: OperatorKind, device: Device, trace: Trace) -> tuple[float, float]:
    """What one call of an operator takes for its arithmetic, and for its traffic."""
    operator_class = classify(kind)
    compute, traffic = multipliers(operator_class, on_cpu=device.kind == "cpu", channels_last=kind.channels_last)
    arithmetic = compute * _arithmetic_seconds(kind, operator_class, device, trace) if kind.flops else 0.0
    return arithmetic, traffic * _traffic_seconds(kind, device)


def _larger(first: float, second: float, order: float) -> float:
    """The larger of two times, rounded off where they are close (the norm of this order; 1 adds them)."""
    return float((first**order + second**order) ** (1 / order))


def _traffic_seconds(kind: OperatorKind, device: Device) -> float:
    bandwidth = device.memory_bandwidth_bytes_per_second.value
    seconds = (kind.bytes_read + kind.bytes_written) / bandwidth
    half = compute_dtype(kind) in ("fp16", "bf16")
    return seconds * HALF_ON_WIDE_MEMORY if half and bandwidth > WIDE_MEMORY_BYTES_PER_SECOND else seconds


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
    return device.peak_flops_per_second[peak_dtype(kind, operator_class, device, trace)].value


def peak_dtype(kind: OperatorKind, operator_class: OperatorClass, device: Device, trace: Trace) -> DType:
    """The type whose peak bounds the operator: its own, else fp32."""
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
    return wanted if wanted in device.peak_flops_per_second else "fp32"
