"""Step time from a trace and a machine: a roofline for every kernel, with the efficiency that its family reaches.

On a GPU an operator is the kernels that it launches (bench/predict/gpu_kernels.py), and a kernel takes the larger of
its arithmetic and its traffic (bench/predict/gpu.py); their constants stand in bench/predict/efficiency.py. On a CPU an
operator is like one of the probe's kernels (bench/predict/cpu.py).
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import hypot

from sslbench.bench.predict.cpu import CPU, cpu_sigma
from sslbench.bench.predict.gpu import GPU, ROUNDING, larger
from sslbench.bench.predict.gpu_kernels import item_bytes, operator_kernels
from sslbench.bench.predict.interval import around
from sslbench.bench.predict.operators import classify
from sslbench.bench.predict.peak import peak_dtype
from sslbench.bench.predict.power import sustained
from sslbench.bench.predict.probed import as_rated, with_probe
from sslbench.bench.trace.events import OperatorKind, Trace
from sslbench.hardware_profiles.schema import Device, Machine

LOG_SIGMA = {"cuda": 0.1, "rocm": 0.4, "mps": 0.5}
"""Standard deviation of log(measured / predicted), by kind of GPU, before what is badly known in the step."""
_FITTED_GENERATIONS = ((8, 6), (8, 9))
_OTHER_GENERATION_SIGMA = 0.08
"""More of it on NVIDIA cards of other generations than the two that the kernels' factors were fitted on. 308 published
steps there: 84 % lie in their interval without it, 87 % with it (docs/accuracy.md)."""
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
    "fused reduction": 0.3,
}
"""The same for the time of families of GPU kernels that are known worse than others, all of one family off together."""
_LAUNCH_SIGMA = 0.3
"""The same for the time to launch operators, which the host sets and no profile of a GPU knows. Spread of seven hosts,
15 to 37 us a kernel (docs/accuracy.md)."""
VIEW_LAUNCH = 0.16
"""Time that the host needs for a view, which launches no kernel, over that for an operator that does. Source:
EfficientNet, without views, and BERT, with two a kernel, on one host (NVIDIA's inference on a DGX A100); it also gives
what eager attention costs the host over fused attention in BERT's and ELECTRA's training, 1.35 and 1.28."""
GENERATED_LAUNCH = 0.45
"""The same for a kernel that torch.compile generates, whose wrapper passes over modules and the dispatcher. An
estimate; small compiled steps of timm's tables take no longer than it gives."""
_WAITS = ("aten._local_scalar_dense.default", "aten.nonzero.default")
"""Operators whose result the host waits for: `.item()`, `if tensor:`, `x[mask]`."""
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
    if machine.device.kind == "cpu":
        return _on_processor(trace, machine.device)
    device = at_work(trace, machine.device)
    by_class: dict[str, float] = defaultdict(float)
    each: dict[int, float] = {}
    gpu = GPU(device)
    for index, calls in Counter(call.kind for call in trace.calls).items():
        parts = _parts(trace.kinds[index], gpu, trace)
        each[index] = sum(seconds for _, seconds in parts)
        for name, seconds in parts:
            by_class[name] += calls * seconds
    device_seconds = sum(by_class.values())
    launches = _launches(trace, device.launch_seconds.value)
    total = _overlapped(trace, each, launches)
    launching = 1 - (device_seconds / total) ** ROUNDING if total else 0.0
    sigmas = _sigmas(device, by_class, launching)
    interval = around(total, sigmas.total)
    return TimePrediction(total, interval, device_seconds, sum(launches), dict(by_class), sigmas)


def _on_processor(trace: Trace, device: Device) -> TimePrediction:
    """The same cores dispatch and compute, and wait for the system to hand out memory."""
    cpu = CPU(device)
    by_class: dict[str, float] = defaultdict(float)
    for index, calls in Counter(call.kind for call in trace.calls).items():
        kind = trace.kinds[index]
        by_class[classify(kind)] += calls * cpu.seconds(kind, peak_dtype(kind, device, trace))
    by_class[FRESH_MEMORY] = cpu.fresh_seconds(trace)
    device_seconds, dispatch_seconds = sum(by_class.values()), cpu.dispatch_seconds(trace)
    total = device_seconds + dispatch_seconds
    sigmas = Sigmas(cpu_sigma(device), {}, 0.0)
    return TimePrediction(total, around(total, sigmas.total), device_seconds, dispatch_seconds, dict(by_class), sigmas)


def at_work(trace: Trace, device: Device) -> Device:
    """The device as it is during a step: at the clock that its power holds, and as fast as a probe has found it."""
    rated = as_rated(device)

    def at_clock(each: Trace) -> Device:
        return sustained(each, rated)

    return with_probe(at_clock(trace), at_clock, operator_seconds)


def _launches(trace: Trace, launch_seconds: float) -> list[float]:
    """Time that the host needs for each call, in order."""
    by_kind = [launch_seconds * _launch_share(kind) for kind in trace.kinds]
    return [by_kind[call.kind] for call in trace.calls]


def _launch_share(kind: OperatorKind) -> float:
    if kind.is_view:
        return VIEW_LAUNCH
    return GENERATED_LAUNCH if kind.name.startswith("fused ") else 1.0


def _overlapped(trace: Trace, each: dict[int, float], launches: list[float]) -> float:
    """Time of a step on a GPU, which computes while the host runs ahead, until the host waits for a number."""
    seconds = [each[call.kind] for call in trace.calls]
    waits = [place for place, call in enumerate(trace.calls) if trace.kinds[call.kind].name in _WAITS]
    if not waits:
        return larger(sum(seconds), sum(launches))
    ends = [*(place + 1 for place in waits), waits[0] + 1 + len(seconds)]  # a step's end runs on into the next one
    seconds, launches = seconds * 2, launches * 2
    return sum(_until_idle(seconds[start:end], launches[start:end]) for start, end in pairwise(ends))


def _until_idle(seconds: list[float], launches: list[float]) -> float:
    """When kernels launched one after the other from now on are done: none begins before its launch or its turn."""
    needed = sum(seconds)
    before = accumulate(seconds[:-1], initial=0.0)
    late = (launched - done for launched, done in zip(accumulate(launches), before, strict=True))
    return max(needed + max(late), larger(needed, sum(launches)))


def _parts(kind: OperatorKind, gpu: GPU, trace: Trace) -> list[tuple[str, float]]:
    """(class or family, seconds) of one call of an operator."""
    if kind.is_view:
        return []
    dtype, size = peak_dtype(kind, gpu.device, trace), item_bytes(kind)
    return [(kernel.family, gpu.kernel_seconds(kernel, dtype, size)) for kernel in operator_kernels(kind)]


def _sigmas(device: Device, by_class: dict[str, float], launching: float) -> Sigmas:
    """What is not known of the step's time; `launching`: share of it that waits for the host."""
    total = sum(by_class.values()) or 1.0
    families = {name: by_class[name] / total * sigma for name, sigma in _FAMILY_SIGMA.items() if name in by_class}
    far = device.kind == "cuda" and device.compute_capability not in _FITTED_GENERATIONS
    common = hypot(LOG_SIGMA[device.kind], _OTHER_GENERATION_SIGMA if far else 0.0)
    return Sigmas(common, families, launching * _LAUNCH_SIGMA)


def operator_seconds(kind: OperatorKind, device: Device, trace: Trace) -> float:
    """Time of one call of an operator on a device."""
    if device.kind == "cpu":
        return CPU(device).seconds(kind, peak_dtype(kind, device, trace))
    return sum(seconds for _, seconds in _parts(kind, GPU(device), trace))


def kernel_bounds(kind: OperatorKind, device: Device, trace: Trace) -> list[tuple[str, float, float]]:
    """(class or family, seconds for its arithmetic, seconds for its traffic) of each kernel of one call."""
    if kind.is_view:
        return []
    if device.kind == "cpu":
        return [(classify(kind), *CPU(device).bounds(kind, peak_dtype(kind, device, trace)))]
    gpu, dtype, size = GPU(device), peak_dtype(kind, device, trace), item_bytes(kind)
    return [
        (kernel.family, gpu.arithmetic_seconds(kernel, dtype, size), gpu.traffic_seconds(kernel, size))
        for kernel in operator_kernels(kind)
    ]
