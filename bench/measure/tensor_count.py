"""Bytes of live CPU tensors, from the allocator's own reports to the torch profiler."""

import gc
import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, count
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function

from sslbench.bench.measure.marks import Marks, Stretch
from sslbench.bench.measure.timing import Step, time_steps
from sslbench.bench.measured import PhaseName

_STEPS = 2
_MOST_STEPS = 10
_ALLOCATION = "[memory]"  # the profiler's name for an allocation or a release
_MARK = "sslbench mark "


@dataclass(frozen=True, slots=True)
class TensorCount:
    """Most bytes that tensors held at one time."""

    peak_bytes: int
    """While the step was built and run."""
    phase_peaks: dict[PhaseName, int]
    """In each phase of the last step, with what was held when it began."""


def count_tensors(build: Callable[[], Step], phases: Collection[PhaseName] = ()) -> TensorCount:
    """Most bytes that tensors held at one time while the step was built and run twice, and in each phase of the second.

    The second step meets the gradients and the optimizer state that the first made. Where the first leaves a phase out
    (loss scaling skips the update until the scale is right), more are run, until two had all.

    The step is built again under the profiler, so that every allocation is seen being made; what was allocated before
    (and only freed here) does not count. What libraries allocate past torch's allocator (oneDNN scratch, Python
    objects) is not seen. Python's garbage collector runs between the steps, as when they are timed.

    Args:
        build: builds model and optimizer and returns the step.
        phases: that a step is known to go through.
    """
    numbers = count()

    def now() -> str:
        name = f"{_MARK}{next(numbers)}"
        with record_function(name):  # an event among the allocations, on their clock
            pass
        return name

    def enough(_: int) -> bool:
        return sum({*phases} <= {stretch.phase for stretch in step} for step in marks.steps) >= _STEPS

    gc.collect()  # torch remembers the sizes of an earlier count's tensors: freed in this one, they would count below 0
    marks = Marks(now)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        step = build()
        time_steps(step, marks, steps=_MOST_STEPS, until=math.inf, on_step=lambda _: None, enough=enough)
        del step
    changes, times = _events(profiler.profiler.kineto_results.events())
    found = [Stretch(phase, times[start], times[end]) for phase, start, end in marks.steps[-1]]
    return TensorCount(highest_sum(nbytes for _, nbytes in changes), highest_in(changes, found))


def highest_sum(changes: Iterable[int]) -> int:
    """Largest running sum, at least 0."""
    return max(accumulate(changes, initial=0))


def highest_in(changes: Sequence[tuple[int, int]], stretches: Iterable[Stretch[int]]) -> dict[PhaseName, int]:
    """Largest running sum in each phase, that at its beginning included.

    Args:
        changes: (time, bytes) of every allocation and release, in order.
        stretches: of the phases, between times.
    """
    moments = [time for time, _ in changes]
    held = list(accumulate((nbytes for _, nbytes in changes), initial=0))  # before each change, and at the end
    peaks: dict[PhaseName, int] = {}
    # At least 0: what was allocated before the count may be freed in it.
    for phase, start, end in stretches:
        highest = max(held[bisect_left(moments, start) : bisect_left(moments, end) + 1])
        peaks[phase] = max(peaks.get(phase, 0), highest)
    return peaks


def _events(events: Iterable[Any]) -> tuple[list[tuple[int, int]], dict[str, int]]:
    """(time, bytes) of every allocation and release, in order; and the times of our own marks, by name."""
    changes, times = [], {}
    for event in events:
        name = event.name()
        if name == _ALLOCATION:
            changes.append((event.start_ns(), event.nbytes()))
        elif name.startswith(_MARK):
            times[name] = event.start_ns()
    return sorted(changes, key=lambda change: change[0]), times
