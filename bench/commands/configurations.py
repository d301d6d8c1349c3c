"""From the command line and a matrix file to the configurations that `sslbench profile` measures."""

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

from sslbench.bench.commands.lists import join_value
from sslbench.bench.commands.options import HOW_ANSWERED, parse_value, spelled_option
from sslbench.bench.files import without_home
from sslbench.bench.measure.backends import default_backend
from sslbench.bench.measure.matrix import Matrix, load_matrix
from sslbench.bench.measure.plan import AUTO, RECIPE_KEYS, SWITCHES, Configuration, Row, expand, unique
from sslbench.bench.recipe import Option
from sslbench.bench.resolve import resolve_recipe

_OWN = "set."
_NOT_OF_A_RECORD = (*HOW_ANSWERED, "resume", "matrix")
_NO_MATRIX = Matrix(common={}, axes={}, include=(), exclude=())


def plan_of(ctx: click.Context) -> list[Configuration]:
    """What the user asks for, in order and none twice.

    Raises:
        RecipeError: a recipe or the matrix file is malformed; names file, key and what was expected.
    """
    path = ctx.params["matrix"]
    matrix = load_matrix(path) if path is not None else _NO_MATRIX
    given = _given(ctx.params)
    for key in given:
        if key in matrix.common or key in matrix.axes:
            raise click.UsageError(f"{_option(key)} is in {path}, too: give it in one place")
    common = matrix.common | {key: values[0] for key, values in given.items() if len(values) == 1}
    axes: dict[str, Any] = matrix.axes | {key: values for key, values in given.items() if len(values) > 1}
    if "recipe" not in common and "recipe" not in axes:
        raise click.UsageError("Missing argument 'RECIPE...'.")
    if "backend" not in common and "backend" not in axes:
        common["backend"] = default_backend()
    rows = expand(axes, common=common, include=matrix.include, exclude=matrix.exclude, where=str(path))
    return unique(_configuration(ctx, row) for row in rows)


def _given(params: Mapping[str, Any]) -> dict[str, tuple[Option, ...]]:
    """What the command line says of each key."""
    given: dict[str, tuple[Option, ...]] = {"recipe": params["recipes"]} if params["recipes"] else {}
    for key in (*RECIPE_KEYS, "backend", "devices", "strategy"):
        value = params[key]
        if value is not None:
            given[key] = value if isinstance(value, tuple) else (value,)
    for key, values in params["settings"]:
        given[_field(key)] = values
    return given


def _field(setting: str) -> str:
    """A switch of the recipe, which takes no list as an option, may be set like a parameter."""
    return setting if setting in SWITCHES else _OWN + setting


def _option(key: str) -> str:
    if key == "recipe":
        return "RECIPE"
    return f"--set {key.removeprefix(_OWN)}" if key.startswith(_OWN) else f"--{key.replace('_', '-')}"


def _configuration(ctx: click.Context, row: Row) -> Configuration:
    settings = {
        key.removeprefix(_OWN): parse_value(value) if isinstance(value, str) else value
        for key, value in row.items()
        if key.startswith(_OWN)
    }
    changes: dict[str, Any] = {key: row[key] for key in RECIPE_KEYS if key in row}
    auto = changes.get("batch_size", settings.get("batch_size")) == AUTO
    if auto:
        changes.pop("batch_size", None)
        settings.pop("batch_size", None)
    if settings:
        changes["options"] = settings
    recipe = resolve_recipe(str(row["recipe"]), changes)
    devices = int(row.get("devices", 1))
    return Configuration(
        recipe=recipe,
        backend=row["backend"],  # type: ignore[arg-type]  # checked by the option's type, or by the matrix
        devices=devices,
        strategy=str(row.get("strategy", "ddp")) if devices > 1 else "ddp",
        auto_batch=auto,
        command=tuple(_command(ctx, row, devices)),
    )


def _command(ctx: click.Context, row: Row, devices: int) -> list[str]:
    """The command and the arguments that measure this one configuration."""
    words = [ctx.info_name or ""]
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name == "recipes":
            words.append(without_home(str(row["recipe"])))
        elif name == "settings":
            for key, value in row.items():
                if key.startswith(_OWN):
                    words += ["--set", f"{key.removeprefix(_OWN)}={join_value(value)}"]
        elif name in row:
            if devices > 1 or name not in ("devices", "strategy"):
                words += spelled_option(parameter, row[name])
        elif _is_said(ctx, name):
            words += spelled_option(parameter, ctx.params[name])
    return words


def _is_said(ctx: click.Context, name: str) -> bool:
    if name in _NOT_OF_A_RECORD or name in ("devices", "strategy"):
        return False
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
