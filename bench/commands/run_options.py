"""Options of how much is run, on how many devices and at what price: `fit` and `choose` have them."""

import math
import re
from collections.abc import Callable
from typing import Any

import click

from sslbench.bench.budget import changed_budget
from sslbench.bench.errors import RecipeError
from sslbench.bench.fit import Run
from sslbench.bench.recipe import Recipe

_SPEED = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s*([kmgt])(i?)(b|bit)(?:/s|ps)", re.IGNORECASE)
_PREFIX = {"k": 1, "m": 2, "g": 3, "t": 4}
_BUDGET, _PRICES = ("epochs", "samples", "steps", "tokens"), ("price", "electricity")
_WORDS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_COUNT = re.compile(r"(\d{1,18}(?:\.\d{1,9})?(?:e\d{1,2})?)\s*([kmbt]?)", re.IGNORECASE)
_LARGEST = 10**18


def speed(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Bytes a second of a rate with its unit: `200GB/s` in bytes, `1600Gbps` and `1600Gbit/s` in bits.

    A record's command has it as a number, in bytes a second.
    """
    if value is None:
        return None
    if re.fullmatch(r"\d{6,15}\.0", value):
        return float(value)
    match = _SPEED.fullmatch(value.strip())
    if match is None or not float(match[1]):
        raise click.BadParameter(f"{value!r} is not a rate such as 200GB/s or 1600Gbit/s", ctx, param)
    base = 1024 if match[3] else 1000
    bits = match[4].lower() == "bit" or match[4] == "b"
    return float(match[1]) * float(base) ** _PREFIX[match[2].lower()] / (8 if bits else 1)


def count(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A whole positive number, also as `300e9`, `1.28M` or `300B`."""
    if value is None:
        return None
    match = _COUNT.fullmatch(value.strip())
    number = float(match[1]) * _WORDS[match[2].lower()] if match else 0.0
    if not 1 <= number <= _LARGEST or number != round(number):
        raise click.BadParameter(f"{value!r} is not a whole number such as 1281167, 1.28M or 300e9", ctx, param)
    return round(number)


def positive(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """A number above 0, and finite."""
    if value is not None and not 0 < value < math.inf:
        raise click.BadParameter(f"expected a number above 0, got {value:g}", ctx, param)
    return value


_OPTIONS = (
    click.option(
        "--strategy",
        type=click.Choice(["ddp", "fsdp"]),
        default="ddp",
        show_default=True,
        help="How the devices of a machine such as h100:8 share a training step.",
    ),
    click.option(
        "--link", callback=speed, metavar="RATE", help="Of one device to the others, one direction, such as 32GB/s."
    ),
    click.option(
        "--network", callback=speed, metavar="RATE", help="Of one machine to others, one direction, such as 400GB/s."
    ),
    click.option("--epochs", type=float, callback=positive, metavar="N", help="Budget: times through the data set."),
    click.option("--samples", callback=count, metavar="N", help="Budget: size of the data set, such as 1.28M."),
    click.option("--steps", callback=count, metavar="N", help="Budget: optimizer steps of this batch on each device."),
    click.option("--tokens", callback=count, metavar="N", help="Budget: tokens in all, such as 300e9."),
    click.option("--price", type=float, callback=positive, metavar="USD", help="Rent of one device for an hour."),
    click.option("--electricity", type=float, callback=positive, metavar="USD", help="Price of a kWh."),
)


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; `with_budget`, `run_of` and `links_and_price` read them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def with_budget(recipe: Recipe, params: dict[str, Any]) -> Recipe:
    """The recipe with the budget that the user gave, if any.

    Raises:
        RecipeError: it is said in two ways, or only half; or it, or a price, is said of inference, which has no bill.
    """
    given = {name: params[name] for name in _BUDGET}
    idle = [f"--{name}" for name in (*_BUDGET, *_PRICES) if params[name] is not None]
    if idle and recipe.stage != "train":
        raise RecipeError(f"budget and prices are of a whole training run: leave {', '.join(idle)} away for inference")
    return recipe.model_copy(update={"budget": changed_budget(recipe.budget, **given)})


def run_of(params: dict[str, Any]) -> Run:
    """How the recipe is run."""
    return Run(strategy=params["strategy"], electricity_usd_per_kwh=params["electricity"])


def links_and_price(params: dict[str, Any]) -> dict[str, Any]:
    """Keywords of `find_machine`."""
    return {"link": params["link"], "network": params["network"], "rent_usd_per_hour": params["price"]}
