"""Records to the terminal and to a file, as the user asked."""

import json
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click

from sslbench.bench.comparison import Comparison
from sslbench.bench.errors import OutputError
from sslbench.bench.files import write_atomically
from sslbench.bench.history import History
from sslbench.bench.record import Record, dump_records

FileFormat = Literal["html", "markdown", "json"]
_BY_SUFFIX: dict[str, FileFormat] = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".json": "json",
    ".jsonl": "json",
}


def file_format(path: Path, otherwise: FileFormat = "json") -> FileFormat:
    """What a file's name asks for; a name that asks for nothing gets `otherwise`."""
    return _BY_SUFFIX.get(path.suffix.lower(), otherwise)


def render_records(
    records: Sequence[Record],
    format_: FileFormat,
    *,
    comparisons: Sequence[Comparison] = (),
    histories: Sequence[History] = (),
    title: str | None = None,
) -> str:
    """Records, comparisons and histories as a whole file of that format; as JSON only one kind of them."""
    if format_ == "json":
        if sum(map(bool, (records, comparisons, histories))) > 1:
            raise OutputError(
                "records, comparisons and histories are JSON files of their own: write them as a page or as Markdown"
            )
        tables = [each.model_dump(mode="json") for each in (*comparisons, *histories)]
        return json.dumps(tables, indent=2, ensure_ascii=False) + "\n" if tables else dump_records(records)
    from sslbench.reports.html import render_html  # noqa: PLC0415 - imports jinja2
    from sslbench.reports.markdown import render_markdown  # noqa: PLC0415 - imports jinja2

    render = render_html if format_ == "html" else render_markdown
    return render(records, comparisons=comparisons, histories=histories, title=title)


def check_open(output: Path | None, *, open_: bool) -> None:
    """Nothing is computed for a page that would not be there.

    Raises:
        UsageError: `--open` without a page.
    """
    if open_ and (output is None or file_format(output) != "html"):
        raise click.UsageError("--open shows a page: name it, as in -o report.html")


def open_page(path: Path) -> None:
    """Open a page in the user's browser.

    Raises:
        OutputError: there is none.
    """
    if not webbrowser.open(path.resolve().as_uri()):
        raise OutputError(f"{path}: was written, but no browser could be opened here: open the file yourself")


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def keep(records: Sequence[Record], output: Path | None) -> None:
    """Write records where a file is given, in the format of its name.

    Raises:
        OutputError: the file cannot be written.
    """
    if output is not None:
        write_atomically(output, render_records(records, file_format(output)))


def announce(output: Path | None, *, open_: bool = False, data: str = "record") -> None:
    """Say on stderr where the file is, and open it where that was asked for; `data` is what its JSON is called."""
    if output is None:
        return
    click.echo(f"{data if file_format(output) == 'json' else 'report'}: {output}", err=True)
    if open_:
        open_page(output)


def emit(records: Sequence[Record], *, format_: str, output: Path | None, open_: bool = False) -> None:
    """Print records as text, JSON or Markdown, and write them where a file is given, in the format of its name.

    Raises:
        OutputError: the file cannot be written.
    """
    keep(records, output)
    if format_ == "json":
        click.echo(dump_records(records), nl=False)
    elif format_ == "markdown":
        click.echo(render_records(records, "markdown"), nl=False)
    else:
        from rich.console import Console  # noqa: PLC0415 - takes a tenth of a second

        from sslbench.reports.explain_text import print_explanations  # noqa: PLC0415 - imports rich
        from sslbench.reports.measured_text import print_measurements  # noqa: PLC0415 - imports rich
        from sslbench.reports.terminal import print_predictions  # noqa: PLC0415 - imports rich
        from sslbench.reports.what_if_text import print_what_ifs  # noqa: PLC0415 - imports rich

        console = Console(file=sys.stdout)
        print_predictions(records, console)
        print_what_ifs(records, console)
        print_explanations(records, console)
        print_measurements(records, console)
    announce(output, open_=open_)
