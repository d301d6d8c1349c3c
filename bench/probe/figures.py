"""From timed kernels to the figures of a machine: dense peaks, memory bandwidth, launch time."""

from collections.abc import Sequence

from sslbench.hardware_profiles.schema import Device, DType, Figure, KernelTiming, Rated
from sslbench.hardware_profiles.work import kernel_flops

_PRODUCTS = ("matmul", "batched_matmul", "convolution")
LARGE_BYTES = 32 * 2**20
"""A copy of at least this size, unless there is no other, tells the bandwidth of memory."""


def with_figures(device: Device, timings: Sequence[KernelTiming]) -> Device:
    """The device with what was timed on it, and the figures that follow; what those replace stands in `rated`."""
    probed = device.model_copy(update={"kernels": tuple(timings)})
    peaks = {dtype: figure for dtype in _types(timings) if (figure := _peak(probed, dtype))}
    bandwidth, launch = _bandwidth(probed), _launch(probed)
    old = device.rated or Rated()
    rated = Rated(
        memory_bandwidth_bytes_per_second=_promised(device, device.memory_bandwidth_bytes_per_second)
        or old.memory_bandwidth_bytes_per_second,
        peak_flops_per_second=old.peak_flops_per_second
        | {dtype: figure for dtype, figure in device.peak_flops_per_second.items() if _promised(device, figure)},
        launch_seconds=_promised(device, device.launch_seconds) or old.launch_seconds,
    )
    changes = {
        "memory_bandwidth_bytes_per_second": bandwidth or device.memory_bandwidth_bytes_per_second,
        "peak_flops_per_second": device.peak_flops_per_second | peaks,
        "launch_seconds": launch or device.launch_seconds,
        "rated": rated,
    }
    return probed.model_copy(update=changes)


def _types(timings: Sequence[KernelTiming]) -> list[DType]:
    """The types that products were timed in."""
    return [timing.dtype for timing in timings if timing.kernel == "matmul"]


def _promised(device: Device, figure: Figure) -> Figure | None:
    """The figure if it is promised. What is derived of a GPU follows from datasheets, of a CPU from measurements."""
    good = ("datasheet",) if device.kind == "cpu" else ("datasheet", "derived")
    return figure if figure.basis in good else None


def _peak(device: Device, dtype: DType) -> Figure | None:
    """The best rate of all products. A GPU's convolutions may be Winograd's, which multiply less than is counted."""
    found = [
        (rate, kernel, point)
        for kernel in (_PRODUCTS if device.kind == "cpu" else _PRODUCTS[:1])
        for point in device.kernel_points(kernel, dtype)
        if (rate := (kernel_flops(kernel, point.shape) or 0.0) / point.seconds)
    ]
    if not found:
        return None
    rate, kernel, point = max(found, key=lambda each: each[0])
    size = " x ".join(map(str, point.shape))
    return _measured(rate, f"{kernel.replace('_', ' ')} {size} in {dtype}, the best of all")


def _bandwidth(device: Device) -> Figure | None:
    points = device.kernel_points("copy", "fp32")
    large = [point for point in points if point.shape[0] >= LARGE_BYTES] or points
    if not large:
        return None
    size, seconds = large[-1].shape[0], large[-1].seconds
    return _measured(2 * size / seconds, f"a copy of {size // 2**20} MiB, read plus written")


def _launch(device: Device) -> Figure | None:
    if device.kind == "cpu":
        points = device.kernel_points("dispatch", "fp32")
        return _measured(points[0].seconds, "additions of one element, one after the other") if points else None
    points = device.kernel_points("eager_block", "fp32")
    return _measured(points[0].seconds, "operators of a small transformer block, views too") if points else None


def rounded(value: float) -> float:
    """As many digits as a measurement has."""
    return float(f"{value:.4g}")


def _measured(value: float, what: str) -> Figure:
    return Figure(value=rounded(value), basis="measured", source=f"sslbench probe: {what}")
