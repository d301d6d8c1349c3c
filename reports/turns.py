"""Backends that took turns in one run, one against the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from sslbench.bench.record import Record
from sslbench.bench.statistics import paired_ratio
from sslbench.reports.units import significant
from sslbench.reports.words import plain


@dataclass(frozen=True, slots=True)
class SideBySide:
    """One backend against the first of its run; a text that is empty has nothing to show."""

    recipe: str
    backend: str
    base: str
    step: str
    """`0.52, 90 % interval 0.50 to 0.55`: its step time as a share of that of `base`."""
    memory: str
    outputs: str
    turns: int
    """Of each, as far as both have one."""


def side_by_side(records: Sequence[Record]) -> tuple[SideBySide, ...]:
    """Every backend of a run against the first one, in the order of the records."""
    runs: dict[str, list[Record]] = {}
    for record in records:
        if record.turns is not None and record.failure is None:
            runs.setdefault(record.turns.run, []).append(record)
    return tuple(_against(run[0], other) for run in runs.values() for other in run[1:])


def words(pair: SideBySide) -> str:
    """The comparison in one line."""
    parts = [f"step time x {pair.step}", f"memory x {pair.memory}" if pair.memory else "", pair.outputs]
    return f"{pair.backend} against {pair.base}, {pair.turns} turns each: {', '.join(filter(None, parts))}"


def _against(base: Record, other: Record) -> SideBySide:
    first, second = _turns(base), _turns(other)
    ratio, interval = paired_ratio(first, second)
    step = significant(ratio)
    if interval is not None:
        step += f", 90 % interval {significant(interval[0])} to {significant(interval[1])}"
    before, after = base.memory.required_bytes, other.memory.required_bytes
    return SideBySide(
        recipe=plain(base.recipe.name),
        backend=other.backend,
        base=base.backend,
        step=step,
        memory=significant(after / before) if before and after else "",
        outputs=_outputs(base, other),
        turns=min(len(first), len(second)),
    )


def _turns(record: Record) -> list[list[float]]:
    assert record.turns is not None  # noqa: S101 - only such records are compared
    edges = [0, *accumulate(record.turns.steps)]
    return [record.time.samples_seconds[begin:end] for begin, end in pairwise(edges)]


def _outputs(base: Record, other: Record) -> str:
    """How far ONNX Runtime's outputs are from torch's, where one of the two is torch."""
    errors = [record.output_error for record in (base, other) if record.output_error is not None]
    if len(errors) != 1:
        return ""
    return f"outputs differ by at most {errors[0]:.2g} of the largest"
