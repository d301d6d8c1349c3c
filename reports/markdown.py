"""Records as tables of GitHub Flavored Markdown (https://github.github.com/gfm/), for a pull request or an issue."""

import re
from collections.abc import Iterable, Iterator, Sequence

from sslbench.bench.record import Record
from sslbench.reports.report_view import Report, build_report
from sslbench.reports.words import RecipeLabel

_MARKUP = re.compile(r"([\\`*_\[\]<>#|~!$@&])")


def escape(text: str) -> str:
    """Text that Markdown shows as it stands: no emphasis, link, HTML, mention, formula or end of a cell.

    A backslash before ASCII punctuation makes it literal (CommonMark 2.4). `://` and `www.` are broken up so that a
    name links nowhere.
    """
    escaped = _MARKUP.sub(r"\\\1", text)
    return re.sub(r"www\.", r"www\\.", escaped.replace("://", r"\:\/\/"), flags=re.IGNORECASE)


def render_markdown(records: Sequence[Record], *, title: str | None = None) -> str:
    """The report of some records as Markdown."""
    report = build_report(records, title=title)
    parts = [f"## {escape(report.title)}", escape(report.contents), *_predictions(report), *_comparisons(report)]
    parts += [*_measurements(report), *_warnings(report), *_commands(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _predictions(report: Report) -> Iterator[str]:
    if not report.groups:
        return
    yield f"### Predicted: {report.verdicts}"
    header = ("Recipe", "Machine", "Verdict", "P(fits)", "Memory", "90 % interval", "Step time", "90 % interval")
    yield table(
        (*header, "Throughput", "Largest batch"),
        (
            (
                _recipe(view.recipe),
                escape(view.machine),
                f"{view.verdict.symbol} **{view.verdict.word}**",
                *map(escape, (view.probability, view.memory, view.memory_interval, view.step_time)),
                *map(escape, (view.step_interval, view.throughput, view.max_batch)),
            )
            for view in report.predictions
        ),
    )


def _comparisons(report: Report) -> Iterator[str]:
    if not report.comparisons:
        return
    yield "### Predicted against measured"
    inside = {True: "yes", False: "**no**", None: "no interval"}
    yield table(
        ("Recipe", "Machine", "Quantity", "Predicted", "90 % interval", "Measured", "Prediction is", "In the interval"),
        (
            (
                _recipe(row.recipe),
                escape(f"{row.machine}, {row.backend}"),
                *map(escape, (row.quantity, row.predicted, row.interval, row.measured, row.difference)),
                inside[row.inside],
            )
            for row in report.comparisons
        ),
    )


def _measurements(report: Report) -> Iterator[str]:
    if not report.measurements:
        return
    yield "### Measured"
    loaded = any(view.loader for view in report.measurements)
    header = ("Recipe", "Machine", "Step time", "", "Throughput", "Memory", "Energy")
    yield table(
        (*header, "Loader") if loaded else header,
        (
            (
                _recipe(view.recipe),
                escape(f"{view.machine}, {view.backend}"),
                escape(view.step_time),
                escape(", ".join(filter(None, (view.step_basis, view.spread)))),
                *map(escape, (view.throughput, view.memory)),
                escape(f"{view.energy} ({view.energy_basis})" if view.energy_basis else view.energy),
                *([escape(", ".join(filter(None, (view.loader, view.loader_basis))))] if loaded else []),
            )
            for view in report.measurements
        ),
    )


def _warnings(report: Report) -> Iterator[str]:
    if report.warnings:
        yield "### Warnings"
        yield "\n".join(f"- {escape(warning)} ({escape(carriers)})" for warning, carriers in report.warnings)


def _commands(report: Report) -> Iterator[str]:
    if report.commands:
        yield "### How to reproduce"
        commands = "\n".join(command for _, command in report.commands)
        # A fence longer than any run of backticks within cannot be closed by the text.
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", commands)), default=0))
        yield f"{fence}sh\n{commands}\n{fence}"


def _recipe(label: RecipeLabel) -> str:
    return f"{escape(label.title)}<br>{escape(label.settings)}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = (header, ["---"] * len(header), *rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
