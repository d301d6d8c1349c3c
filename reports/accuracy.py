"""Errors of predictions, as text, Markdown and JSON."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sslbench.bench.accuracy import Accuracy, Comparison, Verdicts
from sslbench.bench.published.rows import stated_accuracy
from sslbench.reports.gfm import table
from sslbench.reports.units import format_bytes, format_seconds, format_share

_METRICS = {
    "allocated": "peak allocated",
    "reserved": "peak reserved",
    "device": "memory in use",
    "seconds": "step time",
    "runs": "whether it runs",
}
_HEADER = ("group", "what", "rows", "mean", "median", "9 of 10", "worst", "inside")
_MEMORY = ("allocated", "reserved", "device")
_NUMBERS = ("mean", "median", "ninth_decile", "worst", "inside")
_VERDICT_HEADER = ("group", "verdicts", "right", "wrong", "tight")
_ROW_HEADER = ("row", "machine", "what", "measured", "predicted", "error")


def as_table(
    errors: Sequence[Accuracy], decided: Sequence[Verdicts], rows: Sequence[Comparison], problems: Sequence[str]
) -> dict[str, Any]:
    """JSON-ready: errors and verdicts by group, every row, and what is worse than stated."""
    return {
        "accuracy": [asdict(each) for each in errors],
        "verdicts": [asdict(each) for each in decided],
        "rows": [asdict(row) for row in rows],
        "worse_than_stated": list(problems),
    }


def accuracy_markdown(errors: Sequence[Accuracy], decided: Sequence[Verdicts], rows: Sequence[Comparison]) -> str:
    """Tables of the groups' errors and verdicts, and one of the rows if any are given."""
    tables = [table(header, lines) for header, lines, _ in _tables(errors, decided, rows)]
    return "\n\n".join(text.rstrip("\n") for text in tables) + "\n"


def print_accuracy(errors: Sequence[Accuracy], decided: Sequence[Verdicts], rows: Sequence[Comparison]) -> None:
    """The same on the terminal."""
    from rich import box  # noqa: PLC0415 - rich is loaded only to draw
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else 120)
    for header, lines, names in _tables(errors, decided, rows):
        drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), collapse_padding=True)
        for position, heading in enumerate(header):
            drawn.add_column(heading, justify="left" if position < names else "right", no_wrap=True)
        for line in lines:
            drawn.add_row(*line)
        console.print(drawn)
    if errors:
        console.print("Absolute relative errors; inside: of the interval said to hold 90 % of the time.")


@dataclass(frozen=True, slots=True)
class StatedAccuracy:
    """How right predictions of published measurements are: in sentences, and as a table by group."""

    summary: tuple[str, ...]
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def stated() -> StatedAccuracy:
    """What `sslbench validate` checks, as it is stated in the package."""
    errors = [
        Accuracy(group=group, metric=metric, rows=int(numbers["rows"]), **{name: numbers[name] for name in _NUMBERS})
        for (group, metric), numbers in stated_accuracy().items()
    ]
    summary = (
        _summary("Step times", [each for each in errors if each.metric == "seconds"]),
        _summary("Memory", [each for each in errors if each.metric in _MEMORY]),
    )
    return StatedAccuracy(summary, _HEADER, tuple(map(_errors, errors)))


def _summary(what: str, errors: Sequence[Accuracy]) -> str:
    """One sentence over groups; their means weigh as many rows as each has."""
    rows = sum(each.rows for each in errors)
    mean = sum(each.rows * each.mean for each in errors) / rows
    inside = sum(each.rows * (each.inside or 0.0) for each in errors) / rows
    worst = max(each.worst for each in errors)
    return (
        f"{what}: {format_share(mean)} off in the mean over {rows} published measurements, "
        f"{format_share(worst)} at worst; {format_share(inside)} of them lie in the 90 % interval."
    )


def _tables(
    errors: Sequence[Accuracy], decided: Sequence[Verdicts], rows: Sequence[Comparison]
) -> Iterator[tuple[tuple[str, ...], list[tuple[str, ...]], int]]:
    """Header, lines and how many columns are words, of every table that has lines."""
    if rows:
        yield _ROW_HEADER, [_row(row) for row in rows], 3
    if errors:
        yield _HEADER, [_errors(each) for each in errors], 2
    if decided:
        yield _VERDICT_HEADER, [_shares(each) for each in decided], 1


def _errors(each: Accuracy) -> tuple[str, ...]:
    return (
        each.group,
        _METRICS[each.metric],
        str(each.rows),
        f"{each.mean:.1%}",
        f"{each.median:.1%}",
        f"{each.ninth_decile:.1%}",
        f"{each.worst:.1%}",
        "" if each.inside is None else f"{each.inside:.0%}",
    )


def _shares(each: Verdicts) -> tuple[str, ...]:
    return (each.group, str(each.rows), f"{1 - each.wrong:.1%}", f"{each.wrong:.1%}", f"{each.tight:.1%}")


def _row(row: Comparison) -> tuple[str, ...]:
    if row.metric == "runs":
        numbers = ("ran" if row.measured else "out of memory", f"{row.predicted:.0%} likely to run", "")
    else:
        shown = format_seconds if row.metric == "seconds" else format_bytes
        numbers = (shown(row.measured), shown(row.predicted), f"{row.error:+.1%}")
    return (row.name, row.machine, _METRICS[row.metric], *numbers)
