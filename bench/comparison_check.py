"""Whether what a comparison concludes follows from its own figures. No torch."""

from collections.abc import Iterator, Sequence

from sslbench.bench.comparison import Comparison, MetricChange, judged
from sslbench.bench.gate.judge import judged_ratio
from sslbench.bench.gate.ratio import Ratio
from sslbench.bench.verification import Check, Difference, difference, same


def check_comparisons(comparisons: Sequence[Comparison]) -> Iterator[Check]:
    """Check each comparison, in order."""
    for number, comparison in enumerate(comparisons, 1):
        found = tuple(_problems(comparison))
        count = sum(len(step.metrics) for step in comparison.steps)
        words = f"{count:,} outcomes follow from their figures; the two sides were not measured or traced again"
        yield Check(
            subject="comparison",
            name=f"comparison {number}: {comparison.base} and {comparison.new}",
            outcome="differs" if found else "holds",
            summary="what it concludes does not follow from its figures" if found else words,
            differences=found,
        )


def _problems(comparison: Comparison) -> Iterator[Difference]:
    for step in comparison.steps:
        for metric in step.metrics:
            for name, stated, expected in _rules(metric):
                if not same(stated, expected):
                    yield difference(f"{step.name}: {metric.name}{name}", stated, expected)


def _rules(metric: MetricChange) -> Iterator[tuple[str, object, object]]:
    """What stands there, and what follows."""
    if metric.base is None or metric.new is None or not metric.base:
        return
    outcome = _outcome(metric, metric.base, metric.new)
    doubted = metric.outcome == "inconclusive" and metric.reason and outcome != "pass"
    yield ", outcome", metric.outcome, metric.outcome if doubted else outcome
    if metric.causes:
        yield ", change of its causes together", float(sum(cause.change for cause in metric.causes)), metric.change


def _outcome(metric: MetricChange, base: float, new: float) -> str:
    """As the gate judges: by the limit alone where there is no noise, else by the interval and the permutations."""
    if metric.interval is None and metric.p_value is None:
        return judged(base, new, metric.allowed, metric.better)
    limit = metric.allowed / base if metric.allowed is not None else float("inf")
    return judged_ratio(Ratio(new / base - 1, metric.interval, metric.p_value), limit, metric.better)[0]
