"""What a comparison of two sides found: for each step and metric the two values, the limit, the verdict, and the cause.

Both layers of the regression gate fill it: `exact` (traced steps, without noise) and `timed` (measured records). Every
output renders it. Plain data, no torch.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from sslbench.bench.quantities import Interval, Part

SCHEMA: Literal["sslbench.comparison/1"] = "sslbench.comparison/1"
Layer = Literal["exact", "timed"]
Outcome = Literal["pass", "regression", "improvement", "inconclusive"]
Unit = Literal["bytes", "seconds", "joules", "FLOP", "count", "per second"]
Better = Literal["lower", "higher"]

EXIT_PASS, EXIT_REGRESSION, EXIT_COULD_NOT_RUN, EXIT_INCONCLUSIVE = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that a metric may get worse: a share of its base, an amount in its unit, or both, then the smaller."""

    share: float | None = None
    amount: float | None = None

    def allowed(self, base: float) -> float | None:
        """The change that still passes, in the metric's unit; None: any."""
        parts = [self.share * abs(base)] if self.share is not None else []
        if self.amount is not None:
            parts.append(self.amount)
        return min(parts, default=None)


class Cause(Part):
    """One reason of a change, and the place in the code that it comes from."""

    text: str
    """What happened where, without the amount: `logits.float()` at model.py:88 now lives through backward (head)."""
    change: float
    """Its part of the metric's change, in the metric's unit; the causes of a metric add up to its change."""
    file: str = ""
    """Path of the source file, relative to the project or package; empty where no line is known."""
    line: int | None = None
    """Number of the line in the new version; where it is gone, in the old one."""
    module: str = ""
    """Path of the module, with `*` for repeated blocks."""
    operator: str = ""


class MetricChange(Part):
    """One metric of a step on both sides."""

    name: str
    """Dotted path as in a record or a snapshot: `memory.peak_allocated_bytes`, `time.step_seconds`."""
    unit: Unit
    better: Better = "lower"
    base: float | None
    """None: unknown there."""
    new: float | None
    outcome: Outcome
    allowed: float | None = None
    """The change for the worse that still passes, in the metric's unit; None: none is judged."""
    interval: Interval | None = None
    """Timed layer: 95 % interval of `share`."""
    p_value: float | None = None
    """Timed layer: probability of such a difference between two runs of the same code."""
    reason: str = ""
    """Why it is inconclusive, or else a remark."""
    causes: tuple[Cause, ...] = ()
    """Exact layer: where the change comes from, the largest first."""

    @property
    def change(self) -> float | None:
        """New less base, in the metric's unit."""
        return None if self.base is None or self.new is None else self.new - self.base

    @property
    def share(self) -> float | None:
        """The change as a share of the base; None where there is no base, or it is 0."""
        return self.change / self.base if self.change is not None and self.base else None


MOST_KEPT = 201
"""Timed steps of a side that a comparison keeps; of more it keeps so many quantiles."""


class Spread(Part):
    """How the timed steps of one side are distributed."""

    count: int
    """Timed steps."""
    seconds: tuple[float, ...]
    """From the shortest to the longest: all, or where there are more than `MOST_KEPT`, as many quantiles that stand
    evenly from the least to the greatest. So the one in the middle is the median of all."""
    run_medians_seconds: tuple[float, ...] = ()
    """Median of each run."""

    @model_validator(mode="after")
    def _is_a_distribution(self) -> "Spread":
        if not self.seconds or list(self.seconds) != sorted(self.seconds) or self.seconds[-1] <= 0:
            raise ValueError("its seconds do not rise to a positive one")
        return self


def spread_of(runs: Sequence[Sequence[float]]) -> Spread:
    """The spread of the timed steps (seconds) of one or more runs; none of them is empty."""
    steps = sorted(step for run in runs for step in run)
    kept = steps
    if len(steps) > MOST_KEPT:
        kept = [steps[0], *statistics.quantiles(steps, n=MOST_KEPT - 1, method="inclusive"), steps[-1]]
    medians = tuple(float(f"{statistics.median(run):.6g}") for run in runs)
    return Spread(count=len(steps), seconds=tuple(float(f"{step:.6g}") for step in kept), run_medians_seconds=medians)


class StepChange(Part):
    """One step on both sides: a recipe on one device."""

    name: str
    """The recipe's name, or `file.py:function`."""
    where: str
    """Machine, device or backend that it is about."""
    layer: Layer
    metrics: tuple[MetricChange, ...] = ()
    spreads: tuple[Spread, Spread] | None = None
    """Timed layer: the timed steps of base and new."""
    refused: tuple[str, ...] = ()
    """Why the two sides may not be compared; then there are no metrics."""
    notes: tuple[str, ...] = ()
    """What differs besides, and makes no verdict."""

    @property
    def outcome(self) -> Outcome | None:
        """The worst of its metrics; None where the comparison was refused."""
        return None if self.refused else worst(metric.outcome for metric in self.metrics)


class Comparison(Part):
    """Everything that two sides have in common, compared."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    schema_: Literal["sslbench.comparison/1"] = Field(default=SCHEMA, alias="schema")
    base: str
    """Where the old side comes from: a file, or a git revision."""
    new: str
    steps: tuple[StepChange, ...]
    notes: tuple[str, ...] = ()
    """What is true of all steps."""

    @property
    def outcome(self) -> Outcome | None:
        """The worst of the steps that could be compared; None where none could."""
        outcomes = [step.outcome for step in self.steps if step.outcome is not None]
        return worst(outcomes) if outcomes else None

    @property
    def exit_code(self) -> int:
        """1 a regression, else 2 where a step may not be compared, else 3 inconclusive, else 0."""
        if self.outcome == "regression":
            return EXIT_REGRESSION
        if self.outcome is None or any(step.refused for step in self.steps):
            return EXIT_COULD_NOT_RUN
        return EXIT_INCONCLUSIVE if self.outcome == "inconclusive" else EXIT_PASS


_WORST_FIRST: tuple[Outcome, ...] = ("regression", "inconclusive", "improvement", "pass")


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of some outcomes; `pass` where there are none."""
    return min(outcomes, key=_WORST_FIRST.index, default="pass")


def judged(base: float, new: float, allowed: float | None, better: Better = "lower") -> Outcome:
    """Outcome of a change that has no noise.

    Args:
        base: value of the old side.
        new: value of the new side.
        allowed: the change that still passes in either direction; None: any passes.
        better: which direction is good.
    """
    worse = new - base if better == "lower" else base - new
    if allowed is None or abs(worse) <= allowed:
        return "pass"
    return "regression" if worse > 0 else "improvement"


def version_differences(base: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """What differs between two sets of versions by name, as `torch 2.12.0, now 2.13.0`; sorted by name."""
    names = sorted(name for name in base.keys() | new.keys() if base.get(name) != new.get(name))
    return [f"{name} {base.get(name, 'absent')}, now {new.get(name, 'absent')}" for name in names]
