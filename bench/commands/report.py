"""`sslbench report`: render records as one file."""

import webbrowser
from pathlib import Path
from typing import Literal

import click

from sslbench.bench.errors import OutputError
from sslbench.bench.files import write_atomically
from sslbench.bench.record import Record, dump_records, load_records
from sslbench.reports.html import render_html
from sslbench.reports.markdown import render_markdown

Format = Literal["html", "markdown", "json"]

_FORMATS: dict[str, Format] = {".md": "markdown", ".markdown": "markdown", ".json": "json"}


@click.command("report")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    default="report.html",
    show_default=True,
    metavar="PATH",
    help="Where the report goes; - is standard output.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["html", "markdown", "json"]),
    help="By default what the output's name says: .md, .json, else HTML.",
)
@click.option("--title", help="Heading of the report; by default the titles of its recipes.")
@click.option("--open", "open_after", is_flag=True, help="Open the report in the browser.")
def command(
    files: tuple[Path, ...], output: str, output_format: Format | None, title: str | None, open_after: bool
) -> None:
    """Render records as one self-contained HTML file.

    FILE holds what `fit --format json` printed or `profile -o` wrote: one record, an array, or one record a line.
    """
    records = [record for file in files for record in load_records(file)]
    text = _render(records, output_format or _FORMATS.get(Path(output).suffix.lower(), "html"), title)
    if output == "-":
        click.echo(text, nl=False)
        return
    path = Path(output)
    write_atomically(path, text)
    click.echo(path)
    if open_after and not webbrowser.open(path.resolve().as_uri()):
        raise OutputError(f"{path}: was written, but no browser could be opened here: open the file yourself")


def _render(records: list[Record], output_format: Format, title: str | None) -> str:
    match output_format:
        case "html":
            return render_html(records, title=title)
        case "markdown":
            return render_markdown(records, title=title)
        case "json":
            return dump_records(records)
