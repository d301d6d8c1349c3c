"""`sslbench report`: render records as one file."""

from pathlib import Path

import click

from sslbench.bench.commands.options import open_option
from sslbench.bench.commands.output import FileFormat, file_format, open_page, render_records
from sslbench.bench.files import write_atomically


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
    "format_",
    "--format",
    type=click.Choice(["html", "markdown", "json"]),
    help="By default what the output's name says: .md, .json, else HTML.",
)
@click.option("--title", help="Heading of the report; by default the titles of its recipes.")
@open_option
def command(files: tuple[Path, ...], output: str, format_: FileFormat | None, title: str | None, open_: bool) -> None:
    """Render records and comparisons as one self-contained HTML file.

    FILE holds what `fit -o` or `profile -o` wrote (one record, an array, or one record a line), what `compare -o
    json=FILE` wrote, or is itself a report, whose records and comparisons are taken.
    """
    path, wanted = Path(output), format_ or file_format(Path(output), otherwise="html")
    if open_ and (output == "-" or wanted != "html"):
        raise click.UsageError("--open shows a page: leave it away, or name one, as in -o report.html")
    from sslbench.reports.contents import load_contents, together  # noqa: PLC0415 - imports jinja2

    found = together(map(load_contents, files))
    text = render_records(found.records, wanted, comparisons=found.comparisons, title=title)
    if output == "-":
        click.echo(text, nl=False)
        return
    write_atomically(path, text)
    click.echo(path)
    if open_:
        open_page(path)
