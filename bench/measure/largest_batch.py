"""The largest batch that runs: a guess from the prediction, confirmed by running on both sides of it. Imports no torch.

Every try is a worker of its own, so that no allocator carries anything over. What is known is the tries alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sslbench.bench.record import Record

EXACT_BELOW = 64
RESOLUTION = 0.02
"""From `EXACT_BELOW` on, the largest batch that ran and the smallest that did not lie this close, as a share."""
LARGEST = 2**31 - 1  # of `recipe.Size`
_FIRST_STEP = 8  # an eighth of the guess: predictions are mostly closer than that

OUT_OF_MEMORY = "out-of-memory"


@dataclass(slots=True, kw_only=True)
class Search:
    """What a search came to."""

    tries: dict[int, bool] = field(default_factory=dict)
    """Whether a few steps ran at a batch, in the order of the tries; False: they ran out of memory."""
    in_full: dict[int, bool] = field(default_factory=dict)
    """Whether the full measurement ran."""
    stopped: str = ""
    """Why it ended before the boundary was known closely; empty: it did not."""
    failed: Record | None = None
    """The try that failed for another reason than memory, which ends the search."""

    @property
    def largest(self) -> int | None:
        """The largest batch that ran in full."""
        return next((batch for batch, ran in self.in_full.items() if ran), None)

    def story(self) -> str:
        """Every try in one line: `tried 96: ran; 112: out of memory`."""
        parts = [
            f"{word} {_told(tries)}" for word, tries in (("tried", self.tries), ("in full", self.in_full)) if tries
        ]
        return "; ".join(parts)


def _told(tries: Mapping[int, bool]) -> str:
    return "; ".join(f"{batch}: {'ran' if ran else 'out of memory'}" for batch, ran in tries.items())


def bounds(tries: Mapping[int, bool]) -> tuple[int, int | None]:
    """The largest batch that ran (0: none) below the smallest that did not (None: all ran)."""
    high = min((batch for batch, ran in tries.items() if not ran), default=None)
    return max((batch for batch, ran in tries.items() if ran and (high is None or batch < high)), default=0), high


def next_batch(tries: Mapping[int, bool], guess: int, *, unit: int = 1) -> int | None:
    """The batch to try next; None where the boundary is known: exactly below 64, from there on to 2 %.

    Args:
        tries: whether a batch ran.
        guess: where to begin, at least 1.
        unit: batches are multiples of it.
    """
    low, high = bounds(tries)
    start, most = max(1, guess // unit), LARGEST // unit
    found = _next({batch // unit: ran for batch, ran in tries.items()}, low // unit, high and high // unit, start, most)
    return None if found is None else found * unit


def _next(tries: Mapping[int, bool], low: int, high: int | None, start: int, most: int) -> int | None:
    if not tries:
        return min(start, most)
    if high is None:
        return min(low + _stride(tries, low, start), most) if low < most else None
    if low == 0:
        return max(1, high - _stride(tries, high, start)) if high > 1 else None
    if high - low <= (1 if low < EXACT_BELOW else low * RESOLUTION):
        return None
    return (low + high) // 2


def _stride(tries: Mapping[int, bool], edge: int, start: int) -> int:
    """How far to go on beyond the outermost try: twice as far as the last time."""
    others = [abs(edge - batch) for batch in tries if batch != edge]
    return 2 * min(others) if others else max(1, start // _FIRST_STEP)


def search(run: Callable[[int], Record], guess: int, *, unit: int = 1, go_on: Callable[[], str]) -> Search:
    """Try batches until the largest that runs is known.

    Args:
        run: runs a few steps at a batch; the record has `failure` where it did not.
        guess: the batch to begin with.
        unit: batches are multiples of it.
        go_on: asked before every try; a text says why there is no further one.
    """
    found = Search()
    while (batch := next_batch(found.tries, guess, unit=unit)) is not None:
        found.stopped = go_on()
        if found.stopped:
            break
        failure = (record := run(batch)).failure
        if failure is not None and failure.kind != OUT_OF_MEMORY:
            found.failed = record
            break
        found.tries[batch] = failure is None
    return found


def confirm(run: Callable[[int], Record], found: Search, *, unit: int = 1) -> Record | None:
    """The full measurement of the largest batch that it runs at; None where not even a few steps ran at any.

    More steps, and passes of their own, may take more memory than a few steps: below a batch that fails, the next is
    3 % smaller, then another 6 %, 12 %, ...
    """
    record, batch = None, bounds(found.tries)[0]
    stride = max(1, batch // unit // 32) * unit
    while batch > 0:
        record = run(batch)
        if record.failure is not None and record.failure.kind != OUT_OF_MEMORY:
            found.failed = record
            break
        found.in_full[batch] = record.failure is None
        if record.failure is None:
            break
        batch, stride = batch - stride, 2 * stride
    return record
