from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sslbench.kernels.objectives import simclr


@pytest.fixture
def step(tiny_resnet, build):
    return partial(build, simclr, model=tiny_resnet, batch_size=4, image_size=32)


@pytest.fixture
def inference(tiny_resnet, infer):
    return partial(infer, simclr, model=tiny_resnet)


def test_loss_falls_on_one_batch(step):
    run = step(optimizer="adam", learning_rate=3e-3)
    losses = [run().item() for _ in range(15)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("optimizer", ["lars", "sgd", "adamw"])
def test_every_optimizer_runs_a_finite_step(step, optimizer):
    run = step(optimizer=optimizer)
    assert all(run().isfinite() for _ in range(2))


@pytest.mark.parametrize(
    "changes",
    [{"precision": "bf16"}, {"precision": "fp16"}, {"precision": "bf16", "weights": "bf16"}, {"channels_last": True}],
)
def test_other_precisions_and_layouts_run(step, changes):
    run = step(**changes)
    assert all(run().isfinite() for _ in range(2))


def test_a_vit_runs(step, inference):
    assert step(model="vit-ti-16", optimizer="adamw", batch_size=2)().isfinite()
    module, inputs = inference(model="vit-ti-16", batch_size=2, image_size=32)
    assert module(*inputs).shape == (2, 192)


def test_both_views_of_every_image_go_through_the_encoder(step, inference):
    with FlopCounterMode(display=False) as trained:
        step()()
    module, inputs = inference(batch_size=4, image_size=32)
    with FlopCounterMode(display=False) as inferred, torch.inference_mode():
        module(*inputs)
    forward = trained.get_flop_counts()["Global"][torch.ops.aten.convolution]
    assert forward == 2 * inferred.get_flop_counts()["Global"][torch.ops.aten.convolution]


def test_recomputed_activations_change_neither_loss_nor_update(step):
    plain, recomputed = step(), step(activation_checkpointing=True)
    for _ in range(3):
        assert recomputed().item() == pytest.approx(plain().item(), rel=1e-5)


def test_recomputing_runs_the_blocks_twice(step):
    counts = []
    for recompute in (False, True):
        run = step(activation_checkpointing=recompute)
        with FlopCounterMode(display=False) as counter:
            run()
        counts.append(counter.get_flop_counts()["Global"][torch.ops.aten.convolution])
    assert counts[1] > 1.2 * counts[0]


def test_inference_gives_pooled_features(inference, step):
    module, inputs = inference(batch_size=3, image_size=32)
    assert not module.training
    assert [tuple(tensor.shape) for tensor in inputs] == [(3, 3, 32, 32)]
    assert module(*inputs).shape == (3, 16)
    assert step(stage="infer", batch_size=1)().shape == (1, 16)


def test_the_default_learning_rate_is_the_papers_rule(step):
    def second_loss(**changes):
        run = step(optimizer="sgd", **changes)
        run()
        return run().item()

    assert second_loss() == second_loss(learning_rate=0.3 * 4 / 256)
    assert second_loss() != second_loss(learning_rate=0.3)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"batch_size": 1}, "batch_size: NT-Xent compares each image with the others, so it needs at least 2, got 1"),
        ({"temperature": 0.0}, "temperature: expected a number above 0, got 0.0"),
        ({"projection_dim": 0}, "projection_dim: expected a positive integer, got 0"),
        ({"optimizer": "lion"}, "no optimizer 'lion'"),
        ({"precision": "fp8"}, "precision: expected one of"),
        ({"model": "bert-mini"}, "type 'bert' is no image encoder"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)
