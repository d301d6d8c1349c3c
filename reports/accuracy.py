"""Errors of predictions, as text, Markdown and JSON."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from sslbench.bench.accuracy import Accuracy, Comparison
from sslbench.reports.markdown import table
from sslbench.reports.units import format_bytes, format_seconds

_METRICS = {
    "allocated": "peak allocated",
    "reserved": "peak reserved",
    "device": "memory in use",
    "seconds": "step time",
}
_HEADER = ("group", "what", "rows", "median", "9 of 10", "worst", "in interval")
_ROW_HEADER = ("row", "machine", "what", "measured", "predicted", "error")


def as_table(summary: Sequence[Accuracy], rows: Sequence[Comparison], problems: Sequence[str]) -> dict[str, Any]:
    """JSON-ready: errors by group, every row, and what is worse than stated."""
    return {
        "accuracy": [{name: getattr(each, name) for name in each.__slots__} for each in summary],
        "rows": [{**{name: getattr(row, name) for name in row.__slots__}, "error": row.error} for row in rows],
        "worse_than_stated": list(problems),
    }


def accuracy_markdown(summary: Sequence[Accuracy], rows: Sequence[Comparison]) -> str:
    """A table of the groups, and one of the rows if any are given."""
    parts = [table(_HEADER, _summary(summary))]
    if rows:
        parts.append(table(_ROW_HEADER, _rows(rows)))
    return "\n".join(parts)


def print_accuracy(summary: Sequence[Accuracy], rows: Sequence[Comparison]) -> None:
    """The same on the terminal."""
    from rich import box  # noqa: PLC0415 - rich is loaded only to draw
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else 120)
    for header, lines, names in ((_ROW_HEADER, _rows(rows), 3), (_HEADER, _summary(summary), 2)):
        drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for position, heading in enumerate(header):
            drawn.add_column(heading, justify="left" if position < names else "right")
        for line in lines:
            drawn.add_row(*line)
        if drawn.row_count:
            console.print(drawn)
    if summary:
        console.print("Absolute relative errors; the interval is the one said to hold 90 % of the time.")


def _summary(summary: Sequence[Accuracy]) -> Iterator[tuple[str, ...]]:
    for each in summary:
        yield (
            each.group,
            _METRICS[each.metric],
            str(each.rows),
            f"{each.median:.1%}",
            f"{each.ninth_decile:.1%}",
            f"{each.worst:.1%}",
            "" if each.inside is None else f"{each.inside:.0%}",
        )


def _rows(rows: Sequence[Comparison]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        shown = format_seconds if row.metric == "seconds" else format_bytes
        yield (
            row.name,
            row.machine,
            _METRICS[row.metric],
            shown(row.measured),
            shown(row.predicted),
            f"{row.error:+.1%}",
        )
