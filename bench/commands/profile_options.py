"""Options of `sslbench profile`, in the order of its help."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sslbench.bench.commands.lists import CommaList
from sslbench.bench.commands.options import Decorator, memory_size, parse_value
from sslbench.bench.measure.backends import MEASURED
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.plan import STRATEGIES
from sslbench.bench.onnx.settings import check_settings
from sslbench.bench.recipe import Option
from sslbench.kernels.data.source import Source

_WORKERS = 2
_PERCENT = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*%")


def tolerance(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """A share, from `1%` or `0.01`."""
    match = _PERCENT.fullmatch(value.strip())
    try:
        return float(match[1]) / 100 if match else float(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a share such as 1% or 0.01", ctx, param) from error


def _existing(*, file: bool = False, folder: bool = False) -> click.Path:
    return click.Path(path_type=Path, exists=True, file_okay=file, dir_okay=folder)


_OPTIONS: tuple[Decorator, ...] = (
    click.option("--backend", type=CommaList(click.Choice(MEASURED)), help="Where it runs.  [default: what is here]"),
    click.option(
        "--devices", type=CommaList(click.IntRange(min=1)), metavar="N", help="Devices, each with the recipe's batch."
    ),
    click.option(
        "--strategy", type=CommaList(click.Choice(STRATEGIES)), help="How they share the step.  [default: ddp]"
    ),
    click.option("--steps", type=int, metavar="N", help="Timed steps.  [default: until --tolerance is met]"),
    click.option(
        "--warmup", type=int, metavar="N", help="Steps before the timed ones.  [default: until they are steady]"
    ),
    click.option(
        "--tolerance",
        default="1%",
        show_default=True,
        callback=tolerance,
        metavar="SHARE",
        help="How sure the median must be: half of its 95 % interval.",
    ),
    click.option(
        "--max-seconds",
        type=float,
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="Begin no step after this long.",
    ),
    click.option(
        "--timeout",
        type=float,
        default=900.0,
        show_default=True,
        metavar="SECONDS",
        help="Kill the worker after this long, and begin no further try of --batch-size auto.",
    ),
    click.option("--memory-limit", callback=memory_size, metavar="SIZE", help="Most that the step may hold, as 4GiB."),
    click.option(
        "--memory-snapshot",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write CUDA's allocations there, for docs.pytorch.org/memory_viz.",
    ),
    click.option(
        "--onnx",
        multiple=True,
        metavar="KEY=VALUE",
        help="How ONNX Runtime runs it, as graph=basic or threads=4; repeat for more.",
    ),
    click.option("--images", type=_existing(folder=True), metavar="DIR", help="Measure on these images, too."),
    click.option(
        "--text",
        type=_existing(file=True, folder=True),
        metavar="FILE|DIR",
        help="Measure on this text, or on a folder's .txt files, too.",
    ),
    click.option(
        "--tokenizer",
        type=_existing(file=True),
        metavar="FILE",
        help="A tokenizer.json for --text.  [default: one trained on it]",
    ),
    click.option("--workers", type=int, metavar="N", help="Processes that load --images or --text.  [default: 2]"),
    click.option(
        "--matrix",
        type=_existing(file=True),
        metavar="FILE",
        help="A TOML file with lists to combine, rows to add and rows to leave out.",
    ),
    click.option("--resume", is_flag=True, help="Measure only what FILE of -o has no record of."),
)


def profile_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add all options but those of the recipe and of the output; the functions below read them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def budget_of(params: dict[str, Any]) -> Budget:
    """How long each measurement may take.

    Raises:
        MeasureError: a value is out of range; names the option.
    """
    return Budget(**{key: params[key] for key in ("steps", "warmup", "tolerance", "max_seconds", "timeout")})


def onnx_of(params: dict[str, Any]) -> dict[str, Option]:
    """Options of ONNX Runtime.

    Raises:
        MeasureError: a key or a value does not exist.
    """
    settings: dict[str, Option] = {}
    for text in params["onnx"]:
        key, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--onnx: {text!r} is not KEY=VALUE, as in graph=basic")
        settings[key.strip()] = parse_value(value.strip())
    check_settings(settings)
    return settings


def source_of(params: dict[str, Any]) -> Source | None:
    """The files that feed the step, if any are given."""
    images, text, tokenizer = (params[key] for key in ("images", "text", "tokenizer"))
    workers: int | None = params["workers"]
    if images is not None and text is not None:
        raise click.UsageError("--images and --text: a step takes one of them")
    if tokenizer is not None and text is None:
        raise click.UsageError("--tokenizer goes with --text")
    path = images or text
    if path is None:
        if workers is not None:
            raise click.UsageError("--workers goes with --images or --text")
        return None
    return Source(
        kind="images" if images else "text",
        path=str(path),
        workers=_WORKERS if workers is None else workers,
        tokenizer=str(tokenizer or ""),
    )
