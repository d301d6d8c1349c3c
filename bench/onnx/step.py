"""The training step of a recipe, with all of its state in named tensors. Imports torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from sslbench.bench.build import training_of
from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.draws import Draw, Draws
from sslbench.bench.onnx.homes import Homes
from sslbench.bench.onnx.optimizers import tensor_optimizer
from sslbench.bench.recipe import Recipe
from sslbench.kernels.objective import optimizer_of, step_of

LEARNING_RATE = "learning_rate"
_HOST_VALUES = (bool, int, float, str)


class ExportStep:
    """The step that torch runs (`sslbench.kernels.step`), with an optimizer whose numbers are tensors.

    Args:
        recipe: a training step of the catalog, in fp32.

    Raises:
        MeasureError: the recipe's step cannot be one fixed graph; says why.
        RecipeError: the step cannot exist.
    """

    def __init__(self, recipe: Recipe) -> None:
        _check(recipe)
        training, setup = training_of(recipe, torch.device("cpu"))
        _check_weights(recipe, setup.weights)
        self.network = training.network
        self.homes = Homes(self.network)
        self.batch = {f"batch.{index}": tensor for index, tensor in enumerate(training.inputs)}
        self._optimizer = tensor_optimizer(optimizer_of(training, setup))
        self._step = step_of(training, setup, lambda: training.loss(*self.batch.values()), self._optimizer)

    def inputs(self) -> dict[str, torch.Tensor]:
        """What a step reads and does not change: the batch and the learning rate (float64)."""
        return {**self.batch, LEARNING_RATE: self._optimizer.learning_rate}

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors that a step may change, as they are now: parameters, buffers and the optimizer's."""
        names = {id(tensor): name for name, tensor in self.network.named_parameters()}
        tensors: dict[str, torch.Tensor] = {
            f"parameter.{name}": tensor for name, tensor in self.network.named_parameters()
        }
        tensors |= {f"buffer.{name}": tensor for name, tensor in self.network.named_buffers()}
        for parameter in self._optimizer.parameters():
            slots = self._optimizer.state[parameter]
            tensors |= {f"optimizer.{names[id(parameter)]}.{slot}": tensor for slot, tensor in slots.items()}
        return {**tensors, "optimizer.count": self._optimizer.count}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Bring the step to another state."""
        with torch.no_grad():
            for name, tensor in self.state().items():
                tensor.copy_(torch.from_numpy(state[name]))

    def run(self, draws: Draws) -> torch.Tensor:
        """One step on the given draws, or fresh ones; the loss.

        Attention is computed by torch's `MATH` backend, which has a backward pass of plain operators.

        Raises:
            MeasureError: the step draws random numbers in an unknown way.
        """
        with self.homes.watching(), sdpa_kernel(SDPBackend.MATH), draws:
            return self._step()

    def run_checked(self, given: list[Draw] | None = None) -> tuple[float, list[Draw]]:
        """One step with real numbers; the loss and the draws that it used.

        Raises:
            MeasureError: as `run`; or the step changes a value of the host, which a graph would hold fixed.
        """
        before = self._host_values()
        draws = Draws(self.homes, given)
        loss = float(self.run(draws))
        for place, value in self._host_values().items():
            if before.get(place) != value:
                name, key = place
                part = type(self.network.get_submodule(name)).__name__
                raise MeasureError(
                    f"cannot be exported for training: {key} of {name or 'the network'} ({part}) is a number of the "
                    f"host that changes in every step (from {before.get(place)} to {value}), and would stay fixed"
                )
        return loss, draws.used

    def _host_values(self) -> dict[tuple[str, str], Any]:
        return {
            (name, key): value
            for name, part in self.network.named_modules()
            for key, value in vars(part).items()
            if isinstance(value, _HOST_VALUES)
        }


def _check(recipe: Recipe) -> None:
    if recipe.stage != "train":
        raise MeasureError(f"recipe {recipe.name} is an inference step: a training step is exported with --stage train")
    if recipe.factory:
        raise MeasureError(f"{recipe.name}: a step of one's own shows no state that could be exported")
    if recipe.precision not in ("fp32", "tf32"):
        raise MeasureError(f"recipe {recipe.name}: training is exported in fp32 only, not {recipe.precision}")
    if recipe.activation_checkpointing:
        raise MeasureError(
            f"recipe {recipe.name}: activation checkpointing cannot be exported: leave out --activation-checkpointing"
        )


def _check_weights(recipe: Recipe, weights: str) -> None:
    if weights != "fp32":
        raise MeasureError(f"recipe {recipe.name}: training is exported with weights in fp32 only, not {weights}")
