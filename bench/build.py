"""From a recipe to a step that runs: the catalog's objectives, or a factory of the user's own. Imports torch."""

import importlib
import inspect
from collections.abc import Callable
from difflib import get_close_matches
from types import ModuleType
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError

from sslbench.bench.errors import RecipeError
from sslbench.bench.factory import factory_parameters, load_factory
from sslbench.bench.recipe import Recipe, first_problem
from sslbench.bench.resolve import FIELDS, SIZES
from sslbench.kernels.models import import_model

_Result = TypeVar("_Result")


def step_builder(recipe: Recipe) -> Callable[[torch.device], Callable[[], object]]:
    """All of the recipe that can be done before there is a device: checks, and the import of what its step needs.

    Whoever changes torch for the length of a build (a tracer) calls this first, so that no library is imported then.

    Raises:
        RecipeError: as `build_step`.
    """
    if recipe.factory:
        return load_factory(recipe)
    build = _objective(recipe).build
    arguments = _arguments(recipe, build)
    return lambda device: _named(recipe, lambda: build(device, **arguments))


def build_step(recipe: Recipe, device: torch.device) -> Callable[[], object]:
    """The recipe's step on `device`: one call is one optimizer update, or one forward batch.

    Raises:
        RecipeError: the step cannot exist (a size, a model, a hyper-parameter), or the user's own code failed, with
            its message and line.
    """
    return step_builder(recipe)(device)


def inference_module(recipe: Recipe, device: torch.device) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    """The recipe's model in eval mode with the positional inputs of one batch; it returns one tensor.

    Raises:
        RecipeError: as `build_step`; and for a factory, whose model is not known.
    """
    if recipe.factory:
        raise RecipeError(
            f"{recipe.name}: a step of one's own has no model that could be exported: use a torch backend"
        )
    module = _objective(recipe)
    checked = _arguments(recipe, module.build)
    taken = inspect.signature(module.inference).parameters
    arguments = {key: value for key, value in checked.items() if key in taken}
    result: tuple[torch.nn.Module, tuple[torch.Tensor, ...]] = _named(
        recipe, lambda: module.inference(device, **arguments)
    )
    return result


def factory_defaults(recipe: Recipe) -> Recipe:
    """The recipe with the sizes that its factory has as defaults, where the user gave none.

    Raises:
        RecipeError: the user's file cannot be loaded.
    """
    if not recipe.factory:
        return recipe
    defaults = {name: parameter.default for name, parameter in factory_parameters(recipe).items()}
    sizes = {key: defaults[key] for key in SIZES if getattr(recipe, key) is None and type(defaults.get(key)) is int}
    return recipe.with_options(**sizes) if sizes else recipe


def _objective(recipe: Recipe) -> ModuleType:
    """The objective's module; the model's own module is imported with it."""
    module = importlib.import_module(f"sslbench.kernels.objectives.{recipe.objective}")
    _named(recipe, lambda: import_model(recipe.model))
    return module


def _named(recipe: Recipe, action: Callable[[], _Result]) -> _Result:
    """Runs an action of the kernels; what it finds wrong becomes an error that names the recipe."""
    try:
        return action()
    except ValueError as error:
        raise RecipeError(f"recipe {recipe.name}: {error}") from error


def _arguments(recipe: Recipe, build: Callable[..., Any]) -> dict[str, Any]:
    """Keyword arguments of an objective's `build`: the fields it takes and the recipe's options, checked."""
    parameters = inspect.signature(build).parameters
    fields = {key: getattr(recipe, key) for key in FIELDS if getattr(recipe, key) not in (None, "")}
    for size in SIZES:
        if size in fields and size not in parameters:
            raise RecipeError(f"recipe {recipe.name}: {size}: objective {recipe.objective} has no such size")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name in FIELDS and name not in fields:
            raise RecipeError(f"recipe {recipe.name}: {name} is missing: objective {recipe.objective} needs it")
    hyper = {name: parameter for name, parameter in parameters.items() if name not in (*FIELDS, "device")}
    return fields | {key: _checked(recipe, key, value, hyper) for key, value in recipe.options.items()}


def _checked(recipe: Recipe, key: str, value: Any, hyper: dict[str, inspect.Parameter]) -> Any:
    if key not in hyper:
        near = get_close_matches(key, hyper, n=1)
        hint = f"did you mean {near[0]}? else " if near else ""
        raise RecipeError(
            f"recipe {recipe.name}: objective {recipe.objective} has no {key!r}: {hint}it takes {', '.join(hyper)}"
        )
    try:
        return TypeAdapter(hyper[key].annotation).validate_python(value, strict=True)
    except ValidationError as error:
        problem = first_problem(error).partition(": ")[2]
        raise RecipeError(f"recipe {recipe.name}: {key}: {problem}") from error
