"""How long one call of a micro-kernel takes: blocks of calls, repeated until their median is known."""

import math
import statistics
import time
from dataclasses import dataclass

import torch

from sslbench.bench.measure.clocks import clock_of
from sslbench.bench.measure.steady import half_width
from sslbench.bench.statistics import median_absolute_deviation
from sslbench.kernels.micro.micro import Call

BLOCK_SECONDS = 2e-3
"""A block of calls is at least this long: long beside the clock's own time, short beside a neighbour's."""
FEWEST_BLOCKS = 5
TOLERANCE = 0.01
"""Half the width of the median's 95 % interval, as a share of it, at which a kernel is known well enough."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Time of one call."""

    seconds: float
    """Median over the blocks."""
    noise: float
    """Median absolute deviation of the blocks, as a share of the median."""


def time_call(call: Call, device: torch.device, *, seconds: float) -> Timed:
    """Time a call on a device; on a GPU without waiting between the calls, as a model's step launches them.

    Args:
        call: one call of the kernel.
        device: which it runs on.
        seconds: no further block begins after this long, once there are `FEWEST_BLOCKS`.
    """
    until = time.monotonic() + seconds
    calls = _calls_a_block(call, device)

    def block() -> None:
        for _ in range(calls):
            call()

    clock = clock_of(device)
    block()
    blocks = 0
    while True:
        clock.time(block)
        blocks += 1
        if blocks < FEWEST_BLOCKS:
            continue
        if time.monotonic() >= until or half_width(clock.finished_seconds()) <= TOLERANCE:
            break
    samples = clock.samples_seconds()
    median = statistics.median(samples)
    return Timed(median / calls, (median_absolute_deviation(samples) or 0.0) / median)


def _calls_a_block(call: Call, device: torch.device) -> int:
    """As many as take `BLOCK_SECONDS`. The first call, which loads code and plans, tells nothing."""
    clock = clock_of(device)
    call()
    clock.wait()
    for _ in range(2):
        clock.time(call)
    return max(1, math.ceil(BLOCK_SECONDS / max(min(clock.samples_seconds()), 1e-9)))
