"""A sweep as a TOML file: lists that are combined, rows that are added and rows that are left out.

recipe = "bert-mini-mlm"            # a single value holds for all
batch_size = [8, 16, "auto"]        # lists are combined
precision = ["fp32", "bf16"]
set.mask_ratio = [0.15, 0.4]

[[exclude]]                         # combinations that are left out
batch_size = 16
precision = "bf16"

[[include]]                         # one more configuration
batch_size = 64
activation_checkpointing = true
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from sslbench.bench.errors import RecipeError
from sslbench.bench.files import read_toml
from sslbench.bench.measure.backends import MEASURED
from sslbench.bench.measure.plan import AUTO, RECIPE_KEYS, STRATEGIES, SWITCHES, Row
from sslbench.bench.recipe import Option, Recipe, first_problem

_OWN = "set"
_ROWS = ("include", "exclude")
_CHOICES: dict[str, tuple[str, ...]] = {"backend": MEASURED, "strategy": STRATEGIES}
_ANNOTATIONS: dict[str, Any] = {
    "recipe": Annotated[str, Field(min_length=1)],
    "backend": str,
    "devices": Annotated[int, Field(ge=1)],
    "strategy": str,
    **{key: Recipe.model_fields[key].annotation for key in RECIPE_KEYS},
}
_TYPES: dict[str, TypeAdapter[Any]] = {key: TypeAdapter(annotation) for key, annotation in _ANNOTATIONS.items()}
_OPTION: TypeAdapter[Option] = TypeAdapter(
    bool | int | Annotated[float, Field(allow_inf_nan=False)] | str  # as Recipe.options has them
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """What a matrix file holds; keys as in `plan.Row`."""

    common: Row
    axes: dict[str, list[Option]]
    include: tuple[Row, ...]
    exclude: tuple[Row, ...]


def load_matrix(path: Path) -> Matrix:
    """Read a matrix.

    Raises:
        RecipeError: names the file, the key, and what was expected.
    """
    table = _flat(read_toml(path), where=str(path))
    rows = {name: _rows(table.pop(name, []), name, path) for name in _ROWS}
    common: Row = {}
    axes: dict[str, list[Option]] = {}
    for key, value in table.items():
        if isinstance(value, list):
            if not value:
                raise RecipeError(f"{path}: {key}: expected at least one value, got an empty list")
            axes[key] = [_checked(key, each, where=str(path)) for each in value]
        else:
            common[key] = _checked(key, value, where=str(path))
    _check_recipes(axes, rows["include"], path)
    return Matrix(common=common, axes=axes, include=rows["include"], exclude=rows["exclude"])


def _flat(table: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """The table with `set.NAME` in place of the table `set`."""
    own = table.get(_OWN, {})
    if not isinstance(own, dict):
        raise RecipeError(f"{where}: {_OWN}: expected a table, as in {_OWN}.temperature = [0.1, 0.5], got {own!r}")
    rest = {key: value for key, value in table.items() if key != _OWN}
    # On the command line, too, a switch of the recipe may be set like a parameter.
    return rest | {key if key in SWITCHES else f"{_OWN}.{key}": value for key, value in own.items()}


def _rows(found: Any, name: str, path: Path) -> tuple[Row, ...]:
    if not isinstance(found, list) or not all(isinstance(row, dict) and row for row in found):
        raise RecipeError(f"{path}: {name}: expected rows, each beginning with [[{name}]]")
    rows = []
    for number, row in enumerate(found, 1):
        where = f"{path}: {name} row {number}"
        rows.append({key: _checked(key, value, where=where) for key, value in _flat(row, where=where).items()})
    return tuple(rows)


def _checked(key: str, value: Any, *, where: str) -> Option:
    if key.startswith(f"{_OWN}."):
        kind, known = _OPTION, key.removeprefix(f"{_OWN}.").isidentifier()
    else:
        kind, known = _TYPES.get(key, _OPTION), key in _TYPES
    if not known:
        keys = ", ".join((*_TYPES, f"{_OWN}.NAME"))
        raise RecipeError(f"{where}: {key} is not a known key: expected one of {keys}")
    if key == "batch_size" and value == AUTO:
        return AUTO
    try:
        option: Option = kind.validate_python(value, strict=True)
    except ValidationError as error:
        raise RecipeError(f"{where}: {key}: {first_problem(error).partition(': ')[2]}") from error
    if key in _CHOICES and option not in _CHOICES[key]:
        raise RecipeError(f"{where}: {key}: expected one of {', '.join(_CHOICES[key])}, got {option!r}")
    return option


def _check_recipes(axes: Mapping[str, list[Option]], include: tuple[Row, ...], path: Path) -> None:
    for number, row in enumerate(include, 1):
        if "recipe" in axes and "recipe" not in row:
            raise RecipeError(f"{path}: include row {number}: recipe is missing: the file lists several")
