"""When a step is warm, and when its median is known well enough. Standard library only: part of every worker."""

import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence

FEWEST_TIMED_STEPS = 10
SHORTEST_WARMUP_SECONDS = 1.0  # clocks and the kernel's large pages need some tenths of a second
SHORTEST_TIMED_SECONDS = 2.0  # slow noise has to show; a GPU's energy counter needs a second
_GROUPS = 8
_SIGNIFICANT = 16  # |S| of 8 values without trend reaches 16 in 6 % of all cases (Kendall's table)
_GROWTH = 1.25
_FEWEST_FOR_WIDTH = 5
_Z_95 = statistics.NormalDist().inv_cdf(0.975)


def is_steady(seconds: Sequence[float], negligible: float) -> bool | None:
    """Whether the latest half of the steps, or the latest 8, shows no trend any more.

    The Mann-Kendall test (Mann, "Nonparametric tests against trend", 1945) of the medians of eight groups: single slow
    steps don't matter, and the window grows with the warm-up, so that a slow approach is seen, too. No rule is right
    for every program: some never settle (Barrett et al., "Virtual machine warmup blows hot and cold", 2017).

    Args:
        seconds: of the steps so far, in order.
        negligible: change of the median within the window, as a share of it, that is none.

    Returns:
        None for fewer than 8 steps: they cannot tell.
    """
    if len(seconds) < _GROUPS:
        return None
    recent = seconds[-max(len(seconds) // 2, _GROUPS) :]
    groups = [statistics.median(part) for part in _split(recent)]
    rises = [(later > earlier) - (later < earlier) for at, earlier in enumerate(groups) for later in groups[at + 1 :]]
    if abs(sum(rises)) < _SIGNIFICANT:
        return True
    first, second = (statistics.median(groups[part]) for part in (slice(_GROUPS // 2), slice(_GROUPS // 2, None)))
    return abs(second - first) <= negligible * first


class Settling:
    """The steps of a warm-up since torch last reserved memory or compiled: earlier ones are of another state."""

    def __init__(self, negligible: float) -> None:
        self._negligible = negligible
        self._marks = marks_of_torch()
        self._seconds: list[float] = []

    def add(self, seconds: float) -> None:
        """One more step was run."""
        self._seconds.append(seconds)
        if (marks := marks_of_torch()) != self._marks:
            self._marks, self._seconds = marks, []

    def steady(self) -> bool | None:
        """See `is_steady`."""
        return is_steady(self._seconds, self._negligible)


def marks_of_torch() -> tuple[int, int]:
    """What changes while torch warms up: bytes that its CUDA allocator reserved, graphs that torch.compile made.

    Asks only what this process has imported and started by itself; zeros otherwise.
    """
    torch, dynamo = sys.modules.get("torch"), sys.modules.get("torch._dynamo.utils")
    reserved = torch.cuda.memory_reserved() if torch is not None and torch.cuda.is_initialized() else 0
    graphs = dynamo.counters["stats"]["unique_graphs"] if dynamo is not None else 0
    return reserved, graphs


def half_width(samples: Sequence[float]) -> float:
    """Half the width of the median's 95 % interval, as a share of the median.

    The interval of order statistics, at the ranks that as many independent samples would have as these are worth. What
    they are worth comes from batch means (Law, Simulation Modeling and Analysis, 5th ed., 9.5.3) of the share of
    samples above the median: about sqrt(n) batches, whose shares spread more than chance allows where noise lasts.

    Args:
        samples: in the order in which they were taken.

    Returns:
        Infinity for fewer than 5 samples, whose extremes alone hold the median in less than 90 % of all cases.
    """
    if len(samples) < _FEWEST_FOR_WIDTH:
        return math.inf
    ordered, median = sorted(samples), statistics.median(samples)
    count = len(ordered)
    reach = _Z_95 / 2 * math.sqrt(_inflation([sample > median for sample in samples]) / count)
    low = max(math.floor(count * (0.5 - reach)), 0)
    return (ordered[count - 1 - low] - ordered[low]) / 2 / median


def _inflation(above: Sequence[bool]) -> float:
    """How many of these samples are worth an independent one; at least 1."""
    size = math.isqrt(len(above))
    batches = len(above) // size
    shares = [sum(above[size * at : size * (at + 1)]) / size for at in range(batches)]
    return max(1.0, size * statistics.variance(shares) / 0.25)


def _split(values: Sequence[float]) -> list[Sequence[float]]:
    edges = [len(values) * at // _GROUPS for at in range(_GROUPS + 1)]
    return [values[start:end] for start, end in itertools.pairwise(edges)]


class Precision:
    """Says between timed steps whether they are enough. It looks at few of the moments, later ever more seldom."""

    def __init__(self, finished: Callable[[], list[float]], *, tolerance: float, until: float) -> None:
        """Looks at nothing yet.

        Args:
            finished: seconds of the steps that the device has done; waits for nothing.
            tolerance: `half_width` at which they are enough.
            until: `time.monotonic()` after which no further step begins.
        """
        self._finished, self._tolerance, self._until = finished, tolerance, until
        self._not_before = time.monotonic() + SHORTEST_TIMED_SECONDS
        self._next_look = FEWEST_TIMED_STEPS
        self.expected: int | None = None
        """Steps expected in all, once there was a look."""

    def reached(self, done: int) -> bool:
        """Whether `done` timed steps are enough."""
        if done < self._next_look or time.monotonic() < self._not_before:
            return False
        self._next_look = math.ceil(done * _GROWTH)
        samples = self._finished()
        if len(samples) < FEWEST_TIMED_STEPS:
            return False
        width = half_width(samples)
        self.expected = self._expect(done, width, statistics.median(samples))
        return width <= self._tolerance

    def _expect(self, done: int, width: float, median: float) -> int:
        wanted = done * (width / self._tolerance) ** 2
        left = max(self._until - time.monotonic(), 0.0) / median
        return math.ceil(max(min(wanted, done + left), done))
