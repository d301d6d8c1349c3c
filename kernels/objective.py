"""From an objective's module to its step.

An objective is a module of `sslbench.kernels.objectives` with two functions, whose keywords beside the setup are its
sizes and hyper-parameters:

    train(setup, *, ...) -> Training       the network, its inputs and its loss
    inference(setup, *, ...) -> Inference  the part that is used afterwards, in eval mode, and its inputs
"""

import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from sslbench.kernels.data.loader import Batches, make_batches
from sslbench.kernels.data.source import Source
from sslbench.kernels.optimizers import make_optimizer
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.step import Step, inference_step, training_step


def build_training(objective: ModuleType, setup: Setup, **keywords: Any) -> Step:
    """One optimizer update of an objective, as a function without arguments that returns the loss, detached.

    Raises:
        ValueError: the objective cannot be built so; names the keyword, what was found and what is expected.
    """
    return assemble(training_of(objective, setup, **keywords), setup)


def assemble(training: Training, setup: Setup, batches: Iterator[tuple[torch.Tensor, ...]] | None = None) -> Step:
    """The step of a built objective: its loss on a batch, `setup.accumulation` times, then the update.

    Args:
        training: the built objective.
        setup: how it is run.
        batches: of which each pass takes the next; None: the synthetic batch, always the same.

    Raises:
        ValueError: nothing of the network can be trained, or there is no such optimizer.
    """
    loss = torch.compile(training.loss) if setup.compile else training.loss
    return step_of(
        training,
        setup,
        lambda: loss(*(training.inputs if batches is None else next(batches))),
        optimizer_of(training, setup),
    )


def step_of(training: Training, setup: Setup, loss: Callable[[], torch.Tensor], optimizer: Optimizer) -> Step:
    """The step of a built objective, with the loss of a pass and the optimizer that are given."""
    return training_step(
        loss,
        optimizer,
        device=setup.device,
        precision=setup.precision,
        weights=setup.weights,
        accumulation=setup.accumulation,
        before_update=training.before_update,
        after_update=training.after_update,
    )


def build_inference(objective: ModuleType, setup: Setup, **keywords: Any) -> Step:
    """One forward batch of an objective, as a function without arguments that returns the output.

    Raises:
        ValueError: as `build_training`.
    """
    module, inputs = inference_of(objective, setup, **keywords)
    return _inference(module, inputs, setup)


def build_fed(
    objective: ModuleType, setup: Setup, source: Source, *, stage: str, **keywords: Any
) -> tuple[Step, Batches]:
    """An objective's step, and the batches that it takes: while they are `loading` it is fed from files.

    Raises:
        ValueError: as `build_training`; a `DataError` if the files cannot feed it.
    """
    if stage == "infer":
        module, inputs = inference_of(objective, setup, **keywords)
        batches = make_batches(inputs, setup, source, ())
        return _inference(module, inputs, setup, batches), batches
    training = training_of(objective, setup, **keywords)
    batches = make_batches(training.inputs, setup, source, training.augmentations)
    return assemble(training, setup, batches), batches


def training_of(objective: ModuleType, setup: Setup, **keywords: Any) -> Training:
    """The objective's network, inputs and loss for training."""
    result: Training = objective.train(setup, **_taken(objective.train, keywords))
    return result


def optimizer_of(training: Training, setup: Setup) -> Optimizer:
    """The optimizer that a built objective is updated by.

    Raises:
        ValueError: nothing of the network can be trained, or there is no such optimizer.
    """
    return make_optimizer(
        setup.optimizer,
        training.network,
        learning_rate=training.learning_rate if setup.learning_rate is None else setup.learning_rate,
        weight_decay=training.weight_decay if setup.weight_decay is None else setup.weight_decay,
        momentum=training.momentum,
        betas=training.betas,
    )


def inference_of(objective: ModuleType, setup: Setup, **keywords: Any) -> Inference:
    """The objective's module and inputs for inference."""
    result: Inference = objective.inference(setup, **_taken(objective.inference, keywords))
    return result


def _inference(
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    setup: Setup,
    batches: Iterator[tuple[torch.Tensor, ...]] | None = None,
) -> Step:
    called: Any = torch.compile(module) if setup.compile else module
    return inference_step(
        called,
        inputs,
        device=setup.device,
        precision=setup.precision,
        weights=setup.weights,
        batches=batches,
    )


def _taken(function: Callable[..., Any], keywords: dict[str, Any]) -> dict[str, Any]:
    """The keywords without those that only the other stage has: a recipe holds the options of both."""
    parameters = inspect.signature(function).parameters
    return {key: value for key, value in keywords.items() if key in parameters}
