"""Keeps the processes of a step on several devices at the same step: rank 0 decides, the others follow.

How many steps are enough is decided from rank 0's times. Before each step it tells the others that there is one, and
whether it is timed, over a group of the processors (gloo), so that no GPU waits for it.
"""

import gc
from typing import Any

import torch
from torch import distributed

from sslbench.bench.measure.timing import Clock, Step

_END, _STEP, _TIMED_STEP = range(3)


class Leader:
    """Rank 0's step, and its clock: each tells the others before the step begins, and outside the timed span.

    Args:
        step: of this rank.
        clock: of this rank.
        group: of all ranks, on the processors.
    """

    def __init__(self, step: Step, clock: Clock, group: Any) -> None:
        self._step, self._clock, self._group = step, clock, group

    def step(self) -> object:
        """A step of all ranks that is not timed."""
        _tell(_STEP, self._group)
        return self._step()

    def time(self, step: Step) -> None:
        """Time a step of all ranks."""
        _tell(_TIMED_STEP, self._group)
        self._clock.time(self._step)

    def wait(self) -> None:
        """Return once this rank's device has done all it was given."""
        self._clock.wait()

    def finished_seconds(self) -> list[float]:
        """See `Clock`."""
        return self._clock.finished_seconds()

    def samples_seconds(self) -> list[float]:
        """See `Clock`."""
        return self._clock.samples_seconds()

    def waited_seconds(self) -> list[float]:
        """None are known: this rank waits for the others, with or without a processor."""
        return []

    def end(self) -> None:
        """No further step follows."""
        _tell(_END, self._group)


def follow(step: Step, clock: Clock, group: Any) -> None:
    """Run what rank 0 says, until it says that no further step follows. Garbage is collected between steps, as there.

    Args:
        step: of this rank.
        clock: keeps the samples of timed steps.
        group: of all ranks, on the processors.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        while (order := _hear(group)) != _END:
            if order == _TIMED_STEP:
                clock.time(step)
                gc.collect()
            else:
                step()
    finally:
        gc.enable()
        gc.unfreeze()


def _tell(order: int, group: Any) -> None:
    distributed.broadcast(torch.tensor([order]), src=0, group=group)


def _hear(group: Any) -> int:
    order = torch.zeros(1, dtype=torch.int64)
    distributed.broadcast(order, src=0, group=group)
    return int(order.item())
