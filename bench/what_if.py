"""Predictions with other settings: a grid over batch, precision and activation checkpointing around a recipe's own.

Every cell is what `fit` would say of that recipe: its trace through the same prediction. Each precision, with and
without checkpointing, is traced at two or three batches; a `ScaledTrace` has the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from math import ceil
from typing import TYPE_CHECKING, Any

from sslbench.bench.errors import SSLBenchError
from sslbench.bench.fit import Run, TraceSource, as_run, bill_for, largest_batch, predict_sharpened, target_of
from sslbench.bench.grid import Settings, WhatIf
from sslbench.bench.predict.scaled import ScaledTrace
from sslbench.bench.quantities import Verdict
from sslbench.bench.recipe import PRECISIONS, Precision, Recipe
from sslbench.bench.record import Record
from sslbench.bench.trace.cache import TraceCache
from sslbench.bench.trace.events import Target, Trace
from sslbench.hardware_profiles.schema import Device, Machine

if TYPE_CHECKING:  # imports numpy, which only measurements elsewhere need
    from sslbench.bench.predict.elsewhere import Elsewhere

_MOST_SIZES, _MOST_ABOVE = 10, 7
_BELOW = 8
"""How many times smaller than the recipe's a batch of the grid is at most."""

Show = Callable[[str, int, int | None], None]
_Pair = tuple[Precision, bool]
"""Precision, and whether activations are checkpointed."""
_Key = tuple[Target, tuple[int, int]]


def with_what_if(
    records: Sequence[Record],
    *,
    cache: TraceCache,
    run: Run,
    measured: "Elsewhere | None" = None,
    show: Show | None = None,
) -> list[Record]:
    """Predictions of one recipe, each with its grid; all grids have the same batches, so that machines can be compared.

    Args:
        records: what `fit` said of the recipe, on one or more machines.
        cache: where traces are kept between calls.
        run: as `fit` was told.
        measured: what was measured elsewhere, as `fit` was told.
        show: is told what is done next, how many of the settings are done, and of how many.
    """
    recipe = records[0].recipe
    if recipe.batch_size is None:
        reason = {"what_if": "the factory takes no batch_size"}
        return [record.model_copy(update={"unknown": record.unknown | reason}) for record in records]
    machines = [record.machine for record in records]
    tell = show or (lambda phase, done, total: None)
    pairs = sorted({pair for machine in machines for pair in _pairs(recipe, machine)}, key=_order)
    variants = [_Variant(TraceSource(_changed(recipe, pair), cache), run, measured) for pair in pairs]
    largest: dict[tuple[int, int], int | None] = {}
    for row, (pair, variant) in enumerate(zip(pairs, variants, strict=True)):
        tell(f"{pair[0]}{' with checkpointing' if pair[1] else ''}", row, 2 * len(pairs))
        for place, machine in enumerate(machines):
            if pair in _pairs(recipe, machine):
                largest[place, row] = variant.largest(machine)
    most = max(batch or 0 for batch in largest.values())
    passes = 1 if recipe.factory else int(recipe.options.get("accumulation", 1))
    sizes = batch_sizes(recipe.batch_size, most, divisor=passes)
    grids: list[list[Settings]] = [[] for _ in machines]
    for row, variant in enumerate(variants):
        tell("every batch", len(pairs) + row, 2 * len(pairs))
        any_batch = _AnyBatch(variant.source)
        for place, machine in enumerate(machines):
            if (place, row) in largest:
                grids[place].append(variant.settings(machine, sizes, largest[place, row], any_batch))
    return [
        record.model_copy(update={"what_if": WhatIf(batch_sizes=sizes, settings=grid)})
        for record, grid in zip(records, grids, strict=True)
    ]


