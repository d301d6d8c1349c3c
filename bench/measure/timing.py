"""Warm-up and timing of steps. Standard library only."""

import gc
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from sslbench.bench.measure.steady import SHORTEST_WARMUP_SECONDS, Settling
from sslbench.bench.measure.waited import Waits

Step = Callable[[], object]
OnStep = Callable[[int], None]
Enough = Callable[[int], bool]


class Stopwatch(Protocol):
    """Times single steps."""

    def time(self, step: Step) -> None:
        """Run the step once and remember how long it took."""


class Clock(Stopwatch, Protocol):
    """Times single steps on the device that runs them."""

    def wait(self) -> None:
        """Return once the device has done all it was given."""

    def finished_seconds(self) -> list[float]:
        """Seconds of the timed steps that the device has done, in order; waits for nothing."""

    def samples_seconds(self) -> list[float]:
        """Seconds of every step timed so far, in order; waits for the device."""

    def waited_seconds(self) -> list[float]:
        """Of each, how long its thread was ready without a processor; empty where nobody knows, or it hides nothing."""


class HostClock:
    """Wall time of steps that have done their work when they return."""

    def __init__(self) -> None:
        self._nanoseconds: list[int] = []
        self._waits = Waits()

    def time(self, step: Step) -> None:
        """Run the step once and remember how long it took."""
        self._waits.begin()
        start = time.perf_counter_ns()
        step()
        self._nanoseconds.append(time.perf_counter_ns() - start)
        self._waits.end(self._nanoseconds[-1])

    def wait(self) -> None:
        """Nothing to wait for."""

    def finished_seconds(self) -> list[float]:
        """The same as `samples_seconds`."""
        return self.samples_seconds()

    def samples_seconds(self) -> list[float]:
        """Seconds of every step timed so far, in order."""
        return [nanoseconds / 1e9 for nanoseconds in self._nanoseconds]

    def waited_seconds(self) -> list[float]:
        """What Linux's scheduler counted; empty elsewhere."""
        return self._waits.seconds


def warm_up(step: Step, steps: int, on_step: OnStep) -> None:
    """Run the step without timing it: allocators, caches and lazy initialisation settle."""
    for done in range(1, steps + 1):
        step()
        on_step(done)


def warm_up_until_steady(
    step: Step, clock: Clock, *, until: float, negligible: float, on_step: OnStep
) -> tuple[int, bool | None]:
    """Run the step, at least once, until its time is steady and torch neither reserves nor compiles more.

    The device is waited for after each step, so that its time is known.

    Args:
        step: one full step.
        clock: knows how to wait for the device; times nothing yet.
        until: `time.monotonic()` after which no further step begins.
        negligible: see `is_steady`.
        on_step: told how many steps are done.

    Returns:
        How many steps were run; whether they ended steady, None where they are too few to tell.
    """
    settling, done = Settling(negligible), 0
    not_before = time.monotonic() + SHORTEST_WARMUP_SECONDS
    while True:
        start = time.perf_counter_ns()
        step()
        clock.wait()
        settling.add((time.perf_counter_ns() - start) / 1e9)
        done += 1
        on_step(done)
        now = time.monotonic()
        if now >= until or (now >= not_before and settling.steady()):
            return done, settling.steady()


def time_steps(
    step: Step, clock: Stopwatch, *, steps: int | None, until: float, on_step: OnStep, enough: Enough | None = None
) -> None:
    """Time up to `steps` steps, at least one.

    The garbage collector runs between the steps, outside the timed span: never inside it, and still often enough that
    a step which leaves reference cycles doesn't pile up tensors.

    Args:
        step: one full step.
        clock: keeps the samples.
        steps: how many steps to time; None: until they are enough.
        until: `time.monotonic()` after which no further step begins.
        on_step: told how many timed steps are done.
        enough: told the same; says whether they are.
    """
    with without_collector():
        time_some(step, clock, steps=steps, until=until, on_step=on_step, enough=enough)


def time_some(
    step: Step, clock: Stopwatch, *, steps: int | None, until: float, on_step: OnStep, enough: Enough | None = None
) -> None:
    """As `time_steps`, within `without_collector`."""
    for done in itertools.count(1):
        clock.time(step)
        gc.collect()
        on_step(done)
        if done == steps or time.monotonic() >= until or (enough is not None and enough(done)):
            break


@contextmanager
def without_collector() -> Iterator[None]:
    """The garbage collector runs when it is told to, and looks at nothing that was there before."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
