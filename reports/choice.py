"""Machines ranked for a recipe, as a table of at most 80 columns and as Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sslbench.bench.record import Record
from sslbench.reports.bill import run_view
from sslbench.reports.gfm import escape
from sslbench.reports.gfm import table as markdown_table
from sslbench.reports.terminal import VERDICT_STYLES, heading, show
from sslbench.reports.view import PredictionView, prediction_view, warnings_of
from sslbench.reports.words import sample_unit, short_machine

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """One machine in words."""

    machine: str
    verdict: str
    """What keeps the machine out, else whether the step fits."""
    style: str
    rate: str
    time: str
    rent: str
    energy: str
    break_even: str
    """After how long of use buying is cheaper than renting."""


def choice_rows(choices: Sequence[tuple[Record, str]]) -> list[ChoiceRow]:
    """A row for each record, with what keeps it out."""
    return [_row(record, prediction_view(record), out) for record, out in choices]


def _row(record: Record, view: PredictionView, out: str) -> ChoiceRow:
    run = run_view(record)
    return ChoiceRow(
        machine=short_machine(record),
        verdict=out or view.verdict.word,
        style="" if out else VERDICT_STYLES[view.verdict.key],
        rate=view.throughput.partition(" ")[0] if view.throughput.endswith("/s") else view.throughput,
        time=run.time or "?",
        rent=run.rent.removesuffix(" USD") or "?",
        energy=run.energy or "?",
        break_even=run.break_even.removesuffix(" of use"),
    )


def summary(choices: Sequence[tuple[Record, str]]) -> Iterator[str]:
    """The best by each measure of those that nothing keeps out, as in `Cheapest: rtx-4090, 27.6 days, 225 USD`."""
    left = [record for record, out in choices if not out and record.bill is not None]
    for word, key in (("Cheapest", "rent_usd"), ("Fastest", "seconds"), ("Least energy", "joules")):
        known = [record for record in left if getattr(record.bill, key) is not None]
        if known:
            record = min(known, key=lambda record: float(getattr(record.bill, key)))
            (row,), run = choice_rows([(record, "")]), run_view(record)
            said = (run.time, run.rent, run.energy)
            yield f"{word}: {row.machine}, {', '.join(filter(None, said))}."


def print_choices(choices: Sequence[tuple[Record, str]], console: Console) -> None:
    """The table, the best machines, and what makes any of it doubtful."""
    record = choices[0][0]
    view = prediction_view(record)
    budget = view.run.budget.partition(", here ")[0]
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("machine", overflow="fold", min_width=12)
    for name in ("verdict", f"{sample_unit(record.recipe)}/s", "time", "rent USD", "energy", "break-even"):
        table.add_column(name, no_wrap=True, justify="left" if name == "verdict" else "right")
    for row, (_, out) in zip(choice_rows(choices), choices, strict=True):
        cells = (
            Text(row.machine),
            Text(row.verdict, row.style),
            row.rate,
            row.time,
            row.rent,
            row.energy,
            row.break_even,
        )
        table.add_row(*cells, style="dim" if out else "")
    show(console, heading(view.recipe), Text(f"budget: {budget}" if budget else "no budget"), Text(), table, Text())
    show(console, *(Text(line) for line in summary(choices)))
    if any(row.break_even for row in choice_rows(choices)):
        show(console, Text("break-even: use after which buying the devices, without a host, is cheaper than renting"))
    unique = dict.fromkeys(warning for record, _ in choices for warning in warnings_of(record))
    show(console, *(Text.assemble(("warning: ", "yellow"), warning) for warning in unique))


def choices_markdown(choices: Sequence[tuple[Record, str]]) -> str:
    """The same as Markdown."""
    record = choices[0][0]
    view = prediction_view(record)
    header = (
        "Machine",
        "Verdict",
        f"{sample_unit(record.recipe)}/s",
        "Time",
        "Rent, USD",
        "Energy",
        "Buying pays after",
    )
    rows = (
        tuple(map(escape, (row.machine, row.verdict, row.rate, row.time, row.rent, row.energy, row.break_even)))
        for row in choice_rows(choices)
    )
    parts = [
        f"## {escape(view.recipe.title)}",
        escape(view.recipe.settings),
        escape(view.run.budget.partition(", here ")[0]),
    ]
    parts += [markdown_table(header, rows), "\n".join(f"- {escape(line)}" for line in summary(choices))]
    return "\n\n".join(filter(None, parts)) + "\n"