def batch_sizes(own: int, largest: int, *, divisor: int = 1) -> list[int]:
    """A batch and powers of two around it (times the divisor), up to past the largest that fits; at most ten.

    Args:
        own: the recipe's batch.
        largest: that fits anywhere in the grid.
        divisor: of every batch, where a step accumulates gradients.
    """
    powers = [divisor * 2**k for k in range((max(largest, own) // divisor).bit_length() + 1)]
    above = [batch for batch in powers if batch > own]
    above = above[:: -ceil(len(above) / _MOST_ABOVE)][::-1]  # where they are many, every second or third one
    below = [batch for batch in powers if 1 < batch < own <= _BELOW * batch]
    return [*below[len(above) - _MOST_SIZES + 1 :], own, *above]


def _pairs(recipe: Recipe, machine: Machine) -> list[_Pair]:
    """The settings that are looked at on a machine, the recipe's own among them."""
    own = recipe.precision, recipe.activation_checkpointing
    if recipe.factory:  # it takes its precision from its own code
        return [own]
    peaks = machine.device.peak_flops_per_second
    full: Precision = "tf32" if "tf32" in peaks else "fp32"
    halves: list[Precision] = [half for half in ("bf16", "fp16") if half in peaks]
    checkpointing = (False, True) if recipe.stage == "train" else (own[1],)
    return [(precision, on) for precision in {full, *halves, own[0]} for on in checkpointing]


def _order(pair: _Pair) -> tuple[int, bool]:
    return PRECISIONS.index(pair[0]), pair[1]


def _changed(recipe: Recipe, pair: _Pair) -> Recipe:
    return recipe.model_copy(update={"precision": pair[0], "activation_checkpointing": pair[1]})


@dataclass(frozen=True, slots=True)
class _Cell:
    """One prediction of the grid; the fields are columns of `Settings`."""

    verdicts: Verdict | None = None
    required_bytes: int | None = None
    interval_bytes: tuple[int, int] | None = None
    step_seconds: float | None = None
    interval_seconds: tuple[float, float] | None = None
    samples_per_second: float | None = None
    run_seconds: float | None = None
    rent_usd: float | None = None
    unknown: str = ""


class _AnyBatch:
    """Traces of a recipe at any batch, as it is run; devices that are traced alike share them, and their replays."""

    def __init__(self, source: TraceSource) -> None:
        self._source = source
        self._scaled: dict[_Key, Callable[[int], Trace]] = {}
        self._made: dict[tuple[_Key, int], Trace] = {}

    def __call__(self, device: Device, batch: int) -> Trace:
        key = target_of(device)
        if key not in self._scaled:
            self._scaled[key] = self._scale(device)
        if (key, batch) not in self._made:
            self._made[key, batch] = as_run(self._source.recipe, self._scaled[key](batch))
        return self._made[key, batch]

    def _scale(self, device: Device) -> Callable[[int], Trace]:
        def traced(batch: int) -> Trace:
            return self._source.trace(device, batch)

        try:
            return ScaledTrace(traced, self._source.recipe.batch_size or 1)
        except SSLBenchError:  # it runs at some batches only: each is tried
            return traced


@dataclass(frozen=True, slots=True)
class _Variant:
    """The recipe with one precision, with or without checkpointing."""

    source: TraceSource
    run: Run
    measured: "Elsewhere | None"

    def largest(self, machine: Machine) -> int | None:
        """The largest batch that fits a machine."""
        return largest_batch(self.source.recipe, machine, self.source, self.run.strategy)[0]

    def settings(self, machine: Machine, sizes: Sequence[int], largest: int | None, any_batch: _AnyBatch) -> Settings:
        """The columns of one machine."""
        cells = [self._cell(machine, batch, any_batch) for batch in sizes]
        columns: dict[str, Any] = {each.name: [getattr(cell, each.name) for cell in cells] for each in fields(_Cell)}
        return Settings(
            precision=self.source.recipe.precision,
            activation_checkpointing=self.source.recipe.activation_checkpointing,
            max_batch_size=largest,
            **columns,
        )

    def _cell(self, machine: Machine, batch: int, any_batch: _AnyBatch) -> _Cell:
        recipe = self.source.recipe.model_copy(update={"batch_size": batch})
        try:
            trace = any_batch(machine.device, batch)
        except SSLBenchError as error:
            return _Cell(unknown=str(error))
        prediction, _, _ = predict_sharpened(recipe, trace, machine, self.run, self.measured)
        bill, _ = bill_for(recipe, machine, prediction, self.run)
        memory, time = prediction.memory, prediction.time
        low, high = memory.interval_bytes or (0, 0)
        return _Cell(
            verdicts=prediction.verdict,
            required_bytes=memory.required_bytes,
            interval_bytes=(round(low), round(high)) if memory.interval_bytes else None,
            step_seconds=time.step_seconds,
            interval_seconds=time.interval_seconds,
            samples_per_second=time.samples_per_second,
            run_seconds=bill.seconds if bill else None,
            rent_usd=bill.rent_usd if bill else None,
        )
