"""Timing of steps, and what the samples say about the median. Standard library only."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Protocol

Step = Callable[[], object]
OnStep = Callable[[int], None]
Interval = tuple[float, float]

_EXACT_UP_TO = 1000
_FEWEST_FOR_DRIFT = 10


class Clock(Protocol):
    """Times single steps on the device that runs them."""

    def time(self, step: Step) -> None:
        """Run the step once and remember how long it took."""

    def wait(self) -> None:
        """Return once the device has done all it was given."""

    def samples_seconds(self) -> list[float]:
        """Seconds of every step timed so far, in order; waits for the device."""


class HostClock:
    """Wall time of steps that have done their work when they return."""

    def __init__(self) -> None:
        self._nanoseconds: list[int] = []

    def time(self, step: Step) -> None:
        """Run the step once and remember how long it took."""
        start = time.perf_counter_ns()
        step()
        self._nanoseconds.append(time.perf_counter_ns() - start)

    def wait(self) -> None:
        """Nothing to wait for."""

    def samples_seconds(self) -> list[float]:
        """Seconds of every step timed so far, in order."""
        return [nanoseconds / 1e9 for nanoseconds in self._nanoseconds]


def warm_up(step: Step, steps: int, on_step: OnStep) -> None:
    """Run the step without timing it: allocators, caches and lazy initialisation settle."""
    for done in range(1, steps + 1):
        step()
        on_step(done)


def time_steps(step: Step, clock: Clock, *, steps: int, until: float, on_step: OnStep) -> None:
    """Time up to `steps` steps, at least one.

    The garbage collector runs between the steps, outside the timed span: never inside it, and still often enough that
    a step which leaves reference cycles doesn't pile up tensors.

    Args:
        step: one full step.
        clock: keeps the samples.
        steps: how many steps to time.
        until: `time.monotonic()` after which no further step begins.
        on_step: told how many timed steps are done.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for done in range(1, steps + 1):
            clock.time(step)
            gc.collect()
            on_step(done)
            if time.monotonic() >= until:
                break
    finally:
        gc.enable()
        gc.unfreeze()


def median_interval(samples: Sequence[float], confidence: float = 0.9) -> Interval | None:
    """Interval that holds the median of the steps' distribution, from order statistics alone.

    The interval from the k-th smallest to the k-th largest of n independent samples holds the median with probability
    1 - 2 P(Binomial(n, 1/2) < k), whatever the distribution (David and Nagaraja, Order Statistics, 3rd ed., 7.1).

    Returns:
        The narrowest such interval of at least that confidence; None where even the extremes don't reach it (fewer
        than 5 samples for 0.9).
    """
    rank = _rank(len(samples), (1 - confidence) / 2)
    if rank < 1:
        return None
    ordered = sorted(samples)
    return ordered[rank - 1], ordered[-rank]


def _rank(count: int, tail: float) -> int:
    """Largest k with P(Binomial(count, 1/2) < k) <= tail; 0 where there is none."""
    if count > _EXACT_UP_TO:
        return math.floor((count + statistics.NormalDist().inv_cdf(tail) * math.sqrt(count)) / 2)
    ways, below, rank = 1, 0, 0
    while below + ways <= tail * 2**count:
        below += ways
        rank += 1
        ways = ways * (count - rank + 1) // rank
    return rank


def drift(samples: Sequence[float]) -> float | None:
    """Relative change of the median from the first half of the samples to the second, where noise can't explain it.

    Returns:
        None where the halves' 90 % intervals overlap, or there are fewer than 10 samples.
    """
    if len(samples) < _FEWEST_FOR_DRIFT:
        return None
    middle = len(samples) // 2
    first, second = samples[:middle], samples[middle:]
    early, late = median_interval(first), median_interval(second)
    if early is None or late is None or (early[0] <= late[1] and late[0] <= early[1]):
        return None
    return statistics.median(second) / statistics.median(first) - 1
