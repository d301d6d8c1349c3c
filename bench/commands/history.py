"""`sslbench history`: trends of measured records, and the commits at which they changed."""

from pathlib import Path

import click

from sslbench.bench.commands.options import output_options
from sslbench.bench.commands.output import FileFormat, announce, check_open, file_format
from sslbench.bench.commands.profile_options import tolerance
from sslbench.bench.errors import RecordError
from sslbench.bench.files import check_writable, without_home, write_atomically
from sslbench.bench.gate.entries import load_branch, load_entries
from sslbench.bench.gate.trends import history_of
from sslbench.bench.history import History
from sslbench.reports.history import history_json, history_markdown, history_text


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
@output_options
def command(
    *,
    folder: Path,
    branch: str | None,
    recipe: str | None,
    min_change: float,
    format_: str,
    output: Path | None,
    open_: bool,
) -> None:
    """Trends of the measured records in FOLDER, and the commits at which they changed.

    FOLDER holds what `profile -o` and `ab --records` wrote, in any order and below it, too. A new level is known once
    two records are on it. The JSON that `-o` writes is also a FILE of `sslbench report`.
    """
    check_open(output, open_=open_)
    if output is not None:
        check_writable(output)
    history = _history(folder, branch, recipe, min_change)
    if output is not None:
        write_atomically(output, _rendered(history, file_format(output)))
    printed = {"json": history_json, "markdown": history_markdown, "text": history_text}[format_]
    click.echo(printed(history), nl=False)
    announce(output, open_=open_, data="history")


def _history(folder: Path, branch: str | None, recipe: str | None, min_change: float) -> History:
    entries = load_entries(folder) if branch is None else load_branch(Path(), branch, str(folder))
    chosen = [entry for entry in entries if recipe is None or recipe in entry.recipe.name]
    if not chosen:
        names = ", ".join(sorted({entry.recipe.name for entry in entries}))
        raise RecordError(f"--recipe {recipe}: no such step in {folder}: it has {names}")
    source = without_home(str(folder)) if branch is None else f"{branch}:{folder}"
    return history_of(chosen, source=source, min_change=min_change)


def _rendered(history: History, format_: FileFormat) -> str:
    if format_ != "html":
        return {"json": history_json, "markdown": history_markdown}[format_](history)
    from sslbench.reports.html import render_html  # noqa: PLC0415 - imports jinja2

    return render_html((), histories=(history,))
