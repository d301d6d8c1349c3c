"""Step time from a trace and a machine: a roofline for every kernel, with the efficiency that its family reaches.

On a GPU an operator is the kernels that it launches (bench/predict/gpu_kernels.py), and a kernel takes the larger of
its arithmetic and its traffic (bench/predict/gpu.py). On a CPU an operator takes `((a * FLOPs / peak)^3 + (b * bytes /
bandwidth)^3)^(1/3)`, with factors (a, b) for each class. The constants stand in bench/predict/efficiency.py.
"""

from collections import defaultdict
from dataclasses import dataclass
from math import exp, hypot

from sslbench.bench.predict.efficiency import FRESH_BYTES, FRESH_BYTES_PER_SECOND, cpu_factors
from sslbench.bench.predict.gpu import GPU, ROUNDING, larger
from sslbench.bench.predict.gpu_kernels import item_bytes, operator_kernels
from sslbench.bench.predict.operators import classify, compute_dtype
from sslbench.bench.trace.events import OperatorKind, Trace
from sslbench.hardware_profiles.schema import Device, DType, Machine

LOG_SIGMA = {"cuda": 0.1, "rocm": 0.4, "mps": 0.5, "cpu": 0.5}
"""Standard deviation of log(measured / predicted), by kind of device, before what is badly known in the step."""
_FAMILY_SIGMA = {
    "grouped convolution": 0.4,
    "grouped convolution backward": 0.6,
    "depthwise convolution NCHW": 0.3,
    "depthwise convolution NHWC": 0.3,
    "depthwise convolution NCHW backward": 0.4,
    "depthwise convolution NHWC backward": 0.4,
    "batched product": 0.5,
    "strided copy": 0.3,
    "interpolation": 0.5,
    "efficient attention": 0.3,
    "efficient attention backward": 0.3,
}
"""The same for the time of families of GPU kernels that are known worse than others, all of one family off together."""
_LAUNCH_SIGMA = 0.25
"""The same for the time to launch operators, which the host sets and no profile of a GPU knows."""
Z_90 = 1.645
FRESH_MEMORY = "fresh memory"
"""Named as a class of operators: what the system takes to hand out memory."""


@dataclass(frozen=True, slots=True)
class Sigmas:
    """Standard deviations of log(measured / predicted) of a step, by what is not known; independent of each other."""

    common: float
    """Of all steps on such a device."""
    families: dict[str, float]
    """Of families that are known worse, each times its share of the step."""
    launching: float
    """Of the host, as far as the step waits for it."""

    @property
    def total(self) -> float:
        """All of them together."""
        return hypot(self.common, self.launching, *self.families.values())


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
    sigmas: Sigmas


def predict_time(trace: Trace, machine: Machine) -> TimePrediction:
    """Step time of a trace on a machine, all its operators one after the other."""
    device = machine.device
    calls: dict[int, int] = defaultdict(int)
    for call in trace.calls:
        calls[call.kind] += 1
    by_class: dict[str, float] = defaultdict(float)
    gpu = GPU(device)
    for index, count in calls.items():
        for name, seconds in _parts(trace.kinds[index], gpu, trace):
            by_class[name] += count * seconds
    if device.kind == "cpu":
        by_class[FRESH_MEMORY] = _fresh_bytes(trace) / FRESH_BYTES_PER_SECOND
    device_seconds = sum(by_class.values())
    dispatch_seconds = len(trace.calls) * device.launch_seconds.value  # views too cost the host time
    # On a CPU the same cores dispatch and compute; a GPU computes while the host runs ahead.
    total = larger(device_seconds, dispatch_seconds, 1.0 if device.kind == "cpu" else ROUNDING)
    launching = (dispatch_seconds / total) ** ROUNDING if total and device.kind != "cpu" else 0.0
    sigmas = _sigmas(device, by_class, launching)
    interval = around(total, sigmas.total)
    return TimePrediction(total, interval, device_seconds, dispatch_seconds, dict(by_class), sigmas)


def around(seconds: float, log_sigma: float) -> tuple[float, float]:
    """The 90 % interval of a time whose logarithm has this standard deviation."""
    spread = exp(Z_90 * log_sigma)
    return seconds / spread, seconds * spread


def _parts(kind: OperatorKind, gpu: GPU, trace: Trace) -> list[tuple[str, float]]:
    """(class or family, seconds) of one call of an operator."""
    device = gpu.device
    if kind.is_view:
        return []
    if device.kind == "cpu":
        return [(classify(kind), larger(*_cpu_roofline(kind, device, trace)))]
    peak, size = peak_flops(kind, device, trace), item_bytes(kind)
    return [(kernel.family, gpu.kernel_seconds(kernel, peak, size)) for kernel in operator_kernels(kind)]


def _sigmas(device: Device, by_class: dict[str, float], launching: float) -> Sigmas:
    """What is not known of the step's time; `launching`: share of it that waits for the host."""
    total = sum(by_class.values()) or 1.0
    families = {name: by_class[name] / total * sigma for name, sigma in _FAMILY_SIGMA.items() if name in by_class}
    return Sigmas(LOG_SIGMA[device.kind], families, launching * _LAUNCH_SIGMA)


def _fresh_bytes(trace: Trace) -> int:
    """Bytes of the second step's storages that are too large for the C library to keep."""
    sizes = (trace.storages[event].size for event in trace.events[trace.marks[1] :] if event >= 0)
    return sum(size for size in sizes if size >= FRESH_BYTES)


def operator_seconds(kind: OperatorKind, device: Device, trace: Trace) -> float:
    """Time of one call of an operator on a device."""
    return sum(seconds for _, seconds in _parts(kind, GPU(device), trace))


def kernel_bounds(kind: OperatorKind, device: Device, trace: Trace) -> list[tuple[str, float, float]]:
    """(class or family, seconds for its arithmetic, seconds for its traffic) of each kernel of one call."""
    if kind.is_view:
        return []
    if device.kind == "cpu":
        return [(classify(kind), *_cpu_roofline(kind, device, trace))]
    gpu, peak, size = GPU(device), peak_flops(kind, device, trace), item_bytes(kind)
    return [
        (kernel.family, gpu.arithmetic_seconds(kernel, peak, size), gpu.traffic_seconds(kernel, size))
        for kernel in operator_kernels(kind)
    ]


def _cpu_roofline(kind: OperatorKind, device: Device, trace: Trace) -> tuple[float, float]:
    compute, traffic = cpu_factors(classify(kind))
    arithmetic = compute * kind.flops / peak_flops(kind, device, trace)
    moved = kind.bytes_read + kind.bytes_written
    return arithmetic, traffic * moved / device.memory_bandwidth_bytes_per_second.value


def peak_flops(kind: OperatorKind, device: Device, trace: Trace) -> float:
    """Dense peak for the operator's type; a type without a fast path runs at the fp32 rate."""
    return device.peak_flops_per_second[peak_dtype(kind, device, trace)].value


def peak_dtype(kind: OperatorKind, device: Device, trace: Trace) -> DType:
    """The type whose peak bounds the operator: its own, else fp32."""
    dtype = compute_dtype(kind)
    wanted: DType = "fp32"
    if dtype == "fp32":
        tf32 = trace.tf32_convolution if "convolution" in kind.name else trace.tf32_matmul
        wanted = "tf32" if tf32 else "fp32"
    elif dtype == "fp16":
        wanted = "fp16"
    elif dtype == "bf16":
        wanted = "bf16"
    elif dtype == "fp64":
        wanted = "fp64"
    return wanted if wanted in device.peak_flops_per_second else "fp32"
