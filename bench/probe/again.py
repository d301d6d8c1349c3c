"""Two probes of one machine as one: at every size the faster, which is the machine that nobody else slowed down."""

from sslbench.bench.errors import MeasureError
from sslbench.bench.probe.figures import with_figures
from sslbench.hardware_profiles.schema import KernelTiming, Machine, Probe


def faster_of(earlier: Machine, later: Machine) -> Machine:
    """The later probe, with the earlier one's points where those are faster.

    What a shared host's other machines do to memory and caches shows in no counter, lasts minutes, and only ever slows
    down: the fastest of several probes that lie apart is what stays of the machine itself.

    Raises:
        MeasureError: the earlier profile is no probe of this device, with this PyTorch and as many threads.
    """
    before, now = _probe(earlier), _probe(later)
    for what in ("device", "torch", "threads"):
        was, is_ = getattr(before, what), getattr(now, what)
        if was != is_:
            raise MeasureError(
                f"probe --again: {earlier.name} was probed with {what} {was}, and this is {is_}: probe without --again"
            )
    timings = [_faster(timing, earlier) for timing in later.device.kernels]
    probe = now.model_copy(update={"repeats": before.repeats + now.repeats, "warnings": _common(before, now)})
    return later.model_copy(update={"device": with_figures(later.device, timings), "probe": probe})


def _probe(machine: Machine) -> Probe:
    if machine.probe is None:
        raise MeasureError(f"probe --again: {machine.name} was never probed: probe without --again")
    return machine.probe


def _faster(timing: KernelTiming, earlier: Machine) -> KernelTiming:
    seen = {point.shape: point.seconds for point in earlier.device.kernel_points(timing.kernel, timing.dtype)}
    points = tuple(
        point.model_copy(update={"seconds": min(point.seconds, seen.get(point.shape, point.seconds))})
        for point in timing.points
    )
    return timing.model_copy(update={"points": points})


def _common(before: Probe, now: Probe) -> tuple[str, ...]:
    """A disturbance that only one of the two had is made good by the other."""
    return now.warnings if before.warnings else ()
