"""Time of a step on a processor: an ideal time by each operator's sizes, times what the probe found for its like.

The ideal time of a kernel is the larger of its FLOPs over the peak and its traffic over the memory's bandwidth. What
`sslbench probe` timed, over the ideal time, is the factor of the sizes that were timed; that of other sizes is a mean
of these, weighted by nearness. A machine that was not probed takes each kernel's usual factor.

Beside the kernels, eager PyTorch takes its time for every call, and the system takes its time to hand out memory.
"""

from collections import Counter
from itertools import pairwise
from math import exp, log, log2, prod

from sslbench.bench.predict.cpu_kernels import Work, operator_work
from sslbench.bench.predict.gpu import larger
from sslbench.bench.predict.replay import trains
from sslbench.bench.trace.events import BACKWARD, FORWARD, OperatorKind, Trace
from sslbench.hardware_profiles.schema import Device, DType, KernelTiming
from sslbench.hardware_profiles.work import kernel_bytes, kernel_flops

CPU_PROBED_SIGMA = 0.2
"""Standard deviation of log(measured / predicted) on a machine that was probed. docs/accuracy.md has the residuals."""
CPU_NOT_PROBED_SIGMA = 0.5
"""The same on one that was not. An estimate: clocks, caches, memory and libraries differ from those of the factors."""
CPU_NEARNESS = 4.0
"""A timed size counts by (1 + distance²)^-this, its distance in doublings of sizes. Chosen once: nearly the nearest."""
CPU_CALLS = 4.0
"""Times what a small operator takes in a tight loop that calling one takes in a step. Python's code between calls,
caches that hold something else, threads to be woken: chosen by half of the catalog's small recipes."""
_LAUNCHES = {"dispatch": 1.0, "dispatch_autograd": 1.25, "dispatch_backward": 2.2, "module_call": 0.6}
"""Times the time of a small operator that the parts of eager PyTorch take, where no probe timed them."""
CPU_FRESH_BYTES = 32 * 2**20
"""glibc gives blocks from this size on (the most that its threshold adapts to) back to the system, mallopt(3)."""
CPU_TRAINING_HEAP_RETURNED = 0.47
"""Of what the heap of smaller blocks grows by in a training step, the share that goes back and is fresh again. Minor
page faults of the catalog's small recipes; with both shares 8 MiB a step off in the mean (glibc 2.36, Linux)."""
CPU_INFERENCE_HEAP_RETURNED = 1.8
"""The same of an inference step, which frees as it goes and grows again with every layer. From the same steps."""
CPU_HEAP_KEPT_BYTES = 4 * 2**20
"""The C library keeps a heap that grows by less than twice the largest block that it has freed, which is at least this.
M_TRIM_THRESHOLD of mallopt(3); what a process frees before its first step."""
CPU_FRESH_BYTES_PER_SECOND = 2.5e9
"""Rate at which a system hands out zeroed 4 KiB pages as they are first written to, where no probe timed it."""
_USUAL: dict[str, float] = {
    "matmul": 1.3,
    "batched_matmul": 1.8,
    "convolution": 1.2,
    "convolution_backward": 1.9,
    "attention": 2.3,
    "attention_backward": 2.0,
    "add": 0.8,
    "mul_inplace": 0.8,
    "sqrt": 1.3,
    "gelu": 1.9,
    "gelu_backward": 2.1,
    "silu": 1.8,
    "bernoulli": 34.0,
    "norm": 2.1,
    "softmax": 2.2,
    "softmax_backward": 1.2,
    "log_softmax": 2.5,
    "log_softmax_backward": 1.4,
    "sum_rows": 1.9,
    "layer_norm": 1.3,
    "layer_norm_backward": 1.0,
    "batch_norm": 6.6,
    "batch_norm_backward": 1.3,
    "max_pool": 25.0,
    "max_pool_backward": 0.8,
    "strided_copy": 1.6,
}
"""Times its ideal time that a kernel takes. Medians over the sizes of two probes of two cores of an EPYC 9004."""
_ROWS = (
    "softmax",
    "log_softmax",
    "softmax_backward",
    "log_softmax_backward",
    "sum_rows",
    "layer_norm",
    "layer_norm_backward",
)


_Factors = list[tuple[tuple[float, ...], float]]


