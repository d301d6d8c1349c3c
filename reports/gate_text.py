"""A comparison as plain text, and as Markdown for a job's summary."""

from collections.abc import Iterator, Sequence

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
from sslbench.reports.gfm import escape, table
from sslbench.reports.words import plain

_HEADER = ("", "metric", "base", "new", "change", "evidence")


def gate_text(comparison: Comparison) -> str:
    """For a terminal: each step with its metrics, in columns; the verdict last."""
    lines: list[str] = []
    for step in comparison.steps:
        lines += [step_title(step), *_body(step), ""]
    lines += [plain(note) for note in comparison.notes]
    return "\n".join([*lines, summary(comparison)]) + "\n"


def _body(step: StepChange) -> Iterator[str]:
    for reason in step.refused:
        yield f"  {SYMBOLS['refused']} not compared: {plain(reason)}"
    rows = [_row(metric) for metric in step.metrics]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    for metric, row in zip(step.metrics, rows, strict=True):
        yield ("  " + "  ".join(_aligned(row, widths))).rstrip()
        evidence = evidence_words(metric)
        if evidence:
            yield f"      {evidence}"
        yield from (f"      {cause_line(cause, metric)}" for cause in metric.causes)
    yield from (f"    {plain(note)}" for note in step.notes)


def _row(metric: MetricChange) -> tuple[str, ...]:
    values = (amount(metric.base, metric.unit), amount(metric.new, metric.unit))
    return (
        SYMBOLS[metric.outcome],
        metric_name(metric),
        values[0],
        "->",
        values[1],
        change_words(metric),
        _word(metric),
    )


def _word(metric: MetricChange) -> str:
    return "" if metric.outcome == "pass" else metric.outcome


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    right = (2, 4, 5)
    for at, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.rjust(width) if at in right else cell.ljust(width)


def gate_markdown(comparison: Comparison) -> str:
    """A heading, and a table for each step; causes and notes below it."""
    parts = [f"## sslbench: {escape(summary(comparison))}"]
    for step in comparison.steps:
        parts.append(f"### {SYMBOLS[step_outcome(step)]} {escape(step_title(step))}")
        if step.metrics:
            parts.append(table(_HEADER, [_cells(metric) for metric in step.metrics]).rstrip("\n"))
        items = [f"not compared: {plain(reason)}" for reason in step.refused]
        items += [cause_line(cause, metric) for metric in step.metrics for cause in metric.causes]
        items += [plain(note) for note in step.notes]
        if items:
            parts.append("\n".join(f"- {escape(item)}" for item in items))
    parts += [escape(plain(note)) for note in comparison.notes]
    return "\n\n".join(parts) + "\n"


def _cells(metric: MetricChange) -> tuple[str, ...]:
    values = (amount(metric.base, metric.unit), amount(metric.new, metric.unit))
    outcome = f"{SYMBOLS[metric.outcome]} {metric.outcome}"
    return (outcome, metric_name(metric), *values, change_words(metric), escape(evidence_words(metric)))
