"""How long a step's thread was ready to run and had no processor. Part of the worker; standard library only.

Linux counts it for every thread: the second number of `/proc/thread-self/schedstat` (run delay, in nanoseconds;
https://docs.kernel.org/scheduler/sched-stats.html). A step of one thread that is timed beside other programs takes as
long as it would alone, but for that and for what they do to caches and clocks. A hypervisor's stolen time is not in it.
With several threads the figure says little: the others wait in a loop for one that has no processor.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_COUNTERS = Path("/proc/thread-self/schedstat")


class Waits:
    """Of spans of this thread, how long it waited for a processor."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        """Of each span; empty where the system does not tell."""
        self._began = 0
        self._before: int | None = None

    def begin(self) -> None:
        """A span begins."""
        self._began = time.perf_counter_ns()
        self._before = _run_delay_nanoseconds()

    def end(self, span_nanoseconds: int) -> None:
        """It is over, and took so long. What was waited just before or after it, while this is read, is left out."""
        after = _run_delay_nanoseconds()
        beside = time.perf_counter_ns() - self._began - span_nanoseconds
        if self._before is not None and after is not None:
            self.seconds.append(max(after - self._before - beside, 0) / 1e9)


def undisturbed_seconds(
    samples_seconds: Sequence[float], waited_seconds: Sequence[float], threads: int | None
) -> list[float]:
    """Seconds of steps without those for which a single thread had no processor; the samples where nobody knows."""
    if threads != 1 or len(waited_seconds) != len(samples_seconds):
        return list(samples_seconds)
    return [sample - waited for sample, waited in zip(samples_seconds, waited_seconds, strict=True)]


def _run_delay_nanoseconds() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        return int(_COUNTERS.read_text(encoding="ascii").split()[1])
    return None