class CPU:
    """What a processor offers a step.

    Args:
        device: from the machine's profile.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._known: dict[tuple[str, DType], _Factors] = {}

    def seconds(self, kind: OperatorKind, dtype: DType) -> float:
        """Time of one call of an operator, without what it takes to start it."""
        return larger(*self.bounds(kind, dtype))

    def bounds(self, kind: OperatorKind, dtype: DType) -> tuple[float, float]:
        """Seconds that one call of an operator takes for its arithmetic, and for its traffic."""
        work = operator_work(kind)
        if work is None:
            return 0.0, 0.0
        arithmetic, traffic = self._ideal(work.kernel, work.shape, dtype)
        factor = self.factor(work, dtype) * work.share
        return arithmetic * factor, traffic * factor

    def factor(self, work: Work, dtype: DType) -> float:
        """Times its ideal time that a kernel takes at its sizes."""
        timing = self._timing(work.kernel, dtype) or self._timing(work.kernel, "fp32")
        if timing is None:
            return usual_factor(work.kernel)
        place = _place(work.kernel, work.shape)
        total = mean = 0.0
        for near, value in self._factors(timing):
            distance = sum((a - b) ** 2 for a, b in zip(place, near, strict=True))
            weight = (1 + distance) ** -CPU_NEARNESS
            total += weight
            mean += weight * value
        return exp(mean / total)

    def _timing(self, kernel: str, dtype: DType) -> KernelTiming | None:
        return next((one for one in self.device.kernels if one.kernel == kernel and one.dtype == dtype), None)

    def _factors(self, timing: KernelTiming) -> _Factors:
        """(place, log of the factor) of each timed size."""
        key = (timing.kernel, timing.dtype)
        if key not in self._known:
            dispatch = self._launch("dispatch")
            self._known[key] = [
                (_place(timing.kernel, point.shape), log(max(point.seconds - dispatch, 0.1 * point.seconds) / ideal))
                for point in timing.points
                if (ideal := larger(*self._ideal(timing.kernel, point.shape, timing.dtype)))
            ]
        return self._known[key]

    def _ideal(self, kernel: str, shape: tuple[int, ...], dtype: DType) -> tuple[float, float]:
        """Seconds for arithmetic and for traffic of a kernel at its sizes."""
        peaks = self.device.peak_flops_per_second
        peak = peaks[dtype if dtype in peaks else "fp32"].value
        traffic = (kernel_bytes(kernel, dtype, shape) or 0.0) / self.device.memory_bandwidth_bytes_per_second.value
        return (kernel_flops(kernel, shape) or 0.0) / peak, traffic

    # ------------------------------------------------------------------ beside the kernels
    def dispatch_seconds(self, trace: Trace) -> float:
        """What eager PyTorch takes to call the operators of a step, views too, and the modules around them."""
        recorded = "dispatch_autograd" if trains(trace) else "dispatch"
        by_phase = {FORWARD: recorded, BACKWARD: "dispatch_backward"}
        calls = Counter(by_phase.get(call.phase, "dispatch") for call in trace.calls)
        forward = [call.module for call in trace.calls if call.phase == FORWARD]
        calls["module_call"] = sum(left != right for left, right in pairwise(forward))
        return CPU_CALLS * sum(count * self._launch(part) for part, count in calls.items())

    def _launch(self, part: str) -> float:
        points = self.device.kernel_points(part, "fp32")
        return points[0].seconds if points else _LAUNCHES[part] * self.device.launch_seconds.value

    def fresh_seconds(self, trace: Trace) -> float:
        """What the system takes to hand out memory that the C library has given back to it before."""
        points = self.device.kernel_points("fresh_memory", "fp32")
        rate = points[0].shape[0] / points[0].seconds if points else CPU_FRESH_BYTES_PER_SECOND
        return fresh_bytes(trace) / rate


def usual_factor(kernel: str) -> float:
    """Times its ideal time that a kernel takes where no probe timed it."""
    return _USUAL[kernel]


def is_probed(device: Device) -> bool:
    """Whether the kernels that most of a step is made of were timed."""
    return bool(device.kernel_points("matmul", "fp32"))


def cpu_sigma(device: Device) -> float:
    """Standard deviation of log(measured / predicted) of a step."""
    return CPU_PROBED_SIGMA if is_probed(device) else CPU_NOT_PROBED_SIGMA


def fresh_bytes(trace: Trace) -> float:
    """Bytes of a steady step that are written for the first time since the system handed them out.

    Blocks of `CPU_FRESH_BYTES` and more each time, and of what the heap of smaller ones grows by a share.
    """
    large = live = least = most = 0
    kept = CPU_HEAP_KEPT_BYTES
    for position, event in enumerate(trace.events):
        if position == trace.marks[1]:
            least = most = live
        size = trace.storages[event if event >= 0 else ~event].size
        if size >= CPU_FRESH_BYTES:
            large += size if event >= 0 and position >= trace.marks[1] else 0
            continue
        live += size if event >= 0 else -size
        most = max(most, live)
        kept = max(kept, size if event < 0 else 0)
    returned = CPU_TRAINING_HEAP_RETURNED if trains(trace) else CPU_INFERENCE_HEAP_RETURNED
    return large + (returned * (most - least) if most - least > 2 * kept else 0.0)


# ---------------------------------------------------------------------- sizes
def _place(kernel: str, shape: tuple[int, ...]) -> tuple[float, ...]:
    """Where a kernel's sizes lie among others: doublings in each direction that matters."""
    if kernel in _ROWS or "matmul" in kernel:
        sizes: tuple[float, ...] = shape
    elif "convolution" in kernel:
        n, c, h, w, o, side, stride, groups = shape
        sizes = (n * h * w / stride**2, c / groups, o / groups, side**2, stride**2, min(groups, 4) ** 2)
    elif "attention" in kernel:
        sizes = (shape[0] * shape[1], *shape[2:])
    elif "batch_norm" in kernel:
        sizes = (shape[0] * prod(shape[2:]), shape[1])
    else:
        sizes = (prod(shape),)
    return tuple(log2(max(1.0, size)) for size in sizes)
