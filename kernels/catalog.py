"""The catalog as data: recipes by name, objectives by file. Imports no torch."""

import pkgutil
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

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


@cache
def objective_names() -> tuple[str, ...]:
    """Names of the objectives that can be built: the modules of `sslbench.kernels.objectives`, with dashes."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(objectives.__path__)))


def objective_module(objective: str) -> str:
    """The module of an objective, to import."""
    return f"sslbench.kernels.objectives.{objective.replace('-', '_')}"
