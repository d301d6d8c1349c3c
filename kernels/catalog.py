"""The catalog as data: recipes by name, objectives by file. Imports no torch."""

import csv
import pkgutil
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from sslbench.kernels import objectives


@cache
def recipe_texts() -> dict[str, str]:
    """The TOML of every shipped recipe, by name, sorted."""
    shipped = (
        entry for entry in files("sslbench.kernels").joinpath("recipes").iterdir() if entry.name.endswith(".toml")
    )
    return {
        entry.name.removesuffix(".toml"): entry.read_text("utf-8") for entry in sorted(shipped, key=lambda e: e.name)
    }


@cache
def recipe_tables() -> dict[str, dict[str, Any]]:
    """Every shipped recipe, by name: the keys of a recipe TOML."""
    return {name: tomllib.loads(text) for name, text in recipe_texts().items()}


class RecipeWork(NamedTuple):
    """What a recipe's step amounts to, from a trace of it for a GPU; tests/bench/test_recipe_work.py writes them."""

    parameters: int
    """Of every network in the step: a teacher's, too."""
    flops_per_sample: int
    """Of the whole step at the recipe's own batch, a training step's backward pass included."""


@cache
def recipe_work() -> dict[str, RecipeWork]:
    """Parameters and FLOPs of every shipped recipe, by name."""
    lines = files("sslbench.kernels").joinpath("recipes", "work.csv").read_text("utf-8").splitlines()
    return {
        row["name"]: RecipeWork(int(row["parameters"]), int(row["flops_per_sample"])) for row in csv.DictReader(lines)
    }


@cache
def objective_names() -> tuple[str, ...]:
    """Names of the objectives that can be built: the modules of `sslbench.kernels.objectives`, with dashes."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(objectives.__path__)))


def objective_module(objective: str) -> str:
    """The module of an objective, to import."""
    return f"sslbench.kernels.objectives.{objective.replace('-', '_')}"
