"""The largest batch that fits, from three traces instead of one for each candidate.

The size of a storage is a polynomial in the batch: of degree 0 (parameters), 1 (activations) or 2 (the similarities of
a contrastive loss). Three traces with the same events give the polynomials; the allocator is then replayed at any
batch.
"""

from collections.abc import Callable
from fractions import Fraction

from sslbench.bench.errors import SSLBenchError, TraceError
from sslbench.bench.predict.memory import Replay, bounded_workspace, replay_of, workspace_bytes, workspace_needs
from sslbench.bench.trace.allocator import peak_bytes
from sslbench.bench.trace.events import Trace
from sslbench.hardware_profiles.schema import Machine

_Polynomial = tuple[Fraction, Fraction, Fraction]
"""Coefficients of 1, x and x^2."""


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

    def fit_at(batch: int) -> bool:
        sizes, events = sizes_at(batch)
        return Replay(sizes, events, sizes_at.workspace(batch), machine, expandable).fits()

    if not fit_at(2):
        return _single(trace_at, machine, expandable=expandable)
    low, high = 2, max(4, batch_size)
    while fit_at(high):
        if high > batch_size and peak_bytes(*sizes_at(high)) <= peak_bytes(*sizes_at(low)):
            raise TraceError("the step's memory does not grow with the batch")
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit_at(middle) else (low, middle)
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

    Where the three traces differ in more than sizes (the step takes another road at another batch), every batch is
    traced.
    """

    def __init__(self, trace_at: Callable[[int], Trace], batch_size: int) -> None:
        self._trace_at = trace_at
        # Never 1: dimensions of size 1 change strides, and a contrastive loss has no such batch. Far apart: a size that
        # is rounded (a share of the samples) would bend a parabola through neighbours.
        least = max(2, batch_size)
        points = (least, 2 * least, 3 * least)
        traces = [trace_at(point) for point in points]
        self.events = traces[0].events
        self.polynomials: list[_Polynomial] | None = None
        self._needs: list[_Polynomial] = []
        needs = [workspace_needs(trace) for trace in traces]
        if all(trace.events == self.events for trace in traces) and len({len(each) for each in needs}) == 1:
            self.polynomials = _fit(points, [[storage.size for storage in trace.storages] for trace in traces])
            self._needs = _fit(points, needs)

    def __call__(self, batch: int) -> tuple[list[int], tuple[int, ...]]:
        """Sizes in bytes and events at a batch."""
        if self.polynomials is None:
            trace = self._trace_at(batch)
            return [storage.size for storage in trace.storages], trace.events
        return [max(0, int(_value(polynomial, batch))) for polynomial in self.polynomials], self.events

    def workspace(self, batch: int) -> int:
        """Bytes of cuDNN's workspace at a batch."""
        if self.polynomials is None:
            return workspace_bytes(self._trace_at(batch))
        return bounded_workspace(_value(polynomial, batch) for polynomial in self._needs)


def _fit(points: tuple[int, int, int], columns: list[list[int]]) -> list[_Polynomial]:
    return [_quadratic(points, sizes) for sizes in zip(*columns, strict=True)]


def _value(polynomial: _Polynomial, batch: int) -> Fraction:
    a, b, c = polynomial
    return a + batch * (b + batch * c)


def _quadratic(points: tuple[int, int, int], sizes: tuple[int, ...]) -> _Polynomial:
    """Coefficients (1, x, x^2) of the parabola through three points, exactly (Newton's divided differences)."""
    x0, x1, x2 = points
    y0, y1, y2 = sizes
    first, second = Fraction(y1 - y0, x1 - x0), Fraction(y2 - y1, x2 - x1)
    c = (second - first) / (x2 - x0)
    b = first - c * (x0 + x1)
    return y0 - first * x0 + c * x0 * x1, b, c
