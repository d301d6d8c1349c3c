"""`sslbench demo`: the newcomer's tour of this machine and two others."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console

from sslbench.bench.commands.progress import step_progress
from sslbench.bench.demo import Answer, Part, answer, tour
from sslbench.bench.errors import SSLBenchError
from sslbench.bench.files import check_writable, write_atomically
from sslbench.bench.record import dump_records
from sslbench.bench.trace.cache import TraceCache, cache_folder
from sslbench.reports.html import render_html
from sslbench.reports.overview import print_overview

TITLE = "sslbench demo: this machine measured, others predicted"


@click.command("demo")
@click.option(
    "-o",
    "--output",
    default="report.html",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the report goes; the records go beside it, as JSON.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True, max=3600),
    default=4.0,
    show_default=True,
    help="How long each of the six measurements runs steps.",
)
def command(output: Path, seconds: float) -> None:
    """Measure small recipes here, predict large ones, write report.html.

    Measures a masked-LM and a contrastive step on this machine's processor, train and infer, through PyTorch and ONNX
    Runtime; predicts the full-size ones for this processor, an RTX 4090 and an H200. Takes about two minutes.
    """
    beside = output.with_suffix(".json")
    if beside == output:
        raise click.BadParameter(f"{output} is where the records go: name the report .html", param_hint="--output")
    check_writable(output)
    answers = list(_answers(tour(seconds=seconds, cache=TraceCache(cache_folder()))))
    records = [record for each in answers for record in each.records]
    if not records:
        raise SSLBenchError("no part of the demo worked: the lines above say why")
    write_atomically(beside, dump_records(records))
    write_atomically(output, render_html(records, title=TITLE))
    print_overview(records, Console(file=sys.stdout))
    click.echo(f"\nreport:  {output.resolve()}\nrecords: {beside.resolve()}")


def _answers(parts: Sequence[Part]) -> Iterator[Answer]:
    """Answer the parts, with a line on stderr for each."""
    for number, part in enumerate(parts, 1):
        began = time.monotonic()
        with step_progress(part.title) as progress:
            answered = answer(part, progress)
        took = f"done in {time.monotonic() - began:.0f} s"
        click.echo(f"[{number:2}/{len(parts)}] {part.title}: {answered.failure or took}", err=True)
        yield answered
