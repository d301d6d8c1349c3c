"""From what a person types to a recipe: a catalog name, a recipe TOML, or `file.py:function`. Imports no torch."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sslbench.bench.errors import RecipeError
from sslbench.bench.files import read_toml, with_home, without_home
from sslbench.bench.recipe import Recipe, parse_recipe
from sslbench.kernels.catalog import objective_names, recipe_tables
from sslbench.kernels.model_tables import model_table, timm_name

CUSTOM = "custom"
SIZES = ("batch_size", "seq_len", "image_size")
FIELDS = (*SIZES, "model", "stage", "precision", "optimizer", "attention", "activation_checkpointing", "compile")
"""Fields that an objective's `build` takes as keywords, beside its own hyper-parameters; `--set` may set them too."""


def resolve_recipe(argument: str, changes: dict[str, Any]) -> Recipe:
    """The recipe that `argument` names, with some fields replaced.

    Args:
        argument: catalog name, path of a recipe TOML, or `file.py:function` of a step of one's own.
        changes: fields by name; `options` are merged over the recipe's own. An option called like a field (batch_size,
            seq_len, precision, ...) sets the field.

    Raises:
        RecipeError: no such recipe or file, or a malformed one; names file, key and what was expected.
    """
    if argument in recipe_tables():
        return _changed(recipe_tables()[argument], changes, where=f"recipe {argument}")
    if ".py:" in argument or argument.endswith(".py"):
        return _factory(argument, changes)
    path = with_home(argument)
    if path.suffix == ".toml" or _is_file(path):
        return _changed(_recipe_table(path), changes, where=str(path))
    raise RecipeError(
        f"no recipe {argument!r}: {_hint(argument)} A recipe is a catalog name, a recipe TOML or file.py:function"
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for the system
        return False


def _hint(argument: str) -> str:
    near = get_close_matches(argument.lower(), recipe_tables(), n=1, cutoff=0.4)
    return f"did you mean {near[0]}?" if near else "`sslbench recipes` lists the catalog."


def _changed(table: dict[str, Any], changes: dict[str, Any], *, where: str) -> Recipe:
    options = changes.get("options", {})
    fields = {key: value for key, value in options.items() if key in FIELDS}
    own = {key: value for key, value in options.items() if key not in FIELDS}
    before = table.get("options", {})
    merged = {**before, **own} if isinstance(before, dict) else before
    recipe = parse_recipe({**table, **changes, **fields, "options": merged}, where=where)
    if recipe.objective not in objective_names():
        near = get_close_matches(recipe.objective, objective_names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise RecipeError(
            f"{where}: objective: expected one of {', '.join(objective_names())}, got {recipe.objective!r}{hint}"
        )
    try:
        if timm_name(recipe.model) is None:  # timm itself knows its models, and imports torch
            model_table(recipe.model)
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from error
    return recipe


def _recipe_table(path: Path) -> dict[str, Any]:
    table = read_toml(path)
    table.setdefault("name", path.stem)
    if table.get("objective") == CUSTOM or table.get("factory"):
        raise RecipeError(f"{path}: a step of your own is named as file.py:function on the command line, not in a TOML")
    return table | _local_model(table, path.parent)


def _local_model(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A model folder that a TOML names is meant from where the TOML lies."""
    model = table.get("model")
    if isinstance(model, str) and model and (folder / model / "config.json").is_file():
        return {"model": str((folder / model).resolve())}
    return {}


def _factory(argument: str, changes: dict[str, Any]) -> Recipe:
    file, _, function = argument.rpartition(":") if not argument.endswith(".py") else (argument, "", "")
    if not function.isidentifier():
        raise RecipeError(f"{argument}: expected file.py:function, such as my_step.py:build")
    path = with_home(file)
    if not _is_file(path):
        raise RecipeError(f"{file}: no such file")
    options = dict(changes.get("options", {}))
    fields = {key: options.pop(key) for key in (*SIZES, "stage") if key in options}
    # A factory is called with what the user said, and with nothing else: `build` reads it from the options.
    said = {key: value for key, value in changes.items() if key not in (*SIZES, "options", "stage")}
    table = {
        "name": f"{path.stem}:{function}",
        "objective": CUSTOM,
        "factory": f"{without_home(str(path.resolve()))}:{function}",
        **changes,
        **fields,
        "options": {**options, **said},
    }
    return parse_recipe(table, where=argument)
