"""A probed GPU in the terms of the step-time model, whose constants were fitted against datasheet figures.

What the model says of a kernel contains what such kernels reach of a rated figure. A measured figure contains it, too:
in the rated one's place it would count twice. So the model starts from the rated figures, and is then set right by what
it says of the probe's own kernels: the figures with which it predicts what was measured.
"""

from collections.abc import Callable, Iterator
from statistics import median

from sslbench.bench.predict.gpu_kernels import ITEM_BYTES
from sslbench.bench.trace.events import FORWARD, Call, OperatorKind, Trace
from sslbench.hardware_profiles.schema import Device, DType, Figure, Point, Rated

AtClock = Callable[[Trace], Device]
Seconds = Callable[[OperatorKind, Device, Trace], float]

_ELEMENT_TYPES: dict[DType, str] = {"fp32": "float32", "tf32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_LARGEST = 5
"""Products that tell a type's peak: the smaller ones are bound by memory, or by their last wave."""
_ROUNDS = 6
"""Steps towards the peak that explains a time; each leaves the part of the error that traffic has in it."""
_FARTHEST = 4.0
"""Times, up or down, that a peak is changed at most: more is no property of a card, but a disturbed measurement."""


def as_rated(device: Device) -> Device:
    """The device with its rated figures where a GPU was probed; else as it is."""
    if not _is_probed(device) or device.rated is None:
        return device
    bandwidth = device.rated.memory_bandwidth_bytes_per_second or device.memory_bandwidth_bytes_per_second
    peaks = device.peak_flops_per_second | device.rated.peak_flops_per_second
    return device.model_copy(
        update={"memory_bandwidth_bytes_per_second": bandwidth, "peak_flops_per_second": peaks, "rated": None}
    )


def with_probe(device: Device, at_clock: AtClock, seconds: Seconds) -> Device:
    """The device with figures that the probe's own kernels confirm; as it is where no GPU was probed.

    A type's peak is changed by the median of what its largest timed products ask for, the bandwidth by the largest
    addition. The peaks before stay in `rated`: they tell the clock.

    Args:
        device: as rated, at the clock of the step that is asked for.
        at_clock: the same device at the clock of another step, of one operator.
        seconds: what the model says of that operator on a device.
    """
    if not _is_probed(device):
        return device
    peaks = {
        dtype: _times(figure, median(asked)) if (asked := list(_asked(device, dtype, at_clock, seconds))) else figure
        for dtype, figure in device.peak_flops_per_second.items()
    }
    bandwidth = device.memory_bandwidth_bytes_per_second
    if additions := device.kernel_points("add", "fp32"):
        (size,), measured = additions[-1].shape, additions[-1].seconds
        kind = OperatorKind("aten.add.Tensor", (("float32", (size,)),) * 2, size, 8 * size, 4 * size)
        alone = alone_in(kind, "fp32")
        bandwidth = _times(bandwidth, seconds(kind, at_clock(alone), alone) / measured)
    return device.model_copy(
        update={
            "memory_bandwidth_bytes_per_second": bandwidth,
            "peak_flops_per_second": peaks,
            "rated": Rated(peak_flops_per_second=device.peak_flops_per_second),
        }
    )


def _is_probed(device: Device) -> bool:
    return device.kind != "cpu" and bool(device.kernels)


def _asked(device: Device, dtype: DType, at_clock: AtClock, seconds: Seconds) -> Iterator[float]:
    """For each of the largest timed products, the change of the peak with which it takes what was measured."""
    points = sorted(device.kernel_points("matmul", dtype), key=lambda point: linear(dtype, point).flops)
    for point in points[-_LARGEST:]:
        kind = linear(dtype, point)
        alone = alone_in(kind, dtype)
        base, share = at_clock(alone), 1.0
        for _ in range(_ROUNDS):
            changed = _times(base.peak_flops_per_second[dtype], share)
            peaks = base.peak_flops_per_second | {dtype: changed}
            rated = Rated(peak_flops_per_second=base.peak_flops_per_second)
            there = base.model_copy(update={"peak_flops_per_second": peaks, "rated": rated})
            share *= seconds(kind, there, alone) / point.seconds
            share = min(max(share, 1 / _FARTHEST), _FARTHEST)
        yield share


def linear(dtype: DType, point: Point) -> OperatorKind:
    """The operator of a linear layer that was timed."""
    m, n, k = point.shape
    name = _ELEMENT_TYPES[dtype]
    item = ITEM_BYTES[name]
    inputs = ((name, (n,)), (name, (m, k)), (name, (k, n)))
    return OperatorKind("aten.addmm.default", inputs, 2 * m * n * k, item * (n + m * k + k * n), item * m * n)


def alone_in(kind: OperatorKind, dtype: DType) -> Trace:
    """A step of one operator."""
    return Trace(
        target="cuda",
        batch_size=None,
        storages=(),
        events=(),
        marks=(0, 0, 0),
        phase_marks=(),
        kinds=(kind,),
        calls=(Call(0, FORWARD, 0),),
        modules=("",),
        parameters=0,
        tf32_matmul=dtype == "tf32",
    )


def _times(figure: Figure, share: float) -> Figure:
    source = f"{figure.source}; times {share:.3g}, with which the probe's kernels take what was measured"
    return figure.model_copy(update={"value": figure.value * share, "basis": "measured", "source": source})
