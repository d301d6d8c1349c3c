"""From a recipe to a step that runs: the catalog's objectives, or a factory of the user's own. Imports torch."""

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from difflib import get_close_matches
from types import ModuleType
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError

from sslbench.bench.errors import MeasureError, RecipeError
from sslbench.bench.factory import factory_parameters, load_factory
from sslbench.bench.recipe import Recipe, first_problem
from sslbench.bench.resolve import FIELDS, SIZES
from sslbench.kernels.catalog import objective_module
from sslbench.kernels.data.loader import Batches
from sslbench.kernels.data.source import DataError, Source
from sslbench.kernels.models import import_model
from sslbench.kernels.objective import build_fed, build_inference, build_training, inference_of
from sslbench.kernels.objective import training_of as objective_training
from sslbench.kernels.setup import Inference, Setup, Training

_Result = TypeVar("_Result")


def step_builder(recipe: Recipe) -> Callable[[torch.device], Callable[[], object]]:
    """All of the recipe that can be done before there is a device: checks, and the import of what its step needs.

    Whoever changes torch for the length of a build (a tracer) calls this first, so that no library is imported then.

    Raises:
        RecipeError: as `build_step`.
    """
    if recipe.factory:
        return load_factory(recipe)
    objective = _objective(recipe)
    setup, keywords = _arguments(recipe, objective)
    build = build_inference if recipe.stage == "infer" else build_training
    return lambda device: _named(recipe, lambda: build(objective, setup(device), **keywords))


def build_step(recipe: Recipe, device: torch.device) -> Callable[[], object]:
    """The recipe's step on `device`: one call is one optimizer update, or one forward batch.

    Raises:
        RecipeError: the step cannot exist (a size, a model, a hyper-parameter), or the user's own code failed, with
            its message and line.
    """
    return step_builder(recipe)(device)


def build_parallel_step(recipe: Recipe, device: torch.device, strategy: str) -> Callable[[], object]:
    """The recipe's training step on `device`, which averages gradients with the other processes of the default group.

    Raises:
        RecipeError: as `build_step`; the objective cannot run under the strategy.
    """
    from sslbench.kernels.parallel import build_parallel  # noqa: PLC0415 - imports much of torch.distributed

    objective = _objective(recipe)
    setup, keywords = _arguments(recipe, objective)
    return _named(recipe, lambda: build_parallel(objective, setup(device), strategy, **keywords))


def build_fed_step(recipe: Recipe, device: torch.device, source: Source) -> tuple[Callable[[], object], Batches]:
    """The recipe's step on `device`, and its batches: the synthetic one, but real ones while they are `loading`.

    Raises:
        MeasureError: the files cannot feed this step.
        RecipeError: as `build_step`.
    """
    if recipe.factory:
        raise MeasureError(f"--{source.kind}: {recipe.name} is a step of one's own, which loads its own input")
    objective = _objective(recipe)
    setup, keywords = _arguments(recipe, objective)
    try:
        return build_fed(objective, setup(device), source, stage=recipe.stage, **keywords)
    except DataError as error:
        raise MeasureError(str(error)) from error
    except ValueError as error:
        raise RecipeError(f"recipe {recipe.name}: {error}") from error


def inference_module(recipe: Recipe, device: torch.device) -> Inference:
    """The recipe's model in eval mode with the positional inputs of one batch; it returns one tensor.

    Raises:
        RecipeError: as `build_step`; and for a factory, whose model is not known.
    """
    if recipe.factory:
        raise RecipeError(
            f"{recipe.name}: a step of one's own has no model that could be exported: use a torch backend"
        )
    objective = _objective(recipe)
    setup, keywords = _arguments(recipe.with_options(stage="infer"), objective)
    return _named(recipe, lambda: inference_of(objective, setup(device), **keywords))


