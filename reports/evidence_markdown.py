"""What a report's numbers rest on, as folded parts of Markdown."""

from collections.abc import Iterable, Iterator, Sequence

from sslbench.reports.evidence import MachineTable
from sslbench.reports.gfm import escape, folded, table
from sslbench.reports.measurement import MeasurementView
from sslbench.reports.report_view import Report
from sslbench.reports.view import PredictionView


def evidence_markdown(report: Report) -> Iterator[str]:
    """Every table that the page has below its figures, each folded."""
    yield from _memory(report.predictions)
    yield from _measured(report.measurements)
    if report.accuracy is not None:
        yield "### How right predictions are\n\n" + "\n".join(f"- {escape(text)}" for text in report.accuracy.summary)
        yield folded("Accuracy by what was published", _table(report.accuracy.header, report.accuracy.lines))
    if report.unknown:
        lines = (f"- {escape(path)}: {escape(why)} ({escape(carriers)})" for path, why, carriers in report.unknown)
        yield folded("Not known", "\n".join(lines))
    if report.machines:
        yield folded("Machines: every figure with its origin", "\n\n".join(map(_machine, report.machines)))
    if report.environments:
        tables = (_table(("", ""), rows) for rows in report.environments)
        yield folded("Software and hosts that made the records", "\n\n".join(tables))


def _machine(machine: MachineTable) -> str:
    figures = _table(("Figure", "Value", "Basis", "Source"), machine.figures)
    return "\n\n".join(filter(None, (f"**{escape(machine.title)}**", escape(machine.notes), figures)))


def _memory(views: Sequence[PredictionView]) -> Iterator[str]:
    """What the predicted memory is made of: a row each prediction, a column each category."""
    bars = [(view, {part.label: part.size for part in view.bar.segments}) for view in views if view.bar]
    if not bars:
        return
    labels = list(dict.fromkeys(label for _, sizes in bars for label in sizes))
    rows = (
        (
            view.recipe.title,
            view.machine,
            *(sizes.get(label, "") for label in labels),
            view.bar.total if view.bar else "",
        )
        for view, sizes in bars
    )
    yield folded("Predicted memory at the peak, by category", _table(("Recipe", "Machine", *labels, "Together"), rows))


def _measured(views: Sequence[MeasurementView]) -> Iterator[str]:
    """Memory in parts, the exported model and the machine's state, of each measurement that tells them."""
    rows = [
        (view.recipe.title, f"{view.machine}, {view.backend}", name, value)
        for view in views
        for name, value in (
            *((f"memory, {name}", value) for name, value in view.memory_rows),
            *(("page faults", view.page_faults), ("exported model", view.model), ("memory snapshot", view.snapshot)),
            *view.state,
        )
        if value
    ]
    if rows:
        yield folded("Measured memory in parts, and state of the machine", _table(("Recipe", "Machine", "", ""), rows))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return table([escape(name) for name in header], (tuple(map(escape, row)) for row in rows))
