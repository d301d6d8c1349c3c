"""Series of measured records over time, as text and Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from sslbench.bench.history import Series
from sslbench.reports.gate_words import amount, metric_title, share_words
from sslbench.reports.markdown import escape, table
from sslbench.reports.words import plain

_BARS = "▁▂▃▄▅▆▇█"
_WIDEST = 48
_HEADER = ("metric", "first", "last", "records", "changes")


def history_text(series: Sequence[Series]) -> str:
    """For a terminal: each step, its metrics with a small chart, and where they changed."""
    lines: list[str] = []
    for title, group in _by_step(series):
        lines += [title, *(line for one in group for line in _metric(one)), ""]
    return "\n".join([*lines, _summary(series)]) + "\n"


def history_markdown(series: Sequence[Series]) -> str:
    """A table for each step."""
    parts = []
    for title, group in _by_step(series):
        rows = [(*map(escape, _cells(one)), "<br>".join(escape(line) for line in _changes(one))) for one in group]
        parts.append(f"### {escape(title)}\n\n{table(_HEADER, rows)}")
    return "\n\n".join([*parts, escape(_summary(series))]) + "\n"


def history_table(series: Sequence[Series]) -> list[dict[str, Any]]:
    """JSON-ready: all points and changes."""
    return [asdict(one) for one in series]


def _by_step(series: Sequence[Series]) -> Iterator[tuple[str, list[Series]]]:
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(f"{plain(one.name)} on {plain(one.where)}", []).append(one)
    yield from groups.items()


def _metric(one: Series) -> Iterator[str]:
    name, first, last, count = _cells(one)
    yield f"  {name:<15} {first:>9} -> {last:>9}  {count:>5} records  {_chart(one)}"
    yield from (f"      {line}" for line in _changes(one))


def _cells(one: Series) -> tuple[str, str, str, str]:
    first, last = (amount(point.value, one.unit) for point in (one.points[0], one.points[-1]))
    return metric_title(one.metric), first, last, f"{len(one.points):,}"


def _changes(one: Series) -> Iterator[str]:
    for change in one.changes:
        before, after = one.points[change.at - 1], one.points[change.at]
        levels = f"{amount(change.before, one.unit)} -> {amount(change.after, one.unit)}"
        yield f"{share_words(change.share)} ({levels}) {_place(before.commit, after.commit)}, {after.created[:16]}"


def _place(before: str, after: str) -> str:
    if not after:
        return "at a commit that its record does not name"
    if after == before:
        return f"within commit {after}: not the code, but what it ran on"
    return f"at commit {after}" + (f" (before: {before})" if before else "")


def _chart(one: Series) -> str:
    """Medians of as many stretches as there is room for."""
    values = [point.value for point in one.points]
    size = -(-len(values) // _WIDEST)
    parts = [sorted(values[at : at + size])[len(values[at : at + size]) // 2] for at in range(0, len(values), size)]
    low, high = min(parts), max(parts)
    if high <= low * 1.001:
        return _BARS[0] * len(parts)
    return "".join(_BARS[round((part - low) / (high - low) * (len(_BARS) - 1))] for part in parts)


def _summary(series: Sequence[Series]) -> str:
    changes = sum(len(one.changes) for one in series)
    words = f"{changes} change{'' if changes == 1 else 's'}" if changes else "no change"
    return f"{words} in {len(series)} series"
