"""The largest batch that fits, from three traces instead of one for each candidate.

The size of a storage is a polynomial in the batch: of degree 0 (parameters), 1 (activations) or 2 (the similarities of
a contrastive loss). Three traces with the same events give the polynomials; the allocator is then replayed at any
batch.
"""

from collections.abc import Callable
from fractions import Fraction

from sslbench.bench.errors import SSLBenchError, TraceError
from sslbench.bench.predict.memory import fits, workspace_bytes
from sslbench.bench.trace.allocator import peak_bytes
from sslbench.bench.trace.events import Trace
from sslbench.hardware_profiles.schema import Machine


def max_batch_size(trace_at: Callable[[int], Trace], batch_size: int, machine: Machine) -> int:
    """Largest batch whose central estimate fits the machine; 0 where none does.

    Args:
        trace_at: the recipe's trace at a batch size.
        batch_size: the recipe's own batch, where the polynomials are anchored.
        machine: one device of it.

    Raises:
        TraceError: the step fails at another batch, or takes no notice of it.
    """
    sizes_at = SizeModel(trace_at, batch_size)
    workspace = workspace_bytes(trace_at(batch_size))

    def fit_at(batch: int) -> bool:
        return fits(*sizes_at(batch), machine, workspace)

    if not fit_at(2):
        return _single(trace_at, machine)
    low, high = 2, max(4, batch_size)
    while fit_at(high):
        if high > batch_size and peak_bytes(*sizes_at(high)) <= peak_bytes(*sizes_at(low)):
            raise TraceError("the step's memory does not grow with the batch")
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit_at(middle) else (low, middle)
    return low


def _single(trace_at: Callable[[int], Trace], machine: Machine) -> int:
    """1 if a batch of one sample fits, else 0; a contrastive loss has no batch of one."""
    try:
        trace = trace_at(1)
    except SSLBenchError:
        return 0
    return int(fits([storage.size for storage in trace.storages], trace.events, machine, workspace_bytes(trace)))


class SizeModel:
    """Storage sizes and events of a recipe at any batch.

    Where the three traces differ in more than sizes (the step takes another road at another batch), every batch is
    traced.
    """

    def __init__(self, trace_at: Callable[[int], Trace], batch_size: int) -> None:
        self._trace_at = trace_at
        # Never 1: dimensions of size 1 change strides, and a contrastive loss has no such batch.
        points = (max(2, batch_size), max(2, batch_size) + 1, 2 * max(2, batch_size))
        traces = [trace_at(point) for point in points]
        self.events = traces[0].events
        self.polynomials: list[tuple[Fraction, Fraction, Fraction]] | None = None
        if all(trace.events == self.events for trace in traces):
            columns = zip(*([storage.size for storage in trace.storages] for trace in traces), strict=True)
            self.polynomials = [_quadratic(points, sizes) for sizes in columns]

    def __call__(self, batch: int) -> tuple[list[int], tuple[int, ...]]:
        """Sizes in bytes and events at a batch."""
        if self.polynomials is None:
            trace = self._trace_at(batch)
            return [storage.size for storage in trace.storages], trace.events
        sizes = [int(a + batch * (b + batch * c)) for a, b, c in self.polynomials]
        return sizes, self.events


def _quadratic(points: tuple[int, int, int], sizes: tuple[int, ...]) -> tuple[Fraction, Fraction, Fraction]:
    """Coefficients (1, x, x^2) of the parabola through three points, exactly (Newton's divided differences)."""
    x0, x1, x2 = points
    y0, y1, y2 = sizes
    first, second = Fraction(y1 - y0, x1 - x0), Fraction(y2 - y1, x2 - x1)
    c = (second - first) / (x2 - x0)
    b = first - c * (x0 + x1)
    return y0 - first * x0 + c * x0 * x1, b, c
