"""This machine's processor, as a machine profile: read from the system, and measured for half a second with numpy."""

import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import psutil

from sslbench.hardware_profiles.control_group import memory_limit_bytes
from sslbench.hardware_profiles.processor import cache_sizes, processor_info, processor_name, usable_cores
from sslbench.hardware_profiles.schema import Device, DType, Figure, Machine

LAUNCH = Figure(
    value=2e-6,
    basis="derived",
    source="torch.add on one element: 1.3 us without, 1.9 us with autograd (PyTorch 2.13, a thread of an EPYC server)",
)
MATRIX_SIZE = 1024
MEASURE_SECONDS = 0.12
MIB = 2**20

# Rate over that of fp32, by processor flag; the first that is present counts.
# Intel 64 and IA-32 Architectures Optimization Reference Manual: AMX does 512 bf16 products a clock and core against 32
# of fp32 in two AVX-512 units; VDPBF16PS does two products in each fp32 lane.
_BF16_RATES = (("amx_bf16", 16.0), ("avx512_bf16", 2.0))


@cache
def describe_cpu() -> Machine:
    """The processor and memory of this machine, named `here`.

    Memory is what this process may use: the physical memory or the control group's limit. The fp32 peak is the best
    measured matrix product and the bandwidth the best measured copy, both with all cores that numpy gets and once a
    process. bf16 is derived, and present only where the processor has instructions for it.
    """
    info, cores = processor_info(), usable_cores()
    cache_bytes = max(cache_sizes().items(), default=(0, 0))[1]
    device = Device(
        kind="cpu",
        vendor=info.get("vendor_id") or "unknown",
        architecture={"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "arm64"}.get(
            platform.machine().lower(), platform.machine().lower() or "unknown"
        ),
        memory_bytes=memory_figure(),
        memory_kind="host",
        memory_bandwidth_bytes_per_second=_bandwidth(cores, cache_bytes),
        l2_cache_bytes=Figure(value=cache_bytes, basis="measured", source="Linux sysfs, last cache level of core 0")
        if cache_bytes
        else None,
        multiprocessors=cores,
        peak_flops_per_second=_peaks(info.get("flags", "").split()),
        launch_seconds=LAUNCH,
    )
    title = f"{processor_name()}, {cores} core{'s' if cores > 1 else ''}"
    return Machine(name="here", title=title, device=device)


def memory_figure() -> Figure:
    """What this process may use of the memory: all of it, or the control group's limit."""
    total = psutil.virtual_memory().total
    limit = memory_limit_bytes()
    if limit is not None and 0 < limit < total:
        return Figure(value=limit, basis="measured", source="memory limit of the control group")
    return Figure(value=total, basis="measured", source="psutil: physical memory that the system reports")


def _peaks(flags: list[str]) -> dict[DType, Figure]:
    a = np.ones((MATRIX_SIZE, MATRIX_SIZE), dtype=np.float32)
    out = np.empty_like(a)
    seconds = _best_seconds(lambda: np.matmul(a, a, out=out))
    fp32 = 2 * MATRIX_SIZE**3 / seconds
    size = f"{MATRIX_SIZE} x {MATRIX_SIZE}"
    peaks: dict[DType, Figure] = {
        "fp32": Figure(value=fp32, basis="measured", source=f"best of repeated {size} fp32 matrix products in numpy")
    }
    for flag, rate in _BF16_RATES:
        if flag in flags:
            source = f"{rate:g} x fp32: the processor has {flag}"
            peaks["bf16"] = Figure(value=fp32 * rate, basis="derived", source=source)
            break
    return peaks


def _bandwidth(cores: int, cache_bytes: int) -> Figure:
    size = min(max(64 * MIB, 2 * cache_bytes), 512 * MIB, int(psutil.virtual_memory().available // 16))
    source = np.ones(max(size, MIB) // 4, dtype=np.float32)
    target = np.empty_like(source)
    parts = list(zip(np.array_split(target, cores), np.array_split(source, cores), strict=True))
    with ThreadPoolExecutor(cores) as pool:  # numpy copies on one thread, and lets others run meanwhile
        seconds = _best_seconds(lambda: list(pool.map(lambda part: np.copyto(*part), parts)))
    text = f"best of repeated copies of {source.nbytes // MIB} MiB on {cores} threads, read plus written"
    return Figure(value=2 * source.nbytes / seconds, basis="measured", source=text)


def _best_seconds(run: Callable[[], object]) -> float:
    """Shortest of the runs that fit in `MEASURE_SECONDS`, at least two, after one that warms up."""
    run()
    best, used, runs = float("inf"), 0.0, 0
    while used < MEASURE_SECONDS or runs < 2:
        start = time.perf_counter()
        run()
        elapsed = time.perf_counter() - start
        best, used, runs = min(best, elapsed), used + elapsed, runs + 1
    return best
