"""The largest batch that fits, from two or three traces instead of one for each candidate.

The size of a storage is a polynomial in the batch: constant (parameters), proportional (activations) or square (the
similarities of a contrastive loss), which two traces tell apart; a third one settles any other. The allocator is then
replayed at any batch.
"""

from collections.abc import Callable
from dataclasses import replace

from sslbench.bench.errors import SSLBenchError, TraceError
from sslbench.bench.predict.replay import replay_of
from sslbench.bench.predict.workspace import bounded_workspace, workspace_bytes, workspace_needs
from sslbench.bench.trace.allocator import peak_bytes
from sslbench.bench.trace.events import Trace
from sslbench.hardware_profiles.schema import Machine

Sizes = tuple[int, int, int]
"""Sizes of one storage at once, twice and three times the model's batch."""
_BY_RATIO = {1: 1, 2: 3, 4: 9}
"""How many times its first size a storage has at three times the batch, by how many times at twice the batch."""


def max_batch_size(
    trace_at: Callable[[int], Trace], batch_size: int, machine: Machine, *, expandable: bool = False
) -> int:
    """Largest batch whose central estimate fits the machine; 0 where none does.

    Args:
        trace_at: the recipe's trace at a batch size.
        batch_size: the recipe's own batch, where the polynomials are anchored.
        machine: one device of it.
        expandable: CUDA's allocator has expandable segments.

    Raises:
        TraceError: the step fails at another batch, or takes no notice of it.
    """
    sizes_at = SizeModel(trace_at, batch_size)
    anchor = replay_of(trace_at(batch_size), machine, expandable=expandable)

    def fit_at(batch: int) -> bool:
        sizes, events = sizes_at(batch)
        return replace(anchor, sizes=sizes, events=events, workspace=sizes_at.workspace(batch), free=None).fits()

    if not fit_at(2):
        return _single(trace_at, machine, expandable=expandable)
    once, twice = (peak_bytes(*sizes_at(batch)) for batch in (sizes_at.batch, 2 * sizes_at.batch))
    if twice <= once:
        raise TraceError("the step's memory does not grow with the batch")
    # Peaks are nearly a straight line, so the search begins where that meets the limit, and takes few replays.
    guess = sizes_at.batch + (anchor.limit_bytes - once) * sizes_at.batch // (twice - once)
    return _largest(fit_at, max(2, guess))


def _largest(fits: Callable[[int], bool], guess: int) -> int:
    """The largest batch that fits, where 2 does, looked for around a guess."""
    step = 1 + guess // 64
    if fits(guess):
        low, high = guess, guess + step
        while fits(high):
            low, step = high, 2 * step
            high += step
    else:
        low, high = max(2, guess - step), guess
        while low > 2 and not fits(low):
            high, step = low, 2 * step
            low = max(2, low - step)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _single(trace_at: Callable[[int], Trace], machine: Machine, *, expandable: bool) -> int:
    """1 if a batch of one sample fits, else 0; a contrastive loss has no batch of one."""
    try:
        trace = trace_at(1)
    except SSLBenchError:
        return 0
    return int(replay_of(trace, machine, expandable=expandable).fits())


class SizeModel:
    """Storage sizes and events of a recipe at any batch.

    Where the traces differ in more than sizes (the step takes another road at another batch), every batch is traced.
    """

    def __init__(self, trace_at: Callable[[int], Trace], batch_size: int) -> None:
        self._trace_at = trace_at
        # Never 1: dimensions of size 1 change strides, and a contrastive loss has no such batch. Far apart: a size that
        # is rounded (a share of the samples) would bend a parabola through neighbours.
        self.batch = max(2, batch_size)
        """Where the sizes are anchored."""
        first, second = trace_at(self.batch), trace_at(2 * self.batch)
        self.events = first.events
        self._sizes = monomials(_column(first), _column(second)) if second.events == self.events else None
        if self._sizes is None and second.events == self.events:
            third = trace_at(3 * self.batch)
            if third.events == self.events:
                self._sizes = list(zip(_column(first), _column(second), _column(third), strict=True))
        self._needs = _lines(workspace_needs(first), workspace_needs(second))

    def __call__(self, batch: int) -> tuple[list[int], tuple[int, ...]]:
        """Sizes in bytes and events at a batch."""
        if self._sizes is None:
            trace = self._trace_at(batch)
            return _column(trace), trace.events
        values = {sizes: at_batch(sizes, self.batch, batch) for sizes in set(self._sizes)}
        return [values[sizes] for sizes in self._sizes], self.events

    @property
    def scales(self) -> bool:
        """Whether the traces differ in sizes only."""
        return self._sizes is not None

    def workspace(self, batch: int) -> int:
        """Bytes of cuDNN's workspace at a batch."""
        if self._sizes is None or self._needs is None:
            return workspace_bytes(self._trace_at(batch))
        return bounded_workspace(at_batch(needs, self.batch, batch) for needs in self._needs)


def at_batch(sizes: Sizes, anchor: int, batch: int) -> int:
    """The parabola through three sizes at once, twice and three times the anchor, in whole numbers.

    By Newton's forward differences; never negative.
    """
    once, twice, thrice = sizes
    rise, bend = twice - once, thrice - 2 * twice + once
    scaled = 2 * anchor * (anchor * once + (batch - anchor) * rise) + (batch - anchor) * (batch - 2 * anchor) * bend
    return max(0, scaled // (2 * anchor * anchor))


def _column(trace: Trace) -> list[int]:
    return [storage.size for storage in trace.storages]


def monomials(once: list[int], twice: list[int]) -> list[Sizes] | None:
    """All three sizes of storages that are constant, proportional or square; None if any is not."""
    found: list[Sizes] = []
    for first, second in zip(once, twice, strict=True):
        ratio = 1 if first == second else second // first if first and second % first == 0 else 0
        if ratio not in _BY_RATIO:
            return None
        found.append((first, second, _BY_RATIO[ratio] * first))
    return found


def _lines(once: list[int], twice: list[int]) -> list[Sizes] | None:
    """Convolutions' needs are straight lines: images grow with the batch, weights do not."""
    if len(once) != len(twice):
        return None
    return [(first, second, 2 * second - first) for first, second in zip(once, twice, strict=True)]
