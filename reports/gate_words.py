"""What a comparison says, in words that all of its outputs share."""

from collections.abc import Callable, Iterator

from sslbench.bench.comparison import Cause, Comparison, MetricChange, StepChange, Unit
from sslbench.reports.units import format_bytes, format_count, format_seconds, format_si
from sslbench.reports.words import plain

_NAMES = {
    "time.step_seconds": "step time",
    "memory.required_bytes": "memory",
    "memory.peak_requested_bytes": "peak of tensors",
    "memory.peak_allocated_bytes": "peak allocated",
    "memory.peak_reserved_bytes": "peak reserved",
    "energy.joules_per_step": "energy",
    "work.flops": "FLOP",
    "work.bytes_moved": "bytes moved",
    "work.kernel_launches": "kernel launches",
    "work.operators": "operators",
    "work.parameters": "parameters",
    "graph.breaks": "graph breaks",
    "onnx.nodes": "ONNX nodes",
}
_FORMATS: dict[Unit, Callable[[float], str]] = {
    "bytes": format_bytes,
    "seconds": format_seconds,
    "joules": lambda value: format_si(value, "J"),
    "FLOP": lambda value: format_si(value, "FLOP"),
    "per second": lambda value: f"{format_count(value)}/s",
    "count": format_count,
}
SYMBOLS = {"pass": "✓", "regression": "✗", "improvement": "+", "inconclusive": "?", "refused": "-"}


def metric_name(metric: MetricChange) -> str:
    """The metric as people call it."""
    return metric_title(metric.name)


def metric_title(path: str) -> str:
    """What people call the quantity that has this dotted path in a record or a snapshot."""
    return _NAMES.get(path) or plain(path)


def amount(value: float | None, unit: Unit) -> str:
    """A value with its unit."""
    if value is None:
        return "not known"
    return _FORMATS[unit](value)


def signed_amount(value: float, unit: Unit) -> str:
    """A difference with its sign and unit."""
    return ("-" if value < 0 else "+") + amount(abs(value), unit)


def share_words(share: float) -> str:
    """A relative change, such as `+5.2 %`."""
    percent = 100 * share
    digits = 2 if 0 < abs(percent) < 0.1 else 1
    return f"{percent:+.{digits}f} %" if abs(percent) >= 0.005 else "0 %"


def change_words(metric: MetricChange) -> str:
    """How much it changed: as a share, or as an amount where there is no base."""
    if metric.share is not None:
        return share_words(metric.share)
    return signed_amount(metric.change, metric.unit) if metric.change else ""


def evidence_words(metric: MetricChange) -> str:
    """Interval, limit, test and reason."""
    parts = []
    if metric.interval is not None:
        low, high = metric.interval
        parts.append(f"95 % interval {share_words(low)} to {share_words(high)}")
    if metric.p_value is not None:
        parts.append(f"p {'< 0.001' if metric.p_value < 0.001 else f'= {metric.p_value:.2g}'}")
    if metric.allowed is not None and metric.base and metric.outcome != "pass":
        sign = 1 if metric.better == "lower" else -1
        parts.append(f"allowed {share_words(sign * metric.allowed / metric.base)}")
    if metric.reason:
        parts.append(plain(metric.reason))
    return ", ".join(parts)


def metric_line(metric: MetricChange) -> str:
    """One line: `step time 30.1 ms, was 28.6 ms (+5.2 %); 95 % interval ...`."""
    changed = change_words(metric)
    values = f"{metric_name(metric)} {amount(metric.new, metric.unit)}, was {amount(metric.base, metric.unit)}"
    evidence = evidence_words(metric)
    return values + (f" ({changed})" if changed else "") + (f"; {evidence}" if evidence else "")


def cause_line(cause: Cause, metric: MetricChange) -> str:
    """One reason of a change: `+312 MiB: logits.float() at model.py:88 ...`."""
    return f"{signed_amount(cause.change, metric.unit)}: {plain(cause.text)}"


def cause_words(cause: Cause) -> tuple[tuple[bool, str], ...]:
    """The reason in pieces, each with whether it is code: what stands between backticks."""
    pieces = plain(cause.text).split("`")
    return tuple((at % 2 == 1, piece) for at, piece in enumerate(pieces) if piece)


def step_title(step: StepChange) -> str:
    """The step, and where it runs."""
    return f"{plain(step.name)} on {plain(step.where)}" if step.where else plain(step.name)


def step_outcome(step: StepChange) -> str:
    """Its outcome; `refused` where its sides may not be compared."""
    return step.outcome or "refused"


def summary(comparison: Comparison) -> str:
    """All in one line."""
    outcomes = [step_outcome(step) for step in comparison.steps]
    counts = {name: outcomes.count(name) for name in ("regression", "refused", "inconclusive", "improvement", "pass")}
    words = {"refused": "not compared", "pass": "passed"}
    parts = [f"{count} {words.get(name, name)}" for name, count in counts.items() if count]
    sides = f"{plain(comparison.new)} against {plain(comparison.base)}"
    return f"{', '.join(parts)} of {len(outcomes)} step{'s' if len(outcomes) != 1 else ''}: {sides}"


def findings(comparison: Comparison) -> Iterator[tuple[StepChange, MetricChange | None, str, str, int | None]]:
    """All that a person should look at: step, metric, message, file and line (if known).

    Regressions have one entry for each place that they come from, or else one; what could not be compared has one with
    no metric.
    """
    for step in comparison.steps:
        for reason in step.refused:
            yield step, None, f"{step_title(step)} was not compared: {plain(reason)}", "", None
        for metric in step.metrics:
            if metric.outcome not in ("regression", "inconclusive"):
                continue
            message = f"{step_title(step)}: {metric.outcome}: {metric_line(metric)}"
            placed = [cause for cause in metric.causes if cause.file and cause.change * _sign(metric) > 0]
            if metric.outcome == "inconclusive" or not placed:
                yield step, metric, message, "", None
                continue
            for cause in placed:
                yield step, metric, f"{cause_line(cause, metric)} ({message})", cause.file, cause.line


def _sign(metric: MetricChange) -> int:
    return 1 if metric.better == "lower" else -1
