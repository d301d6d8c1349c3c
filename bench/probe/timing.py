"""How long calls of a micro-kernel take: blocks of calls, repeated until their median is known."""

import itertools
import math
import time
from collections.abc import Sequence

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


def time_call(call: Call, device: torch.device, *, seconds: float) -> list[float]:
    """Seconds of one call in each of several blocks; on a GPU none within a block is waited for, as in a model's step.

    Blocks in which others had a core that was wanted are left out, as far as there are others.

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
    queued = [queued_seconds()]
    for blocks in itertools.count(1):
        clock.time(block)
        clock.wait()  # the host would queue blocks for minutes
        queued.append(queued_seconds())
        if blocks < FEWEST_BLOCKS and seconds > 0:
            continue
        if time.monotonic() >= until or half_width(undisturbed(clock.samples_seconds(), queued)) <= TOLERANCE:
            break
    return [sample / calls for sample in undisturbed(clock.samples_seconds(), queued)]


def undisturbed(samples: Sequence[float], queued: Sequence[float]) -> list[float]:
    """The samples during which hardly a core was waited for, in order; the `FEWEST_BLOCKS` best where they are fewer.

    Args:
        samples: seconds, in order.
        queued: seconds that had been waited before the first, and after each.
    """
    spans = zip(samples, itertools.pairwise(queued), strict=True)
    shares = [(after - before) / sample for sample, (before, after) in spans]
    limit = max([UNDISTURBED, *sorted(shares)[:FEWEST_BLOCKS]])
    return [sample for sample, share in zip(samples, shares, strict=True) if share <= limit]


def _calls_a_block(call: Call, device: torch.device) -> int:
    """As many as take `BLOCK_SECONDS`. The first call, which loads code and plans, tells nothing."""
    clock = clock_of(device)
    call()
    clock.wait()
    for _ in range(2):
        clock.time(call)
    return max(1, math.ceil(BLOCK_SECONDS / max(min(clock.samples_seconds()), 1e-9)))
