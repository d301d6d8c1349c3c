"""`sslbench report`: render records as one file."""

from pathlib import Path

import click

from sslbench.bench.commands.options import open_option
from sslbench.bench.commands.output import FileFormat, file_format, open_page, render_records
from sslbench.bench.errors import OutputError
from sslbench.bench.files import write_atomically

_PAGE, _INDEX = "report.html", "index.html"


@click.command("report")
@click.argument("files", nargs=-1, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--index",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="In place of FILE: write FOLDER/index.html, which lists the reports in it and below.",
)
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="Where the report goes; - is standard output.  [default: report.html]",
)
@click.option(
    "format_",
    "--format",
    type=click.Choice(["html", "markdown", "json"]),
    help="By default what the output's name says: .md, .json, else HTML.",
)
@click.option("--title", help="Heading of the report; by default the titles of its recipes.")
@open_option
def command(
    *,
    files: tuple[Path, ...],
    folder: Path | None,
    output: str | None,
    format_: FileFormat | None,
    title: str | None,
    open_: bool,
) -> None:
    """Render records, comparisons and histories as one self-contained HTML file.

    FILE holds what `fit -o` or `profile -o` wrote (one record, an array, or one record a line), what `compare -o
    json=FILE` or `history -o FILE.json` wrote, or is itself a report, of which all is taken.
    """
    if (folder is None) == (not files):
        raise click.UsageError("Missing argument 'FILE...'." if folder is None else "--index takes the place of FILE")
    path = Path(output) if output else (folder / _INDEX if folder else Path(_PAGE))
    wanted = format_ or file_format(path, otherwise="html")
    if open_ and (output == "-" or wanted != "html"):
        raise click.UsageError("--open shows a page: leave it away, or name one, as in -o report.html")
    text = _report(files, wanted, title) if folder is None else _index(folder, path, wanted, title)
    if output == "-":
        click.echo(text, nl=False)
        return
    write_atomically(path, text)
    click.echo(path)
    if open_:
        open_page(path)


def _report(files: tuple[Path, ...], wanted: FileFormat, title: str | None) -> str:
    from sslbench.reports.contents import load_contents, together  # noqa: PLC0415 - imports jinja2

    found = together(map(load_contents, files))
    return render_records(found.records, wanted, comparisons=found.comparisons, histories=found.histories, title=title)


def _index(folder: Path, path: Path, wanted: FileFormat, title: str | None) -> str:
    """The index; says on stderr which files are left out."""
    from sslbench.reports.index_page import index_page, is_report  # noqa: PLC0415 - imports jinja2

    if wanted != "html":
        raise click.UsageError("--index writes a page: leave --format away, or name it .html")
    if is_report(path):
        raise OutputError(f"{path}: is a report, which the index would replace: name another with -o")
    text, left = index_page(folder, folder / _INDEX if str(path) == "-" else path, title=title)
    for line in left:
        click.echo(f"sslbench: left out {line}", err=True)
    return text
