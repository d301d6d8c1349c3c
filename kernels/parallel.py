"""A training step on several devices: each with its own batch, gradients averaged between them. Imports torch.

`ddp` keeps a whole copy on each device (https://arxiv.org/abs/2006.15704). `fsdp` keeps a share of every parameter,
gradient and optimizer state on each, and gathers a transformer block's parameters when it is their turn: FSDP2,
`fully_shard` (https://arxiv.org/abs/2304.11277, https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html).

What papers exchange besides gradients stays on each device: negatives, centres, assignments and queues are those of its
own batch. DDP sends the buffers of rank 0 to all before every forward pass, which is torch's default; FSDP leaves
every device its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, islice
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from sslbench.kernels.objective import assemble, training_of
from sslbench.kernels.setup import Setup, Training
from sslbench.kernels.step import Step

STRATEGIES = ("ddp", "fsdp")
Loss = Callable[..., torch.Tensor]


def build_parallel(objective: ModuleType, setup: Setup, strategy: str, **keywords: Any) -> Step:
    """One optimizer update that averages gradients with the other processes of the default group.

    Every process builds from the same seed, so that all begin with the same parameters.

    Raises:
        ValueError: as `build_training`, and as `parallel_loss`.
    """
    training = training_of(objective, setup, **keywords)
    return assemble(replace(training, loss=parallel_loss(training, setup, strategy)), setup)


def parallel_loss(training: Training, setup: Setup, strategy: str) -> Loss:
    """The objective's loss, of which the backward pass averages the gradients of all processes.

    The default process group has to exist, and every process has to hold the same parameters. After `fsdp` the network
    has other parameters than before, each a share: an optimizer is made afterwards.

    Args:
        training: the built objective.
        setup: how it is run; of its accumulated passes only the last averages.
        strategy: a name of `STRATEGIES`.

    Raises:
        ValueError: there is no such strategy, or the objective cannot run under it; says why.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
    module = _WithLoss(training)
    if strategy == "ddp":
        return _distributed(module, setup)
    _check_shardable(training)
    return _sharded(module, setup)


class _WithLoss(nn.Module):
    """The network, and its loss as the forward pass.

    Losses call parts of their network by name, past the network's own forward pass, in which both strategies do their
    work; here they do it around the whole loss.
    """

    def __init__(self, training: Training) -> None:
        super().__init__()
        self.network = training.network
        self._loss = training.loss

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self._loss(*inputs)


def _distributed(module: nn.Module, setup: Setup) -> Loss:
    on_gpu = setup.device.type == "cuda"
    # A static graph lets parameters go without a gradient (BERT's pooler, say), and looks for them in the first step
    # alone; ours is the same in every step.
    wrapped = DistributedDataParallel(module, device_ids=[setup.device] if on_gpu else None, static_graph=True)
    # The first pass of all has to average, too: a static graph is looked at while it does.
    passes = chain([True], islice(_last_of(setup.accumulation), 1, None))

    def loss(*inputs: torch.Tensor) -> torch.Tensor:
        if next(passes):
            value: torch.Tensor = wrapped(*inputs)
        else:
            with wrapped.no_sync():  # counts in the forward pass; the backward pass may be outside
                value = wrapped(*inputs)
        return value

    return loss


def _sharded(module: nn.Module, setup: Setup) -> Loss:
    mesh = init_device_mesh(setup.device.type, (torch.distributed.get_world_size(),))
    for block in blocks(module):
        fully_shard(block, mesh=mesh)
    wrapped: Any = fully_shard(module, mesh=mesh)
    passes = _last_of(setup.accumulation)

    def loss(*inputs: torch.Tensor) -> torch.Tensor:
        wrapped.set_requires_gradient_sync(next(passes))
        value: torch.Tensor = wrapped(*inputs)
        return value

    return loss


def _last_of(count: int) -> Iterator[bool]:
    """True at every count-th turn."""
    while True:
        yield from (turn == count for turn in range(1, count + 1))


def blocks(network: nn.Module) -> list[nn.Module]:
    """The outermost repeated blocks that have parameters: entries of one type in a list or sequence of at least two."""
    found: list[nn.Module] = []
    for child in network.children():
        entries = list(child.children()) if isinstance(child, nn.ModuleList | nn.Sequential) else []
        repeated = len(entries) > 1 and len({type(entry) for entry in entries}) == 1
        if repeated and any(True for _ in entries[0].parameters()):
            found += entries
        else:
            found += blocks(child)
    return found


def _check_shardable(training: Training) -> None:
    if training.writes_parameters:
        raise ValueError("fsdp: the objective's loss changes parameters, of which each device has a share: use ddp")
    scalar = next((name for name, parameter in training.network.named_parameters() if parameter.ndim == 0), None)
    if scalar is not None:
        raise ValueError(f"fsdp: {scalar} is a single number, which cannot be shared out: use ddp")
