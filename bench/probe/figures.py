"""From timed kernels to the figures of a machine: dense peaks, memory bandwidth, launch time."""

from collections.abc import Callable, Sequence
from math import prod

from sslbench.hardware_profiles.schema import Device, DType, Figure, KernelTiming, Point, Rated

LARGE_BYTES = 32 * 2**20
"""A copy of at least this size, unless there is no other, tells the bandwidth of memory."""


def with_figures(device: Device, timings: Sequence[KernelTiming]) -> Device:
    """The device with what was timed on it, and the figures that follow; what those replace stands in `rated`."""
    probed = device.model_copy(update={"kernels": tuple(timings)})
    peaks = {dtype: figure for dtype in device_types(timings) if (figure := _peak(probed, dtype))}
    bandwidth, launch = _bandwidth(probed), _launch(probed)
    old = device.rated or Rated()
    rated = Rated(
        memory_bandwidth_bytes_per_second=_promised(device.memory_bandwidth_bytes_per_second)
        or old.memory_bandwidth_bytes_per_second,
        peak_flops_per_second=old.peak_flops_per_second
        | {dtype: figure for dtype, figure in device.peak_flops_per_second.items() if _promised(figure)},
        launch_seconds=_promised(device.launch_seconds) or old.launch_seconds,
    )
    changes = {
        "memory_bandwidth_bytes_per_second": bandwidth or device.memory_bandwidth_bytes_per_second,
        "peak_flops_per_second": device.peak_flops_per_second | peaks,
        "launch_seconds": launch or device.launch_seconds,
        "rated": rated,
    }
    return probed.model_copy(update=changes)


def device_types(timings: Sequence[KernelTiming]) -> list[DType]:
    """The types that products were timed in."""
    return [timing.dtype for timing in timings if timing.kernel == "matmul"]


def _promised(figure: Figure) -> Figure | None:
    return figure if figure.basis != "measured" else None


def _peak(device: Device, dtype: DType) -> Figure | None:
    """The best rate of a linear layer."""
    best = _best(device.kernel_points("matmul", dtype), lambda point: 2 * prod(point.shape) / point.seconds)
    if best is None:
        return None
    rate, point = best
    return _measured(rate, f"a linear layer of {' x '.join(map(str, point.shape))} in {dtype}, the best of all sizes")


def _bandwidth(device: Device) -> Figure | None:
    points = device.kernel_points("copy", "fp32")
    large = [point for point in points if point.shape[0] >= LARGE_BYTES] or points
    best = _best(large[-1:], lambda point: 2 * point.shape[0] / point.seconds)
    if best is None:
        return None
    return _measured(best[0], f"a copy of {best[1].shape[0] // 2**20} MiB, read plus written")


def _launch(device: Device) -> Figure | None:
    points = device.kernel_points("dispatch", "fp32")
    return _measured(points[0].seconds, "additions of one element, one after the other") if points else None


def _best(points: Sequence[Point], rate: Callable[[Point], float]) -> tuple[float, Point] | None:
    return max(((rate(point), point) for point in points), default=None, key=lambda pair: pair[0])


def rounded(value: float) -> float:
    """As many digits as a measurement has."""
    return float(f"{value:.4g}")


def _measured(value: float, what: str) -> Figure:
    return Figure(value=rounded(value), basis="measured", source=f"sslbench probe: {what}")
