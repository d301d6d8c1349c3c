"""Options that several commands share: which recipe, with which changes, and where the answer goes."""

import math
import re
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from sslbench.bench.commands.lists import CommaList, join_value, split_list
from sslbench.bench.files import without_home
from sslbench.bench.recipe import ATTENTIONS, PRECISIONS, STAGES, Option

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Any], Any]

_RECIPE_FIELDS = (
    "stage",
    "model",
    "batch_size",
    "seq_len",
    "image_size",
    "precision",
    "optimizer",
    "attention",
    "activation_checkpointing",
    "compile",
    "expandable_segments",
)
HOW_ANSWERED = ("format_", "output", "open_")
"""Parameters that say where and how the answer is written."""
_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12} | {
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}


def memory_size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Bytes of an amount of memory with its unit, such as `48GiB`; a usage error where it is no positive size."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)\s*([kmgt]?i?b?)", value.strip().lower())
    size = int(float(match[1]) * _UNITS[match[2]]) if match is not None and match[2] in _UNITS else 0
    if size <= 0:
        raise click.BadParameter(f"{value!r} is not a size such as 48GiB", ctx, param)
    return size


def _pairs(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[tuple[str, Option], ...]:
    return tuple((key, parse_value(value)) for key, value in (_pair(text, ctx, parameter) for text in texts))


def _list_pairs(
    ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, tuple[Option, ...]], ...]:
    pairs = [_pair(text, ctx, parameter) for text in texts]
    return tuple((key, tuple(map(parse_value, split_list(value)))) for key, value in pairs)


def _pair(text: str, ctx: click.Context, parameter: click.Parameter) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise click.BadParameter(f"{text!r} is not KEY=VALUE, as in temperature=0.5", ctx, parameter)
    return key, value


def parse_value(text: str) -> Option:
    """`true` and `false`, whole numbers and finite decimals as such; everything else stays text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            value = number(text)
        except ValueError:
            continue
        if math.isfinite(value):
            return value
    return text


def _all(decorators: tuple[Decorator, ...], function: Command) -> Command:
    # click lists options in the order of decoration, from the innermost
    decorated: Command = reduce(lambda decorated, decorator: decorator(decorated), reversed(decorators), function)
    return decorated


def recipe_options(function: Command) -> Command:
    """Add RECIPE (parameter `recipe`) and the options that change it; `changes_from` reads them."""
    return _all((click.argument("recipe", metavar="RECIPE"), *_changing(_alone, _pairs)), function)


def recipes_options(function: Command) -> Command:
    """Add RECIPE... (`recipes`) and the same options, which change each of them."""
    argument = click.argument("recipes", metavar="RECIPE...", nargs=-1, required=True)
    return _all((argument, *_changing(_alone, _pairs)), function)


def recipe_lists(function: Command) -> Command:
    """Add RECIPE... (`recipes`) and the same options, of which those with a value give a tuple of values."""
    argument = click.argument("recipes", metavar="RECIPE...", nargs=-1)
    return _all((argument, *_changing(CommaList, _list_pairs)), function)


def _alone(one: Any, words: tuple[str, ...] = ()) -> Any:
    return one


def _changing(several: Callable[..., Any], pairs: Callable[..., Any]) -> tuple[Decorator, ...]:
    """The options that change a recipe; `several` makes an option's type from that of one value."""
    return (
        click.option("--stage", type=several(click.Choice(STAGES)), help="A training step or an inference step."),
        click.option(
            "--model",
            type=several(str),
            metavar="MODEL",
            help="Catalog model, folder with a config.json, hub id, or timm:NAME.",
        ),
        click.option("--batch-size", type=several(int, ("auto",)), metavar="N", help="Samples in a step."),
        click.option("--seq-len", type=several(int), metavar="N", help="Tokens in a sample."),
        click.option("--image-size", type=several(int), metavar="PIXELS", help="Height and width of an image."),
        click.option("--precision", type=several(click.Choice(PRECISIONS)), help="Type that the step computes in."),
        click.option("--optimizer", type=several(str), metavar="NAME", help="Optimizer of the training step."),
        click.option("--attention", type=several(click.Choice(ATTENTIONS)), help="How attention is computed."),
        click.option(
            "--activation-checkpointing/--no-activation-checkpointing",
            default=None,
            help="Compute activations again in the backward pass instead of keeping them.",
        ),
        click.option("--compile/--no-compile", default=None, help="Run the step through torch.compile."),
        click.option(
            "--expandable-segments/--no-expandable-segments",
            default=None,
            help="CUDA's allocator with expandable_segments:True.",
        ),
        click.option(
            "settings",
            "--set",
            callback=pairs,
            multiple=True,
            metavar="KEY=VALUE",
            help="Parameter of the objective or of your factory; repeat for more.",
        ),
    )


def changes_from(params: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe fields that the user set, and only those; what `--set` gave stands under `options`.

    Args:
        params: the command's parameters, as from `recipe_options`; others are ignored.
    """
    changes = {name: params[name] for name in _RECIPE_FIELDS if params.get(name) is not None}
    settings = dict(params.get("settings") or ())
    return {**changes, "options": settings} if settings else changes


def arguments_of(ctx: click.Context) -> list[str]:
    """The command and the arguments that the user gave, without where and how the answer is written.

    Run again, they make the same record again.
    """
    arguments = [ctx.info_name or ""]
    for parameter in ctx.command.params:
        given = ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and parameter.name not in HOW_ANSWERED:
            arguments += _spelled(parameter, ctx.params[parameter.name or ""])
    return arguments


def _spelled(parameter: click.Parameter, value: Any) -> list[str]:
    if isinstance(parameter, click.Argument):
        return [without_home(str(value))]
    if parameter.name == "settings":
        return [word for key, setting in value for word in ("--set", f"{key}={setting}")]
    return spelled_option(parameter, value)


def spelled_option(parameter: click.Parameter, value: Any) -> list[str]:
    """An option with its value as a person would write it."""
    if isinstance(value, bool):
        return (
            [parameter.opts[0] if value else parameter.secondary_opts[0]] if parameter.secondary_opts or value else []
        )
    values = value if isinstance(value, tuple) else (value,)
    several = isinstance(parameter.type, CommaList)
    return [
        word
        for each in values
        for word in (parameter.opts[-1], join_value(each) if several else without_home(str(each)))
    ]


answer_format: Decorator = click.option(
    "format_",
    "--format",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="What is printed.",
)
"""`--format` of commands that answer (parameter `format_`: text, json or markdown)."""

open_option: Decorator = click.option("open_", "--open", is_flag=True, help="Open the page in the browser.")
"""`--open` of commands that write a page (parameter `open_`)."""


def output_options(function: Command) -> Command:
    """Add `--format` (`format_`), `-o/--output` (`output`: a path or None) and `--open` (`open_`)."""
    output = click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write it there: a report where the name ends in .html or .md, else JSON.",
    )
    return _all((answer_format, output, open_option), function)


list_format: Decorator = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print.",
)
"""`--format` of commands that list (parameter `output_format`)."""
