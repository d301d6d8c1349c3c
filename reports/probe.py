"""A probed machine as what is shown of it: its figures beside the datasheet's, its kernels with their rates."""

from collections.abc import Iterator
from dataclasses import dataclass

from sslbench.hardware_profiles.schema import Figure, KernelTiming, Machine, Point, Processor
from sslbench.hardware_profiles.work import kernel_bytes, kernel_flops
from sslbench.reports.units import format_bytes, format_seconds, format_share, format_si
from sslbench.reports.words import LABEL_LENGTH, machine_title, plain

UNRATED = "-"


@dataclass(frozen=True, slots=True)
class FigureRow:
    """A measured figure beside what was promised."""

    name: str
    measured: str
    rated: str
    share: str
    """Measured over rated."""
    source: str


@dataclass(frozen=True, slots=True)
class PointRow:
    """One size of a kernel."""

    shape: str
    time: str
    rate: str
    """FLOP or bytes a second; empty where neither says much."""


@dataclass(frozen=True, slots=True)
class KernelRows:
    """A kernel in a type."""

    title: str
    shape_names: str
    noise: str
    points: tuple[PointRow, ...]
    best: PointRow | None
    """The size with the most FLOP a second; None for a kernel that is not made of those."""


@dataclass(frozen=True, slots=True)
class ProbeView:
    """A probed machine in words."""

    title: str
    made: str
    processor: str
    figures: tuple[FigureRow, ...]
    has_rated: bool
    """Whether any figure has a rated one beside it."""
    kernels: tuple[KernelRows, ...]
    warnings: tuple[str, ...]


def probe_view(machine: Machine) -> ProbeView:
    """What is shown of a machine that `sslbench probe` wrote."""
    probe = machine.probe
    on = f" on {probe.threads} threads" if probe and probe.threads else ""
    of = f", the fastest of {probe.repeats} probes" if probe and probe.repeats > 1 else ""
    made = f"measured {probe.date} in {format_seconds(probe.seconds)}, torch {probe.torch}{on}{of}" if probe else ""
    figures = tuple(_figures(machine))
    return ProbeView(
        title=machine_title(machine),
        made=plain(made, LABEL_LENGTH),
        processor=_processor(machine.processor) if machine.processor else "",
        figures=figures,
        has_rated=any(row.rated != UNRATED for row in figures),
        kernels=tuple(_kernel(timing) for timing in machine.device.kernels),
        warnings=tuple(map(plain, probe.warnings)) if probe else (),
    )


def _processor(processor: Processor) -> str:
    caches = (processor.l1_cache_bytes, processor.l2_cache_bytes, processor.l3_cache_bytes)
    parts = [f"{plain(processor.name, LABEL_LENGTH)}: {processor.cores} of {processor.logical_cores} hardware threads"]
    parts += [f"L{level} {format_bytes(size)}" for level, size in enumerate(caches, 1) if size]
    if processor.memory_channels:
        parts.append(f"{processor.memory_channels} memory channels")
    if processor.instructions:
        parts.append(plain(" ".join(processor.instructions), LABEL_LENGTH))
    return ", ".join(parts)


def _figures(machine: Machine) -> Iterator[FigureRow]:
    device, rated = machine.device, machine.device.rated
    for dtype, figure in device.peak_flops_per_second.items():
        promised = rated.peak_flops_per_second.get(dtype) if rated else None
        yield _figure(f"dense peak, {dtype}", figure, promised, "FLOP/s")
    promised = rated.memory_bandwidth_bytes_per_second if rated else None
    yield _figure("memory bandwidth", device.memory_bandwidth_bytes_per_second, promised, "B/s")
    yield _figure("operator launch", device.launch_seconds, rated.launch_seconds if rated else None, "s")


def _figure(name: str, figure: Figure, rated: Figure | None, unit: str) -> FigureRow:
    measured = figure.basis == "measured"
    if not measured:
        figure, rated = (rated or figure), figure
    return FigureRow(
        name=name,
        measured=_value(figure, unit) if measured else UNRATED,
        rated=_value(rated, unit) if rated else UNRATED,
        share=format_share(figure.value / rated.value) if rated and measured else "",
        source=plain(figure.source),
    )


def _value(figure: Figure, unit: str) -> str:
    return format_seconds(figure.value) if unit == "s" else format_si(figure.value, unit)


def _kernel(timing: KernelTiming) -> KernelRows:
    return KernelRows(
        title=f"{plain(timing.kernel, LABEL_LENGTH).replace('_', ' ')}, {timing.dtype}",
        shape_names=" x ".join(plain(name, LABEL_LENGTH) for name in timing.shape_names),
        noise=format_share(timing.noise),
        points=tuple(_point(timing, point) for point in timing.points),
        best=_best(timing),
    )


def _best(timing: KernelTiming) -> PointRow | None:
    rates = [((kernel_flops(timing.kernel, point.shape) or 0.0) / point.seconds, point) for point in timing.points]
    fastest, point = max(rates, key=lambda pair: pair[0], default=(0.0, None))
    return _point(timing, point) if point is not None and fastest else None


def _point(timing: KernelTiming, point: Point) -> PointRow:
    shape = " x ".join(format(size, ",") for size in point.shape)
    if timing.shape_names == ("bytes",):
        shape = format_bytes(point.shape[0])
    return PointRow(shape, format_seconds(point.seconds), _rate(timing, point))


def _rate(timing: KernelTiming, point: Point) -> str:
    """What a time stands for: FLOP a second, else bytes a second, else nothing."""
    flops = kernel_flops(timing.kernel, point.shape)
    if flops is not None:
        return format_si(flops / point.seconds, "FLOP/s")
    moved = kernel_bytes(timing.kernel, timing.dtype, point.shape)
    return "" if moved is None else format_si(moved / point.seconds, "B/s")
