"""A comparison as a section of a page."""

from dataclasses import dataclass

from sslbench.bench.comparison import Comparison, MetricChange, StepChange
from sslbench.reports.gate_pictures import (
    CauseBars,
    ChangeAxis,
    SpreadPicture,
    cause_bars,
    change_axis,
    spread_picture,
)
from sslbench.reports.gate_words import (
    SYMBOLS,
    amount,
    change_words,
    evidence_words,
    metric_name,
    step_outcome,
    step_title,
    summary,
)
from sslbench.reports.words import LABEL_LENGTH, plain

_MOST_OPEN = 3
"""Of more steps, those that passed are folded."""
_LOOKS = {"pass": "fits", "improvement": "fits", "regression": "does-not-fit", "inconclusive": "tight"}
"""Verdicts of predictions whose colour each outcome has."""


@dataclass(frozen=True, slots=True)
class Row:
    """One metric."""

    name: str
    base: str
    new: str
    change: str
    outcome: str
    symbol: str
    look: str
    evidence: str
    axis: ChangeAxis | None
    bars: CauseBars | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step."""

    title: str
    outcome: str
    symbol: str
    look: str
    basis: str
    """Whether its values were measured or traced."""
    refused: tuple[str, ...]
    rows: tuple[Row, ...]
    spread: SpreadPicture | None
    notes: tuple[str, ...]
    folded: bool


@dataclass(frozen=True, slots=True)
class GateView:
    """One comparison."""

    title: str
    """Outcomes in words."""
    symbol: str
    look: str
    base: str
    new: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...]

    @property
    def sides(self) -> str:
        """What was compared with what."""
        return f"{self.new} against {self.base}"


def gate_view(comparison: Comparison) -> GateView:
    """The comparison in words and pictures."""
    several = len(comparison.steps) > _MOST_OPEN
    return GateView(
        title=summary(comparison).partition(": ")[0],
        symbol=SYMBOLS[comparison.outcome or "refused"],
        look=_LOOKS.get(comparison.outcome or "refused", "none"),
        base=plain(comparison.base, LABEL_LENGTH),
        new=plain(comparison.new, LABEL_LENGTH),
        steps=tuple(_step(step, folded=several and step.outcome == "pass") for step in comparison.steps),
        notes=tuple(map(plain, comparison.notes)),
    )


def _step(step: StepChange, *, folded: bool) -> Step:
    outcome = step_outcome(step)
    return Step(
        title=step_title(step),
        outcome=outcome,
        symbol=SYMBOLS[outcome],
        look=_LOOKS.get(outcome, "none"),
        basis="measured" if step.layer == "timed" else "predicted",
        refused=tuple(map(plain, step.refused)),
        rows=tuple(_row(metric) for metric in step.metrics),
        spread=spread_picture(step.spreads),
        notes=tuple(map(plain, step.notes)),
        folded=folded,
    )


def _row(metric: MetricChange) -> Row:
    return Row(
        name=metric_name(metric),
        base=amount(metric.base, metric.unit),
        new=amount(metric.new, metric.unit),
        change=change_words(metric),
        outcome=metric.outcome,
        symbol=SYMBOLS[metric.outcome],
        look=_LOOKS[metric.outcome],
        evidence=evidence_words(metric),
        axis=change_axis(metric),
        bars=cause_bars(metric),
    )
