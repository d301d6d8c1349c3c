"""A comparison as one HTML file."""

from dataclasses import dataclass

from sslbench.bench.comparison import Comparison, MetricChange, StepChange
from sslbench.reports.gate_words import (
    SYMBOLS,
    amount,
    cause_line,
    change_words,
    evidence_words,
    metric_name,
    step_outcome,
    step_title,
    summary,
)
from sslbench.reports.html import render_template
from sslbench.reports.words import plain

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
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step."""

    title: str
    outcome: str
    symbol: str
    look: str
    refused: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gate:
    """The page."""

    title: str
    sides: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...]


def gate_html(comparison: Comparison) -> str:
    """HTML5; the element `#comparison` holds the comparison itself as JSON."""
    return render_template("gate.html.j2", gate=_gate(comparison), comparison=comparison.model_dump(mode="json"))


def _gate(comparison: Comparison) -> Gate:
    title, _, sides = summary(comparison).partition(": ")
    steps = tuple(_step(step) for step in comparison.steps)
    return Gate(title=title, sides=sides, steps=steps, notes=tuple(map(plain, comparison.notes)))


def _step(step: StepChange) -> Step:
    outcome = step_outcome(step)
    return Step(
        title=step_title(step),
        outcome=outcome,
        symbol=SYMBOLS[outcome],
        look=_LOOKS.get(outcome, "none"),
        refused=tuple(map(plain, step.refused)),
        rows=tuple(_row(metric) for metric in step.metrics),
        notes=tuple(map(plain, step.notes)),
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
        causes=tuple(cause_line(cause, metric) for cause in metric.causes),
    )
