"""`sslbench history`: trends of measured records, and the commits at which they changed."""

from pathlib import Path

import click

from sslbench.bench.commands.options import answer_format
from sslbench.bench.commands.output import print_json
from sslbench.bench.commands.profile_options import tolerance
from sslbench.bench.errors import RecordError
from sslbench.bench.gate.entries import load_branch, load_entries
from sslbench.bench.history import series_of
from sslbench.reports.history import history_markdown, history_table, history_text


@click.command("history")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--branch", metavar="NAME", help="Take FOLDER from this git branch of the repository here.")
@click.option("--recipe", metavar="TEXT", help="Only steps whose name holds this.")
@click.option(
    "--min-change",
    default="2%",
    show_default=True,
    callback=tolerance,
    metavar="SHARE",
    help="Least change of a level that is told.",
)
@answer_format
def command(folder: Path, branch: str | None, recipe: str | None, min_change: float, format_: str) -> None:
    """Trends of the measured records in FOLDER, and the commits at which they changed.

    FOLDER holds what `profile -o` and `ab --records` wrote, in any order and below it, too. A new level is known once
    two records are on it.
    """
    entries = load_entries(folder) if branch is None else load_branch(Path(), branch, str(folder))
    chosen = [entry for entry in entries if recipe is None or recipe in entry.recipe.name]
    if not chosen:
        names = ", ".join(sorted({entry.recipe.name for entry in entries}))
        raise RecordError(f"--recipe {recipe}: no such step in {folder}: it has {names}")
    series = series_of(chosen, min_change=min_change)
    if format_ == "json":
        print_json(history_table(series))
    else:
        click.echo(history_markdown(series) if format_ == "markdown" else history_text(series), nl=False)
