"""Charts of a probed machine: its roofs with the kernels that were timed below them, and its memory by size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sslbench.hardware_profiles.schema import Device, DType, KernelTiming, Machine, Point
from sslbench.hardware_profiles.work import kernel_bytes, kernel_flops
from sslbench.reports.axes import LogAxis, log_axis
from sslbench.reports.units import format_bytes, format_seconds, format_si, format_tick

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 92, 700, 18, 306

_CIRCLE = "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0"
_SQUARE = "M-3.6 -3.6H3.6V3.6H-3.6Z"
_TRIANGLE = "M0 -4.6L4.4 3.4H-4.4Z"
_DIAMOND = "M0 -5L5 0L0 5L-5 0Z"
_FAMILIES = (("matmul", _CIRCLE), ("batched_matmul", _SQUARE), ("convolution", _TRIANGLE), ("attention", _DIAMOND))
_STREAMS = ("copy", "host_to_device_pinned", "host_to_device", "device_to_host_pinned", "device_to_host")
_OUTLINES = (_CIRCLE, _SQUARE, _TRIANGLE, _DIAMOND, _SQUARE)


@dataclass(frozen=True, slots=True)
class Mark:
    """A timed size as a symbol; colour, outline and filling tell what it is."""

    x: float
    y: float
    series: int
    outline: str
    hollow: bool
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line through some places, with a label at its end."""

    key: str
    """`roof`, `rated`, `curve` or `guide`; the CSS class."""
    points: str
    label: str = ""
    label_x: float = 0.0
    label_y: float = 0.0
    anchor: str = "end"


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of the legend."""

    name: str
    series: int
    outline: str
    hollow: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart on logarithmic axes."""

    title: str
    note: str
    x_label: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...]
    legend: tuple[Key, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM


def probe_charts(machine: Machine) -> list[Chart]:
    """A roofline for each type, then memory by size; none for what was not timed."""
    device = machine.device
    types = dict.fromkeys(timing.dtype for timing in device.kernels if timing.kernel == "matmul")
    memory = _memory(machine)
    return [_roofline(device, dtype) for dtype in types] + ([memory] if memory else [])


# ---------------------------------------------------------------------- roofs
def _roofline(device: Device, dtype: DType) -> Chart:
    dots = [dot for timing in device.kernels if timing.dtype == dtype for dot in _dots(timing)]
    peak, bandwidth = device.peak_flops_per_second[dtype].value, device.memory_bandwidth_bytes_per_second.value
    rated = device.rated.peak_flops_per_second.get(dtype) if device.rated else None
    promised = device.rated.memory_bandwidth_bytes_per_second if device.rated else None
    roofs = [("roof", peak, bandwidth)]
    if rated or promised:
        roofs.append(("rated", rated.value if rated else peak, promised.value if promised else bandwidth))
    x_axis = log_axis([*(x for _, x, _, _ in dots), peak / bandwidth], LEFT, RIGHT)
    tops = [height for _, height, _ in roofs]
    y_axis = log_axis([*(y for _, _, y, _ in dots), *tops], BOTTOM, TOP)
    return Chart(
        title=f"Roofline, {dtype}",
        note="Each mark is a kernel at one size; hollow: backward. Solid: the measured roof"
        + (", dashed: the rated one." if len(roofs) > 1 else "."),
        x_label="FLOP per byte that operands and result take",
        x_ticks=tuple((x_axis.place(tick), f"{tick:g}") for tick in x_axis.ticks()),
        y_ticks=_rates(y_axis, "FLOP/s"),
        lines=tuple(_roof(x_axis, y_axis, *roof) for roof in roofs),
        marks=tuple(_mark(kernel, x_axis.place(x), y_axis.place(y), label) for kernel, x, y, label in dots),
        legend=tuple(_roof_legend({kernel for kernel, *_ in dots})),
    )


def _dots(timing: KernelTiming) -> Iterator[tuple[str, float, float, str]]:
    """(kernel, FLOP per byte, FLOP per second, label) of each size."""
    for point in timing.points:
        flops = kernel_flops(timing.kernel, point.shape)
        moved = kernel_bytes(timing.kernel, timing.dtype, point.shape)
        if flops and moved:
            rate = flops / point.seconds
            yield timing.kernel, flops / moved, rate, _label(timing.kernel, point, format_si(rate, "FLOP/s"))


def _label(kernel: str, point: Point, rate: str) -> str:
    shape = " x ".join(map(str, point.shape))
    return f"{kernel.replace('_', ' ')} {shape}: {format_seconds(point.seconds)}, {rate}"


def _roof(x_axis: LogAxis, y_axis: LogAxis, key: str, peak: float, bandwidth: float) -> Line:
    """From the bandwidth's slope to the flat peak."""
    corners = [(max(x_axis.low, y_axis.low / bandwidth), None), (peak / bandwidth, peak), (x_axis.high, peak)]
    places = [(x_axis.place(x), y_axis.place(y if y is not None else bandwidth * x)) for x, y in corners]
    return Line(key, " ".join(f"{x},{y}" for x, y in places))


def _family(kernel: str) -> tuple[int, bool]:
    """Number of the kernel's family, and whether it is a backward pass."""
    name = kernel.removesuffix("_nhwc")
    names = [family for family, _ in _FAMILIES]
    return names.index(name.removesuffix("_backward")), name.endswith("_backward")


def _mark(kernel: str, x: float, y: float, label: str) -> Mark:
    series, backward = _family(kernel)
    return Mark(x, y, series, _FAMILIES[series][1], backward, label)


def _roof_legend(kernels: set[str]) -> Iterator[Key]:
    for series, hollow in sorted({_family(kernel) for kernel in kernels}):
        name, outline = _FAMILIES[series]
        yield Key(f"{name.replace('_', ' ')}{' backward' if hollow else ''}", series, outline, hollow)


# ---------------------------------------------------------------------- memory
def _memory(machine: Machine) -> Chart | None:
    device = machine.device
    curves = {name: points for name in _STREAMS if (points := device.kernel_points(name, "fp32"))}
    if not curves:
        return None
    places = {
        name: [(kernel_bytes(name, "fp32", point.shape) or 0, point) for point in points]
        for name, points in curves.items()
    }
    dots = [(name, moved, moved / point.seconds, point) for name, found in places.items() for moved, point in found]
    rated = device.rated.memory_bandwidth_bytes_per_second if device.rated else None
    x_axis = log_axis([moved for _, moved, _, _ in dots], LEFT, RIGHT)
    y_axis = log_axis([*(rate for _, _, rate, _ in dots), *([rated.value] if rated else [])], BOTTOM, TOP)
    lines = [*_guides(machine, x_axis), *(_curve(name, dots, x_axis, y_axis) for name in curves)]
    if rated:
        level = y_axis.place(rated.value)
        lines.append(Line("rated", f"{LEFT},{level} {RIGHT},{level}", "rated", RIGHT, level - 6))
    return Chart(
        title="Memory by size",
        note="Bytes read and written in a second, by how many a copy touches; what fits a cache is faster.",
        x_label="bytes that one call reads and writes",
        x_ticks=_sizes(x_axis),
        y_ticks=_rates(y_axis, "B/s"),
        lines=tuple(lines),
        marks=tuple(
            Mark(
                x_axis.place(moved),
                y_axis.place(rate),
                _STREAMS.index(name),
                _OUTLINES[_STREAMS.index(name)],
                False,
                f"{name.replace('_', ' ')}, {format_bytes(moved)}: {format_seconds(point.seconds)}, "
                f"{format_si(rate, 'B/s')}",
            )
            for name, moved, rate, point in dots
        ),
        legend=tuple(
            Key(name.replace("_", " "), series, _OUTLINES[series], False)
            for series, name in enumerate(_STREAMS)
            if name in curves
        ),
    )


def _curve(name: str, dots: Sequence[tuple[str, float, float, Point]], x_axis: LogAxis, y_axis: LogAxis) -> Line:
    places = ((x_axis.place(moved), y_axis.place(rate)) for each, moved, rate, _ in dots if each == name)
    return Line(f"curve series-{_STREAMS.index(name)}", " ".join(f"{x},{y}" for x, y in places))


def _guides(machine: Machine, x_axis: LogAxis) -> Iterator[Line]:
    """Where the caches end: those of all cores together, the last level as it is shared."""
    sizes: dict[str, float] = {}
    if machine.device.kind == "cpu" and machine.processor:
        cores = machine.processor.cores
        sizes = {
            "L1": cores * (machine.processor.l1_cache_bytes or 0),
            "L2": cores * (machine.processor.l2_cache_bytes or 0),
            "L3": machine.processor.l3_cache_bytes or 0,
        }
    elif machine.device.l2_cache_bytes:
        sizes = {"L2": machine.device.l2_cache_bytes.value}
    for name, size in sizes.items():
        if x_axis.low < size < x_axis.high:
            x = x_axis.place(size)
            yield Line("guide", f"{x},{TOP} {x},{BOTTOM}", f"{name} {format_bytes(size)}", x + 5, TOP + 12, "start")


def _sizes(axis: LogAxis) -> tuple[tuple[float, str], ...]:
    """Powers of two with a tick, so many that their names have room."""
    powers = [2.0**power for power in range(0, 60, 2) if axis.low <= 2.0**power <= axis.high]
    kept = powers[:: max(1, -(-len(powers) // 8))]
    return tuple((axis.place(value), format_tick(format_bytes(value))) for value in kept)


def _rates(axis: LogAxis, unit: str) -> tuple[tuple[float, str], ...]:
    return tuple((axis.place(value), format_tick(format_si(value, unit))) for value in axis.ticks())
