"""Runs a suite of micro-kernels on a device within a span of time."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import cycle
from math import ceil
from statistics import median

import torch

from sslbench.bench.blame import in_brief
from sslbench.bench.measure.timing import without_collector
from sslbench.bench.probe.figures import rounded
from sslbench.bench.probe.timing import FEWEST_BLOCKS, UNDISTURBED, Sample, time_call, undisturbed
from sslbench.bench.statistics import median_absolute_deviation
from sslbench.hardware_profiles.schema import DType, KernelTiming, Point
from sslbench.hardware_profiles.work import kernel_bytes
from sslbench.kernels.micro.micro import TORCH_TYPES, Call, Shape
from sslbench.kernels.micro.registry import MICROS
from sslbench.kernels.step import float32_math

Suite = Mapping[tuple[str, DType], tuple[Shape, ...]]
"""Sizes by kernel and type."""
_Key = tuple[str, DType, Shape]
Progress = Callable[[str, int, int | None], None]
"""Told the kernel, the points that are done, and how many there are."""


ROUNDS = 2
"""How often the whole suite is run: what slows the machine for some seconds meets different kernels each time."""
COLD_BYTES = 96 * 2**20
"""What a processor's operands and results make together where they are cold: more than a last-level cache."""
MOST_COPIES = 64
"""Of one kernel's operands, however small they are."""


@dataclass(slots=True)
class Ran:
    """What a suite came to."""

    timings: list[KernelTiming]
    left_out: list[str]
    """Kernels that could not run here, each with the reason."""
    hurried: int
    """Sizes with fewer undisturbed blocks than are wanted: others had the cores, or the time was over."""


def run_suite(suite: Suite, device: torch.device, *, seconds: float, progress: Progress | None = None) -> Ran:
    """Time every kernel of the suite at every size, in `ROUNDS` rounds.

    Each point gets its share of the time that is left, so that what short ones leave goes to the others. When the time
    is over, as on a machine that others keep busy, every point still gets one block in the first round, and none later.

    Args:
        suite: names of `MICROS`, and their sizes.
        device: where they run.
        seconds: in all.
        progress: told how far it is.
    """
    until = time.monotonic() + seconds
    points = [(kernel, dtype, shape) for (kernel, dtype), shapes in suite.items() for shape in shapes]
    samples: dict[_Key, list[Sample]] = {}
    left_out: dict[_Key, str] = {}
    total = ROUNDS * len(points)
    with without_collector():
        for done, point in enumerate(points * ROUNDS):
            if progress is not None:
                progress(f"{point[0].replace('_', ' ')} {point[1]}", done, total)
            if point in left_out or (point in samples and time.monotonic() >= until):
                continue
            share = max(until - time.monotonic(), 0.0) / (total - done)
            try:
                samples.setdefault(point, []).extend(_time_point(*point, device=device, seconds=share))
            except (RuntimeError, NotImplementedError) as error:  # no memory, or no such kernel for this type
                left_out[point] = in_brief(error)
            gc.collect()
    timings = [_timing(kernel, dtype, shapes, samples) for (kernel, dtype), shapes in suite.items()]
    reasons = [f"{kernel} {dtype} {list(shape)}: {why}" for (kernel, dtype, shape), why in left_out.items()]
    quiet = (sum(sample.queued <= UNDISTURBED for sample in each) for each in samples.values() if each)
    hurried = sum(blocks < FEWEST_BLOCKS for blocks in quiet)
    return Ran([timing for timing in timings if timing.points], reasons, hurried)


def _time_point(kernel: str, dtype: DType, shape: Shape, *, device: torch.device, seconds: float) -> list[Sample]:
    micro = MICROS[kernel]
    with torch.set_grad_enabled(micro.autograd), float32_math(dtype):
        copies = _copies(kernel, dtype, shape) if device.type == "cpu" and micro.cold else 1
        call = _in_turn([micro.build(device, TORCH_TYPES[dtype], shape) for _ in range(copies)])
        samples = time_call(call, device, seconds=seconds)
    if device.type == "cuda":
        del call
        torch.cuda.empty_cache()
    return [Sample(sample.seconds / micro.calls, sample.queued) for sample in samples]


def _copies(kernel: str, dtype: DType, shape: Shape) -> int:
    """How many operands make `COLD_BYTES` together."""
    return min(MOST_COPIES, max(1, ceil(COLD_BYTES / (kernel_bytes(kernel, dtype, shape) or COLD_BYTES))))


def _in_turn(calls: list[Call]) -> Call:
    """One call that makes the next of several each time."""
    turn = cycle(calls)

    def call() -> object:
        return next(turn)()

    return call


def _timing(kernel: str, dtype: DType, shapes: tuple[Shape, ...], samples: Mapping[_Key, list[Sample]]) -> KernelTiming:
    found = [(shape, undisturbed(each)) for shape in shapes if (each := samples.get((kernel, dtype, shape)))]
    return KernelTiming(
        kernel=kernel,
        dtype=dtype,
        shape_names=MICROS[kernel].shape_names,
        points=tuple(Point(shape=shape, seconds=rounded(median(each))) for shape, each in found),
        noise=round(median([_noise(each) for _, each in found] or [0.0]), 4),
        source=f"sslbench probe: median of repeated calls in {ROUNDS} rounds, torch {torch.__version__}",
    )


def _noise(samples: list[float]) -> float:
    return (median_absolute_deviation(samples) or 0.0) / median(samples)
