"""The new side's values for services that keep series of them: github-action-benchmark and Bencher."""

import json
from typing import Any

from sslbench.bench.comparison import Comparison, MetricChange
from sslbench.reports.gate_words import share_words, step_title


def gate_benchmark_action(comparison: Comparison) -> str:
    """For github-action-benchmark with `tool: customSmallerIsBetter`.

    https://github.com/benchmark-action/github-action-benchmark
    """
    entries: list[dict[str, Any]] = []
    for step in comparison.steps:
        for metric in step.metrics:
            if metric.new is not None:
                entry = {"name": f"{step_title(step)}: {metric.name}", "unit": metric.unit, "value": metric.new}
                entries.append({**entry, **_range(metric), "extra": f"{metric.outcome} against {comparison.base}"})
    return json.dumps(entries, indent=2) + "\n"


def _range(metric: MetricChange) -> dict[str, str]:
    if metric.interval is None:
        return {}
    low, high = metric.interval
    return {"range": f"{share_words(low)} to {share_words(high)} of the base"}


def gate_bencher(comparison: Comparison) -> str:
    """Bencher Metric Format: benchmark -> measure -> value, with bounds where there is an interval.

    https://bencher.dev/docs/reference/bencher-metric-format/
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for step in comparison.steps:
        measures = {metric.name: _bounded(metric) for metric in step.metrics if metric.new is not None}
        if measures:
            found[step_title(step)] = measures
    return json.dumps(found, indent=2) + "\n"


def _bounded(metric: MetricChange) -> dict[str, float]:
    value = {"value": metric.new or 0.0}
    if metric.interval is None or metric.base is None:
        return value
    low, high = metric.interval
    return {**value, "lower_value": metric.base * (1 + low), "upper_value": metric.base * (1 + high)}
