"""A recipe's trace: its step built as it would be on the device, on tensors without data."""

import torch

from sslbench.bench.build import build_step
from sslbench.bench.recipe import Recipe
from sslbench.bench.trace.events import Target, Trace
from sslbench.bench.trace.tracer import Step, trace_step
from sslbench.kernels.models import no_init


def trace_recipe(recipe: Recipe, target: Target, capability: tuple[int, int]) -> Trace:
    """Trace a recipe's step.

    Raises:
        RecipeError: the step cannot be built.
        TraceError: the step cannot run on tensors without data.
    """

    def build(device: torch.device, batch_size: int | None) -> Step:
        with no_init():
            return build_step(recipe.model_copy(update={"batch_size": batch_size}), device)

    return trace_step(build, target, capability=capability, batch_size=recipe.batch_size)
