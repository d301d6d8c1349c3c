"""Steps of the user's own: a `build` function in a file, loaded and called."""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from sslbench.bench.blame import in_brief, users_line
from sslbench.bench.errors import RecipeError, SSLBenchError
from sslbench.bench.files import with_home
from sslbench.bench.recipe import Recipe
from sslbench.bench.resolve import SIZES

_MODULES: dict[tuple[str, int, int], ModuleType] = {}
# What the machine says, not the user's code: whoever runs the step has its own words for it.
_NOT_THE_USERS = (SSLBenchError, MemoryError, torch.OutOfMemoryError)


def load_factory(recipe: Recipe) -> Callable[[torch.device], Callable[[], object]]:
    """Loads the recipe's file; the result builds the step on a device. What the user's code raises names its own line.

    Raises:
        RecipeError: the file cannot be loaded, or an option is not a parameter; when called, the factory raised or
            returned no step; when the step is called, it raised.
    """
    path, function = _load(recipe)
    arguments = _arguments(recipe, function)

    def build(device: torch.device) -> Callable[[], object]:
        with _users_code(path), _importable(path.parent):
            step = function(device, **arguments)
        if not callable(step):
            raise RecipeError(
                f"{recipe.name}: expected the step, a function without arguments, got {type(step).__name__}"
            )
        return lambda: _guarded(step, path)

    return build


def _guarded(step: Callable[[], object], path: Path) -> object:
    with _users_code(path):
        return step()


def factory_parameters(recipe: Recipe) -> Mapping[str, inspect.Parameter]:
    """Parameters of the recipe's factory, by name.

    Raises:
        RecipeError: the file cannot be loaded.
    """
    return inspect.signature(_load(recipe)[1]).parameters


def _load(recipe: Recipe) -> tuple[Path, Callable[..., Any]]:
    file, _, name = recipe.factory.rpartition(":")
    path = with_home(file)
    if not path.is_file():
        raise RecipeError(f"{path}: no such file")
    module = _module(path)
    function = getattr(module, name, None)
    if not callable(function):
        raise RecipeError(f"{path}: has no function {name!r}")
    return path, function


def _module(path: Path) -> ModuleType:
    """The user's file as a module, loaded once as long as it stays as it is: operators can be registered only once."""
    status = path.stat()
    key = (str(path.resolve()), status.st_mtime_ns, status.st_size)
    if key not in _MODULES:
        _MODULES[key] = _loaded(path)
    return _MODULES[key]


def _loaded(path: Path) -> ModuleType:
    # A name of its own, so that a file called torch.py hides nothing; registered, as dataclasses and pickle need.
    name = f"_sslbench_factory_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _users_code(path), _importable(path.parent):
        spec.loader.exec_module(module)
    return module


def _arguments(recipe: Recipe, function: Callable[..., Any]) -> dict[str, Any]:
    sizes = {key: getattr(recipe, key) for key in SIZES if getattr(recipe, key) is not None}
    options = recipe.options
    arguments = sizes | options
    parameters = dict(list(inspect.signature(function).parameters.items())[1:])
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        unknown = next((key for key in arguments if key not in parameters), None)
        if unknown is not None:
            known = ", ".join(parameters) or "none"
            raise RecipeError(f"{recipe.name}: takes no {unknown!r}; its parameters after the device: {known}")
    if "stage" in parameters:
        arguments["stage"] = recipe.stage
    return arguments


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Modules beside the user's file can be imported, as when Python runs the file."""
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def _users_code(path: Path) -> Iterator[None]:
    try:
        yield
    except _NOT_THE_USERS:
        raise
    except (Exception, SystemExit) as error:
        raise RecipeError(f"{users_line(error, path) or path}: {in_brief(error)}") from error
