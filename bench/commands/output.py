"""Records to the terminal and to a file, as the user asked."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sslbench.bench.files import write_atomically
from sslbench.bench.record import Record, dump_records


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def emit(records: Sequence[Record], *, format_: str, output: Path | None) -> None:
    """Print records as text, JSON or Markdown, and write them as JSON where a file is given.

    Raises:
        OutputError: the file cannot be written.
    """
    if output is not None:
        write_atomically(output, dump_records(records))
    if format_ == "json":
        click.echo(dump_records(records), nl=False)
    elif format_ == "markdown":
        from sslbench.reports.explain_text import explanations_markdown  # noqa: PLC0415 - imports rich
        from sslbench.reports.markdown import render_markdown  # noqa: PLC0415 - imports jinja2

        click.echo(render_markdown(records) + explanations_markdown(records), nl=False)
    else:
        from rich.console import Console  # noqa: PLC0415 - takes a tenth of a second

        from sslbench.reports.explain_text import print_explanations  # noqa: PLC0415 - imports rich
        from sslbench.reports.measured_text import print_measurements  # noqa: PLC0415 - imports rich
        from sslbench.reports.terminal import print_predictions  # noqa: PLC0415 - imports rich

        console = Console(file=sys.stdout)
        print_predictions(records, console)
        print_explanations(records, console)
        print_measurements(records, console)
        if output is not None:
            click.echo(f"record: {output}", err=True)
