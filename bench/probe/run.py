"""Runs a suite of micro-kernels on a device within a span of time."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

import torch

from sslbench.bench.blame import in_brief
from sslbench.bench.measure.timing import without_collector
from sslbench.bench.probe.figures import rounded
from sslbench.bench.probe.timing import Timed, time_call
from sslbench.hardware_profiles.schema import DType, KernelTiming, Point
from sslbench.kernels.micro.micro import TORCH_TYPES, Micro, Shape
from sslbench.kernels.micro.registry import MICROS
from sslbench.kernels.step import float32_math

Suite = Mapping[tuple[str, DType], tuple[Shape, ...]]
"""Sizes by kernel and type."""
Progress = Callable[[str, int, int | None], None]
"""Told the kernel, the points that are done, and how many there are."""


@dataclass(slots=True)
class Ran:
    """What a suite came to."""

    timings: list[KernelTiming] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Kernels that could not run here, each with the reason."""


def run_suite(suite: Suite, device: torch.device, *, seconds: float, progress: Progress | None = None) -> Ran:
    """Time every kernel of the suite at every size.

    Each point gets its share of the time that is left, so that what short ones leave goes to the others; a few blocks
    are timed whatever they take.

    Args:
        suite: names of `MICROS`, and their sizes.
        device: where they run.
        seconds: in all.
        progress: told how far it is.
    """
    ran, until = Ran(), time.monotonic() + seconds
    total, done = sum(map(len, suite.values())), 0
    with without_collector():
        for (kernel, dtype), shapes in suite.items():
            found: list[tuple[Shape, Timed]] = []
            for shape in shapes:
                if progress is not None:
                    progress(f"{kernel} {dtype}", done, total)
                share = max(until - time.monotonic(), 0.0) / (total - done)
                done += 1
                try:
                    found.append((shape, _time_point(MICROS[kernel], device, dtype, shape, share)))
                except (RuntimeError, NotImplementedError) as error:  # no memory, or no such kernel for this type
                    ran.left_out.append(f"{kernel} {dtype} {list(shape)}: {in_brief(error)}")
                gc.collect()
            if found:
                ran.timings.append(_timing(MICROS[kernel], dtype, found))
    return ran


def _time_point(micro: Micro, device: torch.device, dtype: DType, shape: Shape, seconds: float) -> Timed:
    with torch.set_grad_enabled(micro.autograd), float32_math(dtype):
        call = micro.build(device, TORCH_TYPES[dtype], shape)
        timed = time_call(call, device, seconds=seconds)
    if device.type == "cuda":
        del call
        torch.cuda.empty_cache()
    return Timed(timed.seconds / micro.calls, timed.noise)


def _timing(micro: Micro, dtype: DType, found: list[tuple[Shape, Timed]]) -> KernelTiming:
    return KernelTiming(
        kernel=micro.kernel,
        dtype=dtype,
        shape_names=micro.shape_names,
        points=tuple(Point(shape=shape, seconds=rounded(timed.seconds)) for shape, timed in found),
        noise=round(median(timed.noise for _, timed in found), 4),
        source=f"sslbench probe: median of repeated calls, torch {torch.__version__}",
    )
