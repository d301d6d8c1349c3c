"""Records as tables of GitHub Flavored Markdown (https://github.github.com/gfm/), for a pull request or an issue."""

import re
from collections.abc import Iterator, Sequence

from sslbench.bench.comparison import Comparison
from sslbench.bench.history import History
from sslbench.bench.record import Record
from sslbench.reports.evidence_markdown import evidence_markdown
from sslbench.reports.explain_text import explanations_markdown
from sslbench.reports.gate_text import gate_markdown
from sslbench.reports.gfm import escape, table
from sslbench.reports.history import history_markdown
from sslbench.reports.measurement import MeasurementView
from sslbench.reports.phases import PhaseSegment
from sslbench.reports.pictures_markdown import front_markdown, scaling_markdown
from sslbench.reports.report_view import Report, build_report
from sslbench.reports.view import PredictionView
from sslbench.reports.what_if_markdown import what_if_markdown
from sslbench.reports.words import RecipeLabel


def render_markdown(
    records: Sequence[Record],
    *,
    comparisons: Sequence[Comparison] = (),
    histories: Sequence[History] = (),
    title: str | None = None,
) -> str:
    """The report of some records, comparisons and histories as Markdown."""
    report = build_report(records, comparisons=comparisons, histories=histories, title=title)
    parts = [f"## {escape(report.title)}", escape(report.contents), *_predictions(report)]
    parts += [*map(what_if_markdown, report.what_ifs), *map(front_markdown, report.fronts)]
    parts += [*map(scaling_markdown, report.scaling), explanations_markdown(records), *_comparisons(report)]
    parts += [*_measurements(report), *map(gate_markdown, comparisons), *map(history_markdown, histories)]
    parts += [*_warnings(report), *_commands(report), *evidence_markdown(report)]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


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
                escape(view.machine) + "".join(f"<br>**{mark}**" for mark in marks),
                f"{view.verdict.symbol} **{view.verdict.word}**",
                *map(escape, (view.probability, view.memory, view.memory_interval, view.step_time)),
                *map(escape, (view.step_interval, view.throughput, view.max_batch)),
            )
            for group in report.groups
            for view, marks in zip(group.predictions, group.marks, strict=True)
        ),
    )
    if report.hero is not None and report.hero.advice:
        yield escape(report.hero.advice)
    for text in report.sharpened_by:
        yield f"Step times sharpened by what was measured: {escape(text)}."
    yield from _runs([view for view in report.predictions if view.run.rows])


def _runs(views: Sequence[PredictionView]) -> Iterator[str]:
    """Devices, energy and whole runs, without columns that are empty."""
    if not views:
        return
    columns = [
        ("Recipe", [_recipe(view.recipe) for view in views]),
        ("Machine", [escape(view.machine) for view in views]),
        *_known("Devices", [escape(view.run.devices) for view in views]),
        *_known(
            "Energy of a step", [_with_basis(view.run.step_energy, view.run.step_energy_interval) for view in views]
        ),
        *_known("Whole run", [escape(view.run.budget) for view in views]),
        *_known("Time", [_with_basis(view.run.time, view.run.time_interval) for view in views]),
        *_known("Energy", [_with_basis(view.run.energy, view.run.energy_interval) for view in views]),
        *_known("Cost", [escape(view.run.cost) for view in views]),
    ]
    yield "### Energy and the whole run"
    yield table([name for name, _ in columns], zip(*(cells for _, cells in columns), strict=True))


def _comparisons(report: Report) -> Iterator[str]:
    found = [(each.recipe, f"{each.machine}, {each.backend}", row) for each in report.comparisons for row in each.rows]
    found += [
        (view.recipe, f"{view.machine}, {view.backend}", row) for view in report.measurements for row in view.beside
    ]
    if not found:
        return
    yield "### Predicted against measured"
    inside = {True: "yes", False: "**no**", None: "no interval"}
    yield table(
        ("Recipe", "Machine", "Quantity", "Predicted", "90 % interval", "Measured", "Prediction is", "In the interval"),
        (
            (
                _recipe(recipe),
                escape(machine),
                *map(escape, (row.quantity, row.predicted, row.interval, row.measured, row.difference)),
                inside[row.inside],
            )
            for recipe, machine, row in found
        ),
    )


def _measurements(report: Report) -> Iterator[str]:
    views = report.measurements
    if not views:
        return
    yield "### Measured"
    columns = [
        ("Recipe", [_recipe(view.recipe) for view in views]),
        ("Machine", [escape(f"{view.machine}, {view.backend}") for view in views]),
        ("Step time", [_step(view) for view in views]),
        ("", [escape(", ".join(filter(None, (view.step_basis, view.spread)))) for view in views]),
        ("Throughput", [escape(", ".join(filter(None, (view.throughput, view.tokens)))) for view in views]),
        *_known("Arithmetic", [_joined(view.arithmetic, view.arithmetic_basis) for view in views]),
        ("Memory", [escape(view.memory) for view in views]),
        ("Energy", [_with_basis(view.energy, view.energy_basis) for view in views]),
        *_known("Loader", [_joined(view.loader, view.loader_basis) for view in views]),
        *_known("Scaling", [escape(view.scaling.summary) if view.scaling else "" for view in views]),
    ]
    yield table([name for name, _ in columns], zip(*(cells for _, cells in columns), strict=True))
    lines = [f"- {escape(sweep.title)}: {escape(line)}" for sweep in report.sweeps for line in sweep.turns]
    if lines:
        yield "\n".join(lines)
    yield from _phases([view for view in views if view.phases])


def _known(name: str, cells: list[str]) -> list[tuple[str, list[str]]]:
    """A column, if it has anything to say."""
    return [(name, cells)] if any(cells) else []


def _step(view: MeasurementView) -> str:
    if view.failure:
        said = f"; predicted: {escape(view.predicted)}" if view.predicted else ""
        return f"**{escape(view.failure)}**{said}"
    return escape(f"{view.step_time} {view.margin}".rstrip())


def _joined(*texts: str) -> str:
    return escape(", ".join(filter(None, texts)))


def _with_basis(value: str, basis: str) -> str:
    return escape(f"{value} ({basis})" if basis else value)


def _phases(views: Sequence[MeasurementView]) -> Iterator[str]:
    """Seconds and peak of tensors of every phase, one row a measurement."""
    found = [{segment.label: segment for segment in view.phases.segments} for view in views if view.phases]
    names = list(dict.fromkeys(name for segments in found for name in segments))
    if names:
        yield "### Phases of a step"
        yield table(
            ("Recipe", "Machine", *names),
            (
                (
                    _recipe(view.recipe),
                    escape(f"{view.machine}, {view.backend}"),
                    *(_phase(segments[name]) if name in segments else "" for name in names),
                )
                for view, segments in zip(views, found, strict=True)
            ),
        )


def _phase(segment: PhaseSegment) -> str:
    return _with_basis(f"{segment.seconds}, {segment.share}" if segment.seconds else "", segment.memory).strip()


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
