"""`sslbench profile`: measure a recipe's step on this machine, or a sweep of steps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from sslbench.bench.commands.configurations import plan_of
from sslbench.bench.commands.options import output_options, recipe_lists
from sslbench.bench.commands.output import announce, check_open, emit, file_format, open_page, render_records
from sslbench.bench.commands.profile_options import budget_of, onnx_of, profile_options, source_of
from sslbench.bench.commands.progress import step_progress
from sslbench.bench.commands.sweep_table import SweepTable
from sslbench.bench.commands.sweep_words import counts, why
from sslbench.bench.commands.watchers import BarWatcher, LineWatcher
from sslbench.bench.errors import OutputError
from sslbench.bench.files import check_writable
from sslbench.bench.measure.configured import Settings
from sslbench.bench.measure.plan import Configuration, labels
from sslbench.bench.measure.record_file import RecordFile, resume
from sslbench.bench.measure.sweep import Result, SweepWatcher, run_sweep, worst_exit_code
from sslbench.bench.record import Record

_STOPPED = 2


@click.command("profile")
@recipe_lists
@profile_options
@output_options
@click.pass_context
def command(ctx: click.Context, /, *, format_: str, output: Path | None, open_: bool, **params: Any) -> None:
    """Measure time, memory and energy of RECIPE's step on this machine.

    RECIPE is a name of `sslbench recipes`, a recipe TOML, or file.py:function. Its input is synthetic; with --images or
    --text the loader and the step that it feeds are measured besides.

    Lists make a sweep: `--batch-size 8,16,auto --precision fp32,bf16` measures every combination, `auto` being the
    largest batch that runs. Options of the recipe that take a value take a list, as do --set and --backend.

    Exit code: 0 all ran, 1 a step ran out of memory, 2 a step could not run.
    """
    check_open(output, open_=open_)
    if output is not None:
        check_writable(output)
    if params["resume"] and output is None:
        raise click.UsageError("--resume goes with -o, the file to go on with")
    if params["resume"] and output is not None and file_format(output) != "json":
        raise click.UsageError(f"--resume goes on with records: {output} is a page, name a .json file")
    settings = Settings(
        budget=budget_of(params),
        source=source_of(params),
        memory_limit_bytes=params["memory_limit"],
        snapshot=params["memory_snapshot"],
        onnx=onnx_of(params),
    )
    plan = plan_of(ctx)
    if settings.snapshot is not None and len(plan) > 1:
        raise click.UsageError("--memory-snapshot goes with one configuration: each would overwrite it")
    if settings.onnx and not any(one.backend.startswith("onnx") for one in plan):
        raise click.UsageError("--onnx goes with a backend of ONNX Runtime, such as --backend onnx-cpu")
    file, done = _file(output, plan, params["resume"])
    results = {number: Result(record=record) for number, record in done.items()}
    problem = _run(plan, settings, results, file)
    if len(plan) == 1:
        _raise_error(results)
    _tell(plan, results, file, format_, problem)
    if open_ and output is not None and output.exists():
        open_page(output)
    ctx.exit(_STOPPED if problem else worst_exit_code(results))


def _file(
    output: Path | None, plan: Sequence[Configuration], resumed: bool
) -> tuple[RecordFile | None, dict[int, Record]]:
    """Where records go, and those that are there already."""
    if output is None:
        return None, {}
    if not resumed:
        return RecordFile(output, dump=partial(render_records, format_=file_format(output))), {}
    file, done = resume(output, plan)
    if done:
        click.echo(f"{output}: has {len(done)} of {len(plan)} already", err=True)
    return file, done


def _run(plan: Sequence[Configuration], settings: Settings, results: dict[int, Result], file: RecordFile | None) -> str:
    """Measure what has no result; says why it ended early, if it did."""
    try:
        with _watcher(plan, results) as watcher:
            run_sweep(plan, settings, watcher=watcher, results=results, file=file)
    except KeyboardInterrupt:
        if len(plan) == 1:
            raise
        return f"interrupted: {counts(plan, results)}; {_where(results, file)}"
    except OutputError as error:
        return f"{error}: it holds what it held before" + (f"; {_where(results, file)}" if len(plan) > 1 else "")
    return ""


def _where(results: dict[int, Result], file: RecordFile | None) -> str:
    """Where finished records are, and how to go on."""
    if file is None:
        return "-o FILE would keep them for --resume"
    if not file.path.exists():
        return "no record is on disk"
    if file_format(file.path) != "json":
        return f"{file.path} has {len(file)}: a .json file could be gone on with by --resume"
    return f"{file.path} has {len(file)}: the same command with --resume measures the rest"


@contextmanager
def _watcher(plan: Sequence[Configuration], results: dict[int, Result]) -> Iterator[SweepWatcher]:
    """Shows how far it is: a bar for one configuration, a table for several, lines where there is no terminal."""
    console = Console(stderr=True)
    if len(plan) == 1:
        with step_progress(f"{plan[0].recipe.name} on {plan[0].backend}") as show:
            yield BarWatcher(show)
    elif console.is_terminal:
        table = SweepTable(plan, console, results)
        with table.shown():
            yield table
    else:
        yield LineWatcher(plan)


def _raise_error(results: dict[int, Result]) -> None:
    """One configuration that cannot be run here at all is the command's own error."""
    for result in results.values():
        if result.error is not None:
            raise result.error


def _tell(
    plan: Sequence[Configuration],
    results: dict[int, Result],
    file: RecordFile | None,
    format_: str,
    problem: str,
) -> None:
    """The answer, then what did not run and why."""
    ordered = [results[number] for number in sorted(results)]
    alone_and_failed = len(plan) == 1 and any(result.exit_code for result in ordered)
    if not (alone_and_failed and format_ == "text"):
        emit([result.record for result in ordered if result.record is not None], format_=format_, output=None)
    if file is not None and not problem and format_ == "text":
        announce(file.path, data="records" if len(plan) > 1 else "record")
    for number, result in sorted(results.items()):
        # Of a sweep's table, what ran out of memory needs no further words.
        if result.exit_code > (len(plan) > 1):
            name = f"{labels(plan)[number]}: " if len(plan) > 1 else ""
            click.echo(f"sslbench: {name}{why(result)}", err=True)
    if problem:
        click.echo(f"sslbench: {problem}", err=True)
