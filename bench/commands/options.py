"""Options that several commands share: which recipe, with which changes, and where the answer goes."""

import math
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

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
    "expandable_segments",
)


def _pairs(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[tuple[str, Option], ...]:
    return tuple(_pair(text, ctx, parameter) for text in texts)


def _pair(text: str, ctx: click.Context, parameter: click.Parameter) -> tuple[str, Option]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise click.BadParameter(f"{text!r} is not KEY=VALUE, as in temperature=0.5", ctx, parameter)
    return key, parse_value(value)


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
    return _all(
        (
            click.argument("recipe", metavar="RECIPE"),
            click.option("--stage", type=click.Choice(STAGES), help="A training step or an inference step."),
            click.option(
                "--model", metavar="MODEL", help="Catalog model, folder with a config.json, hub id, or timm:NAME."
            ),
            click.option("--batch-size", type=int, metavar="N", help="Samples in a step."),
            click.option("--seq-len", type=int, metavar="N", help="Tokens in a sample."),
            click.option("--image-size", type=int, metavar="PIXELS", help="Height and width of an image."),
            click.option("--precision", type=click.Choice(PRECISIONS), help="Type that the step computes in."),
            click.option("--optimizer", metavar="NAME", help="Optimizer of the training step."),
            click.option("--attention", type=click.Choice(ATTENTIONS), help="How attention is computed."),
            click.option(
                "--activation-checkpointing/--no-activation-checkpointing",
                default=None,
                help="Compute activations again in the backward pass instead of keeping them.",
            ),
            click.option(
                "--expandable-segments/--no-expandable-segments",
                default=None,
                help="CUDA's allocator with expandable_segments:True.",
            ),
            click.option(
                "settings",
                "--set",
                callback=_pairs,
                multiple=True,
                metavar="KEY=VALUE",
                help="Parameter of the objective or of your factory; repeat for more.",
            ),
        ),
        function,
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
        if given and parameter.name not in ("format_", "output"):
            arguments += _spelled(parameter, ctx.params[parameter.name or ""])
    return arguments


def _spelled(parameter: click.Parameter, value: Any) -> list[str]:
    if isinstance(parameter, click.Argument):
        return [str(value)]
    if isinstance(value, bool):
        return [parameter.opts[0] if value else parameter.secondary_opts[0]]
    if parameter.name == "settings":
        return [word for key, setting in value for word in ("--set", f"{key}={setting}")]
    values = value if isinstance(value, tuple) else (value,)
    return [word for each in values for word in (parameter.opts[-1], str(each))]


def output_options(function: Command) -> Command:
    """Add `--format` (parameter `format_`: text, json or markdown) and `-o/--output` (`output`: a path or None)."""
    return _all(
        (
            click.option(
                "format_",
                "--format",
                type=click.Choice(["text", "json", "markdown"]),
                default="text",
                show_default=True,
                help="What is printed.",
            ),
            click.option(
                "-o",
                "--output",
                type=click.Path(path_type=Path, dir_okay=False),
                metavar="FILE",
                help="Write the record (JSON) there.",
            ),
        ),
        function,
    )


list_format: Decorator = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print.",
)
"""`--format` of commands that list (parameter `output_format`)."""
