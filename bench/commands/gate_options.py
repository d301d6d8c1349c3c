"""Options that the commands of the regression gate share, and their answer."""

from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import click

from sslbench.bench.commands.options import Command, memory_size
from sslbench.bench.commands.profile_options import tolerance
from sslbench.bench.comparison import Comparison, Limit
from sslbench.bench.files import check_writable, write_atomically
from sslbench.bench.gate.comparable import KINDS

FORMAT_NAMES = ("text", "markdown", "html", "json", "github", "junit", "sarif", "benchmark-action", "bencher")
LIMIT_OPTIONS = {
    "slowdown": "Longer step that passes.  [default: 5%; timed in turns 2.5%]",
    "memory": "More memory that passes, as 1% or 64MiB.  [default: 1%]",
    "energy": "More energy of a step that passes.  [default: 5%]",
    "flops": "Snapshots: more FLOP that pass.",
    "bytes": "Snapshots: more bytes moved to and from memory that pass.",
    "launches": "Snapshots: more kernel launches that pass.",
}


def limit(ctx: click.Context, param: click.Parameter, value: str | None) -> Limit | None:
    """A share such as `5%` or `0.05`, or of memory an amount such as `64MiB`."""
    if value is None:
        return None
    if param.name == "max_memory" and value.strip()[-1:] in "bB":
        return Limit(amount=memory_size(ctx, param, value))
    share = tolerance(ctx, param, value)
    if not 0 <= share < 100:
        raise click.BadParameter(f"{value!r} is not a share such as 5% or 0.05", ctx, param)
    return Limit(share=share)


def _destination(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    found = []
    for value in values:
        kind, equals, path = value.partition("=")
        if not equals or kind not in FORMAT_NAMES or not path:
            raise click.BadParameter(f"{value!r} is not KIND=PATH; KIND: {', '.join(FORMAT_NAMES)}", ctx, param)
        found.append((kind, Path(path)))
    return tuple(found)


def gate_options(*limits: str) -> Callable[[Command], Command]:
    """Add `--max-...` for the named limits, `--allow`, `--format` and `--output`."""
    decorators = [
        *(click.option(f"--max-{name}", callback=limit, metavar="LIMIT", help=LIMIT_OPTIONS[name]) for name in limits),
        click.option(
            "--allow",
            multiple=True,
            type=click.Choice(KINDS),
            help="Compare in spite of such a difference; repeat for more.",
        ),
        click.option(
            "format_",
            "--format",
            type=click.Choice(FORMAT_NAMES),
            default="text",
            show_default=True,
            help="What is printed.",
        ),
        click.option(
            "outputs",
            "-o",
            "--output",
            multiple=True,
            callback=_destination,
            metavar="KIND=PATH",
            help="Write it there, too, in any of these formats, as junit=gate.xml; repeat for more.",
        ),
    ]

    def add(function: Command) -> Command:
        added: Command = reduce(lambda command, decorator: decorator(command), reversed(decorators), function)
        return added

    return add


def limits_from(params: Mapping[str, Any]) -> dict[str, Limit]:
    """The limits that the user gave, by their word."""
    return {name: params[f"max_{name}"] for name in LIMIT_OPTIONS if params.get(f"max_{name}") is not None}


def check_outputs(params: Mapping[str, Any]) -> None:
    """Minutes of measuring are not lost to a misspelt folder.

    Raises:
        OutputError: a folder is missing.
    """
    for _, path in params["outputs"]:
        check_writable(path)


def answer(ctx: click.Context, comparison: Comparison) -> None:
    """Print and write the comparison; the command ends with its exit code.

    Raises:
        OutputError: a file cannot be written.
    """
    from sslbench.reports.gate import FORMATS  # noqa: PLC0415 - imports jinja2

    for kind, path in ctx.params["outputs"]:
        write_atomically(path, FORMATS[kind](comparison))
    click.echo(FORMATS[ctx.params["format_"]](comparison), nl=False)
    ctx.exit(comparison.exit_code)
