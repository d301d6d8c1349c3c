"""A step at any batch from the traces of two or three: what a prediction at many batches needs.

Sizes of storages are those of `SizeModel`. An operator is the same one at every batch, and its numbers (FLOP, bytes
moved, the dimensions of its inputs) are constant, proportional, square or on a straight line; others take the third
trace. Where the traces differ in more than numbers, every batch is traced.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from sslbench.bench.predict.batch import SizeModel, Sizes, at_batch, monomials
from sslbench.bench.trace.events import Call, OperatorKind, Storage, Trace


class ScaledTrace:
    """The trace of a recipe at any batch; at the recipe's own, and at 1, it is the traced one.

    Args:
        trace_at: the recipe's trace at a batch size, which remembers what it made.
        batch_size: the recipe's own batch.

    Raises:
        SSLBenchError: the step cannot be traced at the batches that the numbers come from, or at the batch asked for.
    """

    def __init__(self, trace_at: Callable[[int], Trace], batch_size: int) -> None:
        self._trace_at = trace_at
        self._own = batch_size
        self._sizes = SizeModel(trace_at, batch_size)
        self._base = trace_at(self._sizes.batch)
        self._kinds, self._calls = self._operators() if self._sizes.scales else ([], ())

    def __call__(self, batch: int) -> Trace:
        """The step at a batch."""
        # At a batch of 1, dimensions of 1 change what runs, and a contrastive loss has no such batch.
        if batch in (1, self._own) or not self._calls:
            return self._trace_at(batch)
        sizes, events = self._sizes(batch)
        return replace(
            self._base,
            batch_size=batch,
            storages=tuple(map(_sized, self._base.storages, sizes)),
            events=events,
            kinds=tuple(_at(kind, numbers, self._sizes.batch, batch) for kind, numbers in self._kinds),
            calls=self._calls,
        )

    def _operators(self) -> tuple[list[tuple[OperatorKind, list[Sizes]]], tuple[Call, ...]]:
        """Every operator with its numbers, and the calls; none where the traces call other operators."""
        once, twice = self._base, self._trace_at(2 * self._sizes.batch)
        found = _numbers([once, twice])
        if found is None:
            found = _numbers([once, twice, self._trace_at(3 * self._sizes.batch)])
        if found is None:
            return [], ()
        places = {key: place for place, key in enumerate(found)}
        pairs = zip(once.calls, twice.calls, strict=True)
        calls = tuple(replace(call, kind=places[call.kind, other.kind]) for call, other in pairs)
        return [(once.kinds[first], numbers) for (first, _), numbers in found.items()], calls


def _numbers(traces: list[Trace]) -> dict[tuple[int, int], list[Sizes]] | None:
    """Numbers of the operators by their places in the first two traces; None where these do not determine them."""
    if len({len(trace.calls) for trace in traces}) > 1:
        return None
    found: dict[tuple[int, int], list[Sizes]] = {}
    for calls in zip(*(trace.calls for trace in traces), strict=True):
        key = calls[0].kind, calls[1].kind
        if key in found:
            continue
        kinds = [trace.kinds[call.kind] for trace, call in zip(traces, calls, strict=True)]
        if len({_form(kind) for kind in kinds}) > 1:
            return None
        columns = [list(_flat(kind)) for kind in kinds]
        numbers = _two(*columns) if len(columns) == 2 else list(zip(*columns, strict=True))
        if numbers is None:
            return None
        found[key] = numbers
    return found


def _form(kind: OperatorKind) -> tuple[object, ...]:
    """All of an operator that a batch does not change."""
    return kind.name, kind.is_view, kind.channels_last, tuple((dtype, len(shape)) for dtype, shape in kind.inputs)


def _flat(kind: OperatorKind) -> Iterator[int]:
    yield from (kind.flops, kind.bytes_read, kind.bytes_written)
    for _, shape in kind.inputs:
        yield from shape


def _two(once: list[int], twice: list[int]) -> list[Sizes] | None:
    """What two traces determine: monomials, and lines (weights and images read by one operator)."""
    numbers = []
    for first, second in zip(once, twice, strict=True):
        found = monomials([first], [second])
        if found is None and not first < second < 2 * first:
            return None
        numbers.append(found[0] if found else (first, second, 2 * second - first))
    return numbers


def _sized(storage: Storage, size: int) -> Storage:
    if storage.size == size:
        return storage
    # Five times as fast as dataclasses.replace, and there are thousands in each trace.
    return Storage(size, storage.category, storage.phase, storage.module, storage.operator, storage.line)


def _at(kind: OperatorKind, numbers: list[Sizes], anchor: int, batch: int) -> OperatorKind:
    flops, read, written, *dimensions = (at_batch(each, anchor, batch) for each in numbers)
    left = iter(dimensions)
    inputs = tuple((dtype, tuple(next(left) for _ in shape)) for dtype, shape in kind.inputs)
    return OperatorKind(kind.name, inputs, flops, read, written, kind.is_view, kind.channels_last)
