"""The state of the machine around a measurement in words: (name, value) for what is known."""

from collections.abc import Iterator

from sslbench.bench.measured import GpuState, State
from sslbench.reports.units import format_bytes, format_seconds, format_share, format_si, significant
from sslbench.reports.words import LABEL_LENGTH, plain


def state_rows(state: State | None) -> tuple[tuple[str, str], ...]:
    """What is known of the state; of the GPU before and after the timed steps."""
    if state is None:
        return ()
    return (*_host(state), *_gpu(state.gpu_before, state.gpu_after))


def _host(state: State) -> Iterator[tuple[str, str]]:
    if state.others_cpu_share is not None:
        yield "other programs", f"{format_share(state.others_cpu_share)} of the processor"
    if state.load_average is not None:
        yield "load before", significant(state.load_average)
    if state.governor is not None:
        yield "governor", plain(state.governor, LABEL_LENGTH)
    if state.frequency_mhz is not None:
        yield "core clock", format_si(state.frequency_mhz * 1e6, "Hz")
    if state.smt is not None:
        yield "SMT", "on" if state.smt else "off"
    if state.container is not None:
        yield "container", plain(state.container, LABEL_LENGTH)
    if state.cpu_limit is not None:
        yield "processor limit", f"{state.cpu_limit:g} cores"
    if state.memory_limit_bytes is not None:
        yield "memory limit", format_bytes(state.memory_limit_bytes)
    if state.throttled_seconds:
        yield "held back by its control group", format_seconds(state.throttled_seconds)
    if state.swap_used_bytes:
        yield "swap in use", format_bytes(state.swap_used_bytes)


def _gpu(before: GpuState | None, after: GpuState | None) -> Iterator[tuple[str, str]]:
    both = [gpu for gpu in (before, after) if gpu is not None]
    if not both:
        return
    for name, field, number, unit in (
        ("GPU temperature", "temperature_celsius", "{}", " °C"),
        ("GPU clock", "graphics_clock_mhz", "{:,}", " MHz"),
        ("GPU memory clock", "memory_clock_mhz", "{:,}", " MHz"),
        ("GPU power", "power_watts", "{:.0f}", " W"),
    ):
        texts = dict.fromkeys(number.format(value) for gpu in both if (value := getattr(gpu, field)) is not None)
        if texts:
            yield name, " → ".join(texts) + unit
    last = both[-1]
    if last.utilization is not None:
        yield "GPU busy", f"{format_share(last.utilization)} of the time"
    if last.power_limit_watts:
        yield "GPU power limit", f"{last.power_limit_watts:.0f} W"
    reasons = dict.fromkeys(plain(reason, LABEL_LENGTH) for gpu in both for reason in gpu.throttle_reasons)
    if reasons:
        yield "GPU clocks held down by", ", ".join(reasons)
    if last.other_processes:
        share = "" if last.other_utilization is None else f", {format_share(last.other_utilization)} of its time"
        yield "other processes on the GPU", f"{last.other_processes:,}{share}"
