"""Backends that took turns in one run, one against the other."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise

from sslbench.bench.record import Record
from sslbench.bench.statistics import paired_ratio


def side_by_side(records: Sequence[Record], labels: Mapping[int, str]) -> tuple[str, ...]:
    """Every backend against the first of its run, a line each, in the order of the records.

    Args:
        records: measurements; those that took no turns say nothing here.
        labels: what tells a record's run from others, by the record's `id`; empty where there is one run.
    """
    runs: dict[str, list[Record]] = {}
    for record in records:
        if record.turns is not None and record.failure is None:
            runs.setdefault(record.turns.run, []).append(record)
    return tuple(
        f"{label}: {line}" if (label := labels.get(id(other), "")) else line
        for base, *others in runs.values()
        for other in others
        for line in (_against(base, other),)
    )


def _against(base: Record, other: Record) -> str:
    first, second = _turns(base), _turns(other)
    ratio, interval = paired_ratio(first, second)
    parts = [f"step time x {ratio:.3g}"]
    if interval is not None:
        parts.append(f"90 % interval {interval[0]:.3g} to {interval[1]:.3g}")
    parts += [*_memory(base, other), *_outputs(base, other)]
    turns = min(len(first), len(second))
    each = f"{turns} turn{'' if turns == 1 else 's'} each"
    return f"{other.backend} against {base.backend}, {each}: {', '.join(parts)}"


def _turns(record: Record) -> list[list[float]]:
    assert record.turns is not None  # noqa: S101 - only such records are compared
    edges = [0, *accumulate(record.turns.steps)]
    return [record.time.samples_seconds[begin:end] for begin, end in pairwise(edges)]


def _memory(base: Record, other: Record) -> Iterator[str]:
    before, after = base.memory.required_bytes, other.memory.required_bytes
    if before and after:
        yield f"memory x {after / before:.3g}"


def _outputs(base: Record, other: Record) -> Iterator[str]:
    """How far ONNX Runtime's outputs are from torch's, where one of the two is torch."""
    errors = [record.output_error for record in (base, other) if record.output_error is not None]
    if len(errors) == 1:
        of_what = "loss differs by {}" if base.recipe.stage == "train" else "outputs differ by {} of the largest"
        yield of_what.format(f"at most {errors[0]:.1e}")
