"""A recipe's trace: its step built as it would be on the device, on tensors without data."""

import sys
from contextlib import nullcontext, redirect_stdout

import torch

from sslbench.bench.recipe import Recipe
from sslbench.bench.trace.events import Target, Trace
from sslbench.bench.trace.imports import light_imports
from sslbench.bench.trace.tracer import Step, trace_step

with light_imports():
    from sslbench.bench.build import step_builder
    from sslbench.kernels.models import no_init


def trace_recipe(recipe: Recipe, target: Target, capability: tuple[int, int]) -> Trace:
    """Trace a recipe's step.

    Raises:
        RecipeError: the step cannot be built.
        TraceError: the step cannot run on tensors without data.
    """
    # What a step prints is no part of the answer on standard output.
    with redirect_stdout(sys.stderr):
        return _trace(recipe, target, capability)


def _trace(recipe: Recipe, target: Target, capability: tuple[int, int]) -> Trace:
    recipe = recipe.model_copy(update={"compile": False})  # what a compiler would leave out is not known before it runs
    # Model code and the user's file are imported before torch pretends to have a GPU.
    with nullcontext() if recipe.factory else light_imports():
        on_device = step_builder(recipe)

    def build(device: torch.device, batch_size: int | None) -> Step:
        with no_init():
            return on_device(device)

    return trace_step(build, target, capability=capability, batch_size=recipe.batch_size)
