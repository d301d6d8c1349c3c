"""Which configurations a sweep measures: rows of choices, and what each of them runs. Imports no torch."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from sslbench.bench.errors import RecipeError
from sslbench.bench.quantities import Backend
from sslbench.bench.recipe import Option, Recipe

Row = dict[str, Option]
"""One choice a key: `recipe`, fields of a recipe, `backend`, `devices`, `strategy`, and `set.NAME` for parameters."""

AUTO = "auto"
"""The batch size that asks for the largest batch that runs."""
STRATEGIES = ("ddp", "fsdp")
"""How several devices share a step."""
_NAMES = ("name", "title", "objective", "factory", "options", "paper", "budget")
RECIPE_KEYS = tuple(name for name in Recipe.model_fields if name not in _NAMES)
"""Fields of a recipe that a sweep may vary."""
SWITCHES = tuple(name for name in RECIPE_KEYS if Recipe.model_fields[name].annotation is bool)
"""Those that are on or off."""
_WORDS = {
    "batch_size": "batch",
    "seq_len": "tokens",
    "image_size": "pixels",
    "activation_checkpointing": "checkpointing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One measurement of a sweep."""

    recipe: Recipe
    backend: Backend
    devices: int = 1
    strategy: str = "ddp"
    auto_batch: bool = False
    """Whether the batch is the largest that runs; the recipe's own is then where a search may begin."""
    command: tuple[str, ...]
    """The sslbench arguments that make this one record again."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of the worker's process, beside those of this one."""


def expand(
    axes: Mapping[str, Sequence[Option]],
    *,
    common: Mapping[str, Option] | None = None,
    include: Sequence[Row] = (),
    exclude: Sequence[Row] = (),
    where: str = "the matrix",
) -> list[Row]:
    """Every combination of the axes' values, the last axis varying fastest; none twice.

    Args:
        axes: values to combine, by key.
        common: keys that all rows have, those of `include` too unless they say otherwise.
        include: more rows, after the combinations.
        exclude: combinations that have all values of one of these are left out.
        where: what to call the matrix in an error.

    Raises:
        RecipeError: a row of `exclude` leaves out nothing, so that it is surely a mistake.
    """
    shared = dict(common or {})
    combined = [shared | dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    for number, excluded in enumerate(exclude, 1):
        if not any(_has(row, excluded) for row in combined):
            raise RecipeError(f"{where}: exclude row {number}: no combination has {_in_words(excluded)}")
    kept = [row for row in combined if not any(_has(row, excluded) for excluded in exclude)]
    return list({_key(row): row for row in (*kept, *(shared | row for row in include))}.values())


def facets(configuration: Configuration) -> dict[str, str]:
    """What a configuration is made of, by the word that a table's column has."""
    recipe = configuration.recipe
    fields = recipe.model_dump(include=set(RECIPE_KEYS)) | {"batch_size": recipe.batch_size}
    if configuration.auto_batch:
        fields["batch_size"] = AUTO
    found = {"recipe": recipe.name, **{_WORDS.get(key, key): _text(fields[key]) for key in RECIPE_KEYS}}
    found |= {key: _text(value) for key, value in recipe.options.items() if key not in fields}
    return found | {
        "backend": configuration.backend,
        "devices": str(configuration.devices),
        "strategy": configuration.strategy if configuration.devices > 1 else "",
    }


def varied(configurations: Sequence[Configuration]) -> dict[str, list[str]]:
    """The facets in which the configurations differ: a text for each configuration, by facet."""
    tables = [facets(configuration) for configuration in configurations]
    names = dict.fromkeys(name for table in tables for name in table)
    columns = {name: [table.get(name, "") for table in tables] for name in names}
    return {name: texts for name, texts in columns.items() if len(set(texts)) > 1}


def labels(configurations: Sequence[Configuration]) -> list[str]:
    """A short name for each configuration, of what distinguishes it: `batch 16, bf16`."""
    columns = varied(configurations)
    if not columns:
        return [configuration.recipe.name for configuration in configurations]
    rows = zip(*columns.values(), strict=True)
    return [", ".join(filter(None, map(_labelled, columns, row))) for row in rows]


def _labelled(name: str, text: str) -> str:
    if name in ("recipe", "stage", "model", "precision", "optimizer", "attention", "backend", "strategy"):
        return text
    if text in ("yes", "no"):
        return name if text == "yes" else f"no {name}"
    return f"{name} {text}" if text else ""


def _text(value: Option | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _has(row: Row, part: Row) -> bool:
    return all(key in row and json.dumps(row[key]) == json.dumps(value) for key, value in part.items())


def _key(row: Row) -> str:
    return json.dumps(row, sort_keys=True)  # 1, 1.0 and true are equal in Python, and three texts in JSON


def _in_words(row: Row) -> str:
    return " and ".join(f"{key} = {json.dumps(value)}" for key, value in row.items())


def unique(configurations: Iterable[Configuration]) -> list[Configuration]:
    """The configurations without those that run the same as an earlier one."""
    first: dict[str, Configuration] = {}
    for one in configurations:
        ran = (one.recipe.model_dump_json(), one.backend, str(one.devices), one.strategy, str(one.auto_batch))
        first.setdefault(json.dumps(ran), one)
    return list(first.values())
