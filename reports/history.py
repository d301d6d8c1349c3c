"""The history of measured records as text and Markdown."""

import json
from collections.abc import Iterator

from sslbench.bench.history import History, StepHistory, Trend
from sslbench.reports.gate_words import amount, metric_title, share_words
from sslbench.reports.gfm import escape, table
from sslbench.reports.words import plain

_BARS = "▁▂▃▄▅▆▇█"
_WIDEST = 48
_HEADER = ("metric", "first", "last", "records", "changes")


def history_text(history: History) -> str:
    """For a terminal: each step, its metrics with a small chart, and where they changed."""
    lines: list[str] = []
    for step in history.steps:
        lines += [step_title(step), *(line for trend in step.trends for line in _metric(step, trend)), ""]
    return "\n".join([*lines, history_summary(history)]) + "\n"


def history_markdown(history: History) -> str:
    """A table for each step."""
    parts = []
    for step in history.steps:
        rows = [
            (*map(escape, _cells(step, trend)), "<br>".join(map(escape, _change_lines(step, trend))))
            for trend in step.trends
        ]
        parts.append(f"### {escape(step_title(step))}\n\n{table(_HEADER, rows)}")
    return "\n\n".join([*parts, escape(history_summary(history))]) + "\n"


def history_json(history: History) -> str:
    """All records and changes."""
    return json.dumps(history.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def step_title(step: StepHistory) -> str:
    """The step, and where it ran."""
    return f"{plain(step.name)} on {plain(step.where)}"


def _metric(step: StepHistory, trend: Trend) -> Iterator[str]:
    name, first, last, count = _cells(step, trend)
    yield f"  {name:<15} {first:>9} -> {last:>9}  {count:>5} records  {_chart(trend)}"
    yield from (f"      {line}" for line in _change_lines(step, trend))


def _cells(step: StepHistory, trend: Trend) -> tuple[str, str, str, str]:
    known = trend.known()
    first, last = (amount(known[at][1], trend.unit) for at in (0, -1))
    missing = sum(value is None for value in trend.values)
    return metric_title(trend.metric), first, last, f"{step.records - missing:,}"


def changes_in_words(step: StepHistory, trend: Trend) -> Iterator[tuple[str, str]]:
    """Each change of a trend: by how much, `+6.1 % (30.1 ms -> 31.9 ms)`, and at which commit and when."""
    for change in trend.changes:
        at = step.numbers.index(change.at)
        before = max((place for place, _ in trend.known() if place < at), default=at)
        place = _place(plain(step.commits[before]), plain(step.commits[at]))
        levels = f"{amount(change.before, trend.unit)} -> {amount(change.after, trend.unit)}"
        yield f"{share_words(change.share)} ({levels})", f"{place}, {minute(step.created[at])}"


def minute(created: str) -> str:
    """Date and time of an ISO 8601 text, to the minute."""
    return plain(created[:16].replace("T", " "))


def _change_lines(step: StepHistory, trend: Trend) -> Iterator[str]:
    return map(" ".join, changes_in_words(step, trend))


def _place(before: str, after: str) -> str:
    if not after:
        return "at a commit that its record does not name"
    if after == before:
        return f"within commit {after}: not the code, but what it ran on"
    return f"at commit {after}" + (f" (before: {before})" if before else "")


def _chart(trend: Trend) -> str:
    """Medians of as many stretches as there is room for."""
    values = [value for _, value in trend.known()]
    size = -(-len(values) // _WIDEST)
    parts = [sorted(values[at : at + size])[len(values[at : at + size]) // 2] for at in range(0, len(values), size)]
    low, high = min(parts), max(parts)
    if high <= low * 1.001:
        return _BARS[0] * len(parts)
    return "".join(_BARS[round((part - low) / (high - low) * (len(_BARS) - 1))] for part in parts)


def history_summary(history: History) -> str:
    """All in one line."""
    trends = [trend for step in history.steps for trend in step.trends]
    changes = sum(len(trend.changes) for trend in trends)
    words = f"{changes} change{'' if changes == 1 else 's'}" if changes else "no change"
    return f"{words} in {len(trends)} series"