def training_of(recipe: Recipe, device: torch.device) -> tuple[Training, Setup]:
    """The recipe's objective, built for training but without its optimizer, and how it is run.

    Raises:
        RecipeError: as `build_step`; and for a factory, whose parts are not known.
    """
    if recipe.factory:
        raise RecipeError(f"{recipe.name}: a step of one's own has no parts that are known: use a torch backend")
    objective = _objective(recipe)
    setup, keywords = _arguments(recipe, objective)
    return _named(recipe, lambda: (objective_training(objective, setup(device), **keywords), setup(device)))


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
    module = importlib.import_module(objective_module(recipe.objective))
    _named(recipe, lambda: import_model(recipe.model))
    return module


def _named(recipe: Recipe, action: Callable[[], _Result]) -> _Result:
    """Runs an action of the kernels; what it finds wrong becomes an error that names the recipe."""
    try:
        return action()
    except ValueError as error:
        raise RecipeError(f"recipe {recipe.name}: {error}") from error


def _arguments(recipe: Recipe, objective: ModuleType) -> tuple[Callable[[torch.device], Setup], dict[str, Any]]:
    """The objective's setup, which waits for its device, and its own keywords, checked."""
    if recipe.precision == "int8":
        raise RecipeError(
            f"recipe {recipe.name}: precision int8 is for inference in ONNX Runtime alone: "
            "sslbench profile --stage infer --backend onnx-cpu"
        )
    own = dict(inspect.signature(objective.train).parameters) | dict(inspect.signature(objective.inference).parameters)
    del own["setup"]
    _check_sizes(recipe, own)
    shared = {field.name: field.type for field in dataclasses.fields(Setup)}
    fields = {key: getattr(recipe, key) for key in FIELDS if getattr(recipe, key) not in (None, "")}
    options = {key: _checked(recipe, key, value, own, shared) for key, value in recipe.options.items()}
    every = fields | options
    keywords = {key: value for key, value in every.items() if key in own}
    common = {key: value for key, value in every.items() if key in shared}
    accumulation = common.get("accumulation", 1) if recipe.stage == "train" else 1
    common["batch_size"] = _micro_batch(recipe, accumulation)
    common["accumulation"] = accumulation

    def setup(device: torch.device) -> Setup:
        return Setup(device=device, **common)

    return setup, keywords


def _check_sizes(recipe: Recipe, own: dict[str, inspect.Parameter]) -> None:
    for size in SIZES:
        given, taken = getattr(recipe, size) is not None, size in own or size == "batch_size"
        if given and not taken:
            raise RecipeError(f"recipe {recipe.name}: {size}: objective {recipe.objective} has no such size")
        required = size not in own or own[size].default is inspect.Parameter.empty
        if taken and required and not given:
            raise RecipeError(f"recipe {recipe.name}: {size} is missing: objective {recipe.objective} needs it")


def _micro_batch(recipe: Recipe, accumulation: int) -> int:
    """Samples of one forward pass: the recipe's batch is that of the whole step."""
    batch = recipe.batch_size or 0
    if accumulation < 1 or batch % accumulation:
        raise RecipeError(
            f"recipe {recipe.name}: accumulation: expected a divisor of the batch of {batch}, got {accumulation}"
        )
    return batch // accumulation


def _checked(recipe: Recipe, key: str, value: Any, own: dict[str, inspect.Parameter], shared: dict[str, Any]) -> Any:
    hyper = {name: parameter.annotation for name, parameter in own.items() if name not in FIELDS}
    hyper |= {name: kind for name, kind in shared.items() if name not in (*FIELDS, "device")}
    if key not in hyper:
        near = get_close_matches(key, hyper, n=1)
        hint = f"did you mean {near[0]}? else " if near else ""
        raise RecipeError(
            f"recipe {recipe.name}: objective {recipe.objective} has no {key!r}: {hint}it takes {', '.join(hyper)}"
        )
    try:
        return TypeAdapter(hyper[key]).validate_python(value, strict=True)
    except ValidationError as error:
        problem = first_problem(error).partition(": ")[2]
        raise RecipeError(f"recipe {recipe.name}: {key}: {problem}") from error
