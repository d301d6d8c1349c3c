"""`sslbench recipes`: list, search and show the recipes of the catalog."""

import sys
from collections.abc import Iterable
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import click

from sslbench.bench.commands.options import list_format
from sslbench.bench.commands.output import print_json
from sslbench.bench.recipe import Recipe
from sslbench.bench.resolve import resolve_recipe
from sslbench.kernels.catalog import recipe_tables, recipe_texts, recipe_work
from sslbench.reports.units import format_si

_NARROWEST = 140


@click.group("recipes", invoke_without_command=True)
@list_format
@click.pass_context
def command(context: click.Context, output_format: str) -> None:
    """List the recipes that come with sslbench.

    A recipe is also a TOML file with the same keys as `show` prints, or `file.py:function`, a step of your own.
    """
    if context.invoked_subcommand is None:
        _print_recipes(recipe_tables(), output_format)


@command.command()
@click.argument("text")
@list_format
def search(text: str, output_format: str) -> None:
    """Recipes whose name, title, objective or model holds every word of TEXT."""
    found = [name for name, table in recipe_tables().items() if _matches(table, text)]
    if not found and output_format == "text":
        click.echo(f"no recipe holds {text!r}", err=True)
        return
    _print_recipes(found, output_format)


@command.command()
@click.argument("name")
@list_format
def show(name: str, output_format: str) -> None:
    """The recipe NAME as TOML, to copy and change.

    NAME is a recipe of the catalog, or the path of a recipe TOML, which is checked.
    """
    recipe = resolve_recipe(name, {})
    if output_format == "json":
        print_json(_table(recipe))
    else:
        click.echo(_source(name, recipe), nl=False)


def _matches(table: dict[str, Any], text: str) -> bool:
    place = " ".join(str(table.get(key, "")) for key in ("name", "title", "objective", "model")).lower()
    return all(word in place for word in text.lower().split())


def _print_recipes(names: Iterable[str], output_format: str) -> None:
    recipes = [resolve_recipe(name, {}) for name in names]
    if output_format == "json":
        print_json([_table(recipe) | {"work": recipe_work()[recipe.name]._asdict()} for recipe in recipes])
    else:
        _print_table(recipes)


def _table(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", exclude_none=True)


def _source(name: str, recipe: Recipe) -> str:
    if recipe.factory:
        return f"{recipe.factory}\n"
    return recipe_texts().get(name) or Path(name).read_text(encoding="utf-8")


def _print_table(recipes: list[Recipe]) -> None:
    from rich import box  # noqa: PLC0415 - rich is loaded only to draw
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("name", "objective", "model"):
        table.add_column(heading, no_wrap=True)
    for heading in ("parameters", "FLOPs a sample", "batch"):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("sample", no_wrap=True)
    table.add_column("paper", overflow="fold")
    for recipe in recipes:
        work = recipe_work()[recipe.name]
        table.add_row(
            recipe.name,
            recipe.objective,
            recipe.model,
            format_si(work.parameters, ""),
            format_si(work.flops_per_sample, "FLOP"),
            str(recipe.batch_size),
            _sample(recipe),
            recipe.paper.removeprefix("https://"),
        )
    # In a pipe lines stay whole, for grep; a narrow terminal breaks them, and loses nothing.
    width = max(_NARROWEST, get_terminal_size().columns) if sys.stdout.isatty() else 240
    Console(markup=False, highlight=False, emoji=False, width=width).print(table)


def _sample(recipe: Recipe) -> str:
    """How large a sample is."""
    sizes = ((recipe.image_size, "px"), (recipe.seq_len, "tokens"), (recipe.options.get("seconds"), "s"))
    return ", ".join(f"{size} {unit}" for size, unit in sizes if size)
