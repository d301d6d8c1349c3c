"""Runs under torchrun: steps of two ranks against one process with both batches, and FSDP against DDP.

`parallel_ranks.py FOLDER GPT2 RESNET`: writes what rank 0 found to FOLDER/found.json.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import distributed

from sslbench.kernels.objective import assemble
from sslbench.kernels.objectives import byol, clm, dino, moco
from sslbench.kernels.parallel import parallel_loss
from sslbench.kernels.setup import Setup

SEQ_LEN = 12
IMAGES = {"batch_size": 4, "optimizer": "sgd", "learning_rate": 0.05}
CASES = {
    "byol": (byol, {"image_size": 32, "hidden_dim": 16, "projection_dim": 8, "momentum": 0.5}),
    "moco": (moco, {"image_size": 32, "projection_dim": 8, "queue_size": 16, "momentum": 0.5}),
    "dino": (dino, {"image_size": 32, "local_size": 16, "local_crops": 2, "prototypes": 24, "hidden_dim": 16,
                    "bottleneck_dim": 8, "momentum": 0.5}),
}  # fmt: skip


def setup(model, **changes):
    return Setup(device=torch.device("cpu"), model=model, **changes)


def whole(network):
    values = network.state_dict().values()
    return [value.full_tensor() if hasattr(value, "full_tensor") else value.clone() for value in values]


def largest_difference(ones, others):
    return max(float((one - other).abs().max()) for one, other in zip(ones, others, strict=True) if one.numel())


def steps(training, its_setup, strategy, count=2):
    """Values of some steps, and the parameters and buffers after them."""
    if strategy:
        training = replace(training, loss=parallel_loss(training, its_setup, strategy))
    step = assemble(training, its_setup)
    values = [step().item() for _ in range(count)]
    return values, whole(training.network)


def language_model(gpt2, tokens_BL, strategy="", **changes):
    torch.manual_seed(0)
    its_setup = setup(gpt2, batch_size=len(tokens_BL), optimizer="sgd", learning_rate=0.1, **changes)
    training = replace(clm.train(its_setup, seq_len=SEQ_LEN), inputs=(tokens_BL,))
    return steps(training, its_setup, strategy)


def against_one_process(gpt2, rank):
    """For each strategy: how far values and parameters are from those of one process with both batches."""
    torch.manual_seed(7)
    tokens_BL = torch.randint(90, (4, SEQ_LEN))
    values, parameters = language_model(gpt2, tokens_BL)
    found = {}
    for name, strategy, changes in (
        ("ddp", "ddp", {}),
        ("fsdp", "fsdp", {}),
        ("ddp, accumulated", "ddp", {"accumulation": 2}),  # twice the same batch, so the same mean
        ("fsdp, accumulated", "fsdp", {"accumulation": 2}),
    ):
        own_values, own_parameters = language_model(gpt2, tokens_BL[2 * rank : 2 * rank + 2], strategy, **changes)
        mean = torch.tensor(own_values)
        distributed.all_reduce(mean, op=distributed.ReduceOp.SUM)
        found[name] = {
            "value": largest_difference([mean / 2], [torch.tensor(values)]),
            "parameters": largest_difference(own_parameters, parameters),
        }
    return found


def against_each_other(model, rank):
    """How far FSDP's parameters, teachers and queues are from DDP's; every rank has the same batch."""
    found = {}
    for name, (objective, options) in CASES.items():
        after = []
        for strategy in ("ddp", "fsdp"):
            torch.manual_seed(0)
            its_setup = setup(model, **IMAGES)
            after.append(steps(objective.train(its_setup, **options), its_setup, strategy)[1])
        found[name] = largest_difference(*after)
    return found


def main(folder, gpt2, resnet):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    found = {"one process": against_one_process(gpt2, rank), "each other": against_each_other(resnet, rank)}
    if rank == 0:
        Path(folder, "found.json").write_text(json.dumps(found))
    distributed.barrier()
    os._exit(0)  # as ranks that measure do: Gloo's threads sometimes abort a process that takes itself down


if __name__ == "__main__":
    main(*sys.argv[1:])
