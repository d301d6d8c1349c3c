"""How long calls of a micro-kernel take: blocks of calls, repeated until their median is known."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sslbench.bench.measure.clocks import clock_of
from sslbench.bench.measure.steady import half_width
from sslbench.bench.probe.queued import queued_seconds
from sslbench.kernels.micro.micro import Call

BLOCK_SECONDS = 2e-3
"""A block of calls is at least this long: long beside the clock's own time, short beside a neighbour's."""
FEWEST_BLOCKS = 4
TOLERANCE = 0.01
"""Half the width of the median's 95 % interval, as a share of it, at which a kernel is known well enough."""
UNDISTURBED = 0.02
"""Share of a block that its threads may have waited for a core together."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A block of calls."""

    seconds: float
    """Of one call."""
    queued: float
    """Share of the block that its threads waited for a core, together."""


def time_call(call: Call, device: torch.device, *, seconds: float) -> list[Sample]:
    """Time a call in several blocks; on a GPU none within a block is waited for, as in a model's step.

    Args:
        call: one call of the kernel.
        device: which it runs on.
        seconds: no further block begins after this long, once there are `FEWEST_BLOCKS`; where it is 0,
            after the first.
    """
    until = time.monotonic() + seconds
    calls = _calls_a_block(call, device)

    def block() -> None:
        for _ in range(calls):
            call()

    clock = clock_of(device)
    samples: list[Sample] = []
    while True:
        before = queued_seconds()
        clock.time(block)
        clock.wait()  # the host would queue blocks for minutes
        taken = clock.samples_seconds()[-1]
        samples.append(Sample(taken / calls, (queued_seconds() - before) / taken))
        if len(samples) < FEWEST_BLOCKS and seconds > 0:
            continue
        if time.monotonic() >= until or half_width(undisturbed(samples)) <= TOLERANCE:
            return samples


def undisturbed(samples: Sequence[Sample]) -> list[float]:
    """Seconds of those during which hardly a core was waited for; of the least disturbed where there is none."""
    limit = max(UNDISTURBED, min((sample.queued for sample in samples), default=0.0))
    return [sample.seconds for sample in samples if sample.queued <= limit]


def _calls_a_block(call: Call, device: torch.device) -> int:
    """As many as take `BLOCK_SECONDS`. The first call, which loads code and plans, tells nothing."""
    clock = clock_of(device)
    call()
    clock.wait()
    for _ in range(2):
        clock.time(call)
    return max(1, math.ceil(BLOCK_SECONDS / max(min(clock.samples_seconds()), 1e-9)))
