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
_FIRST_STEP = 16  # a sixteenth of the guess: predictions are mostly closer than that

OUT_OF_MEMORY = "out-of-memory"


@dataclass(slots=True, kw_only=True)
class Search:
    """What a search came to."""

    tries: dict[int, bool] = field(default_factory=dict)
    """Whether a batch ran, in the order of the tries; False: it ran out of memory."""
    stopped: str = ""
    """Why it ended before the boundary was known closely; empty: it did not."""
    failed: Record | None = None
    """The try that failed for another reason than memory, which ends the search."""

    @property
    def largest(self) -> int | None:
        """The largest batch that ran, below all that did not."""
        return bounds(self.tries)[0] or None

    def story(self) -> str:
        """Every try in one line: `tried 96: ran; 112: out of memory`."""
        told = "; ".join(f"{batch}: {'ran' if ran else 'out of memory'}" for batch, ran in self.tries.items())
        return f"tried {told}" if told else "tried nothing"


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


def search(
    run: Callable[[int], Record], guess: int, *, unit: int = 1, go_on: Callable[[], str], found: Search | None = None
) -> Search:
    """Try batches until the largest that runs is known.

    Args:
        run: runs a few steps at a batch; the record has `failure` where it did not.
        guess: the batch to begin with.
        unit: batches are multiples of it.
        go_on: asked before every try; a text says why there is no further one.
        found: what is known already; it is added to.
    """
    found = found or Search()
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
