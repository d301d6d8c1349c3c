"""The timed layer of the regression gate: two sets of measured records -> comparison. No torch."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise

import numpy as np

from sslbench.bench.comparison import (
    Comparison,
    Limit,
    MetricChange,
    Outcome,
    Spread,
    StepChange,
    Unit,
    judged,
    spread_of,
)
from sslbench.bench.errors import RecordError
from sslbench.bench.gate.comparable import refused, settings_of, step_of
from sslbench.bench.gate.judge import metric_of
from sslbench.bench.gate.ratio import ratio_of_launches, ratio_of_runs, ratio_of_values
from sslbench.bench.measure.waited import undisturbed_seconds
from sslbench.bench.record import Record

LIMITS = {"slowdown": Limit(share=0.05), "memory": Limit(share=0.01), "energy": Limit(share=0.05)}
"""Changes for the worse that pass by default."""
SLOWDOWN_IN_TURNS = Limit(share=0.025)
"""The same of steps that were timed in turns, which are known more closely."""
NOISE_OF_ONE_RUN = 0.02
"""Assumed standard deviation of a run's median from run to run, where nothing was repeated and others used little of
the machine. On an idle one it is a quarter of that (`sslbench.bench.statistics.BETWEEN_RUNS`), on a busy one many times
as much (docs/gate.md): hence `BUSY`."""
BUSY = 0.15
"""Share of all cores used by others, from which on separate runs of several threads show nothing."""
_ALLOCATED = "memory.peak_allocated_bytes"
_RESIDENT: tuple[str, Unit, float] = ("memory.required_bytes", "bytes", 0.003)
_ENERGY: tuple[str, Unit, float] = ("energy.joules_per_step", "joules", 0.02)
"""Name, unit, and standard deviation from run to run where nothing was repeated, as a share."""

Limits = Mapping[str, Limit]
Step = tuple[str, ...]
"""What records of one step have in common."""


def compare_records(
    base: Sequence[Record],
    new: Sequence[Record],
    *,
    names: tuple[str, str],
    limits: Limits,
    allow: Collection[str] = (),
) -> Comparison:
    """Compare the steps that both sides have.

    Several records of the same step are repeats of it. Records that were measured in turns with each other
    (`turns.run`) are launches, compared round by round.

    Args:
        base: measured records of the old side.
        new: of the new one.
        names: what the two are called.
        limits: what each metric may get worse by, by the keys of `LIMITS`, which hold for those that it lacks.
        allow: kinds of differences in spite of which numbers are compared, see `comparable.KINDS`.

    Raises:
        RecordError: the sides have no step in common.
    """
    several = _at_several_settings(base) | _at_several_settings(new)
    sides = [_by_step(side, several) for side in (base, new)]
    common = [key for key in sides[0] if key in sides[1]]
    if not common:
        had, has = (", ".join(sorted({record.recipe.name for record in side})) for side in (base, new))
        raise RecordError(f"{names[0]} and {names[1]} have no step in common: {had} there, {has} here")
    steps = [_step(sides[0][key], sides[1][key], limits, allow) for key in common]
    steps += [_gone(sides[0][key], names[1]) for key in sides[0] if key not in sides[1]]
    added = [_name(group[0]) for key, group in sides[1].items() if key not in sides[0]]
    notes = (f"only in {names[1]}: {', '.join(added)}",) if added else ()
    return Comparison(base=names[0], new=names[1], steps=tuple(steps), notes=notes)


def _at_several_settings(records: Sequence[Record]) -> set[Step]:
    """Steps that one side measured at several sizes, say: each is a step of its own there."""
    settings: dict[Step, set[str]] = defaultdict(set)
    for record in records:
        settings[step_of(record)].add(_settings(record))
    return {step for step, found in settings.items() if len(found) > 1}


def _by_step(records: Sequence[Record], several: Collection[Step]) -> dict[Step, list[Record]]:
    """Records by what they measure."""
    found: dict[Step, list[Record]] = defaultdict(list)
    for record in records:
        step = step_of(record)
        found[(*step, _settings(record)) if step in several else step].append(record)
    return dict(found)


def _settings(record: Record) -> str:
    return repr((settings_of(record), record.recipe.precision))


def _name(record: Record) -> str:
    return f"{record.recipe.name} on {record.backend}"


def _gone(group: Sequence[Record], where: str) -> StepChange:
    record = group[0]
    reason = f"{where} has no measurement of it"
    return StepChange(name=record.recipe.name, where=record.backend, layer="timed", refused=(reason,))


def _step(base: Sequence[Record], new: Sequence[Record], limits: Limits, allow: Collection[str]) -> StepChange:
    others = [refused(base[0], other, allow) for other in (*base[1:], *new)]
    reasons, allowed = ([words for found in others for words in found[kind]] for kind in (0, 1))
    failures = [
        f"{side}: the step did not run: {record.failure.message}"
        for side, records in (("base", base), ("new", new))
        for record in records
        if record.failure is not None
    ]
    problems = tuple(dict.fromkeys(failures or reasons))  # one that did not run differs in much else, too
    metrics = () if problems else tuple(_metrics(base, new, limits))
    return StepChange(
        name=new[0].recipe.name,
        where=f"{new[0].backend}, {new[0].machine.title or new[0].machine.name}",
        layer="timed",
        metrics=metrics,
        spreads=None if problems else _spreads(base, new),
        refused=problems,
        notes=tuple(dict.fromkeys([*allowed, *_notes(base, new)])),
    )


def _spreads(base: Sequence[Record], new: Sequence[Record]) -> tuple[Spread, Spread] | None:
    """Of both sides; None where one has no timed steps."""
    then, now = ([_samples(record) for record in side if record.time.samples_seconds] for side in (base, new))
    return (spread_of(then), spread_of(now)) if then and now else None


def _notes(base: Sequence[Record], new: Sequence[Record]) -> Iterator[str]:
    word = "launch" if _pairs(base, new) else "run"
    runs = f"{len(base)} {word}{'' if len(base) == 1 else 'es' if word == 'launch' else 's'} against {len(new)}"
    steps = [sum(len(record.time.samples_seconds) for record in side) for side in (base, new)]
    yield f"{runs}, {steps[0]:,} and {steps[1]:,} timed steps"
    if any(record.time.waited_seconds for record in (*base, *new)):
        yield "step time without what other programs took of its one thread"


def _metrics(base: Sequence[Record], new: Sequence[Record], limits: Limits) -> Iterator[MetricChange]:
    known = {**LIMITS, **limits}
    yield _time(base, new, limits.get("slowdown"))
    yield from _values(base, new, known["memory"], _RESIDENT)
    then, now = _all(base, _ALLOCATED), _all(new, _ALLOCATED)
    if then and now:
        yield _exact(_ALLOCATED, "bytes", float(np.median(then)), float(np.median(now)), known["memory"])
    yield from _values(base, new, known["energy"], _ENERGY)


def _exact(name: str, unit: Unit, then: float, now: float, limit: Limit) -> MetricChange:
    """A metric that has no noise."""
    allowed = limit.allowed(then)
    small = allowed is not None and abs(now - then) <= allowed
    outcome: Outcome = "pass" if small else judged(then, now, allowed)
    return MetricChange(name=name, unit=unit, base=then, new=now, allowed=allowed, outcome=outcome)


def _time(base: Sequence[Record], new: Sequence[Record], limit: Limit | None) -> MetricChange:
    pairs = _pairs(base, new)
    if pairs:
        then, now = ([_turns(pair[side]) for pair in pairs] for side in (0, 1))
        ratio, middle = ratio_of_launches(then, now), float(np.median(np.concatenate(then)))
    else:
        runs = [[_samples(record) for record in side] for side in (base, new)]
        ratio = ratio_of_runs(runs[0], runs[1], NOISE_OF_ONE_RUN)
        middle = float(np.exp(np.median([np.log(np.median(run)) for run in runs[0]])))
    limit = limit or (SLOWDOWN_IN_TURNS if pairs else LIMITS["slowdown"])
    doubts = [] if pairs else list(_doubts(base, new))
    return metric_of("time.step_seconds", "seconds", middle, ratio, limit, doubts=doubts)


def _samples(record: Record) -> list[float]:
    """Timed steps, without what others took of a single thread."""
    time = record.time
    return undisturbed_seconds(time.samples_seconds, time.waited_seconds, record.environment.threads)


def _turns(record: Record) -> list[float]:
    """Median of each turn."""
    assert record.turns is not None  # noqa: S101 - only such records are paired
    samples, edges = _samples(record), [0, *accumulate(record.turns.steps)]
    return [float(np.median(samples[begin:end])) for begin, end in pairwise(edges)]


def _pairs(base: Sequence[Record], new: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Records that took turns with each other; none unless all of them did."""
    by_run = {record.turns.run: record for record in new if record.turns}
    pairs = [(record, by_run[record.turns.run]) for record in base if record.turns and record.turns.run in by_run]
    return pairs if len(pairs) == len(base) == len(new) else []


def _doubts(base: Sequence[Record], new: Sequence[Record]) -> Iterator[str]:
    for side, records in (("base", base), ("new", new)):
        shares = [record.state.others_cpu_share or 0.0 for record in records if record.state]
        most = max(shares, default=0.0)
        if most > BUSY:
            yield (
                f"other programs used {most:.0%} of the processors while {side} was measured: "
                "`sslbench ab` compares beside them"
            )


def _values(
    base: Sequence[Record], new: Sequence[Record], limit: Limit, kind: tuple[str, Unit, float]
) -> Iterator[MetricChange]:
    name, unit, noise = kind
    then, now = _all(base, name), _all(new, name)
    if then and now:
        yield metric_of(name, unit, float(np.exp(np.median(np.log(then)))), ratio_of_values(then, now, noise), limit)


def _all(records: Sequence[Record], path: str) -> list[float]:
    """The quantity in every record that has it: not every launch counts bytes."""
    part, _, name = path.partition(".")
    values: list[float | None] = [getattr(getattr(record, part), name) for record in records]
    return [float(value) for value in values if value]
