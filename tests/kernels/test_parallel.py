import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sslbench.kernels.objectives import clip, swav
from sslbench.kernels.parallel import blocks, parallel_loss
from sslbench.kernels.setup import Setup, Training

TINY_GPT2 = {
    "model_type": "gpt2",
    "vocab_size": 90,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 24,
    **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0),
}
RANKS = Path(__file__).with_name("parallel_ranks.py")


@pytest.mark.slow
@pytest.mark.timeout(400)  # three processes that import torch
def test_two_ranks_do_what_one_process_does_with_both_batches(model_folder, tiny_resnet, tmp_path):
    launcher = ["-P", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
    arguments = [str(tmp_path), model_folder(TINY_GPT2), tiny_resnet]
    ran = subprocess.run(
        [sys.executable, *launcher, str(RANKS), *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    assert set(found["one process"]) == {"ddp", "fsdp", "ddp, accumulated", "fsdp, accumulated"}
    for name, differences in found["one process"].items():
        assert differences["value"] < 1e-5, name
        assert differences["parameters"] < 1e-5, name
    assert set(found["each other"]) == {"byol", "moco", "dino"}
    for name, difference in found["each other"].items():
        assert difference < 1e-4, name


def setup(model="", **changes):
    return Setup(**{"device": torch.device("cpu"), "model": model, "batch_size": 4, **changes})


def training(network, **changes):
    return Training(network=network, inputs=(), loss=lambda: torch.zeros(()), learning_rate=0.1, **changes)


def test_an_unknown_strategy_is_named():
    with pytest.raises(ValueError, match=r"strategy: expected one of ddp, fsdp, got 'zero'"):
        parallel_loss(training(nn.Linear(2, 2)), setup(), "zero")


def test_a_loss_that_writes_parameters_is_not_sharded(tiny_resnet):
    built = swav.train(setup(tiny_resnet), image_size=32, local_size=16, local_crops=2, prototypes=8, hidden_dim=8)
    with pytest.raises(ValueError, match="fsdp: the objective's loss changes parameters"):
        parallel_loss(built, setup(), "fsdp")


def test_a_single_number_is_not_sharded():
    built = clip.train(setup("clip-vit-ti-16"), image_size=64)
    with pytest.raises(ValueError, match="fsdp: logit_scale is a single number, which cannot be shared out: use ddp"):
        parallel_loss(built, setup(), "fsdp")


def test_blocks_are_the_outermost_repeated_layers():
    def block():
        return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))

    layers = nn.ModuleList([block(), block()])
    network = nn.Sequential(nn.Linear(2, 2), nn.ModuleDict({"layers": layers}), nn.Sequential(nn.ReLU(), nn.ReLU()))
    assert blocks(network) == list(layers)
    assert blocks(nn.Sequential(nn.Linear(2, 2), nn.ReLU())) == []
