from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sslbench.kernels.losses.self_distillation import centered_softmax, dino_loss
from sslbench.kernels.objective import assemble
from sslbench.kernels.objectives import dino
from sslbench.kernels.setup import Setup

SMALL_HEAD = {"prototypes": 40, "hidden_dim": 32, "bottleneck_dim": 8}
TINY_VIT = {
    "model_type": "vit",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "patch_size": 8,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
SIZES = {"batch_size": 4, "image_size": 32, "local_size": 16, "local_crops": 3, **SMALL_HEAD}


@pytest.fixture
def tiny_vit(model_folder):
    return model_folder(TINY_VIT)


@pytest.fixture
def step(tiny_vit, build):
    return partial(build, dino, **{"model": tiny_vit, **SIZES})


@pytest.fixture
def training(tiny_vit, trained):
    return partial(trained, dino, **{"model": tiny_vit, **SIZES})


def stepped(training, model):
    """A built objective after one step of SGD."""
    setup = Setup(device=torch.device("cpu"), model=model, batch_size=4, optimizer="sgd", learning_rate=0.1)
    assemble(training, setup)()
    return training.network


def test_inputs_are_two_large_and_some_small_crops(training):
    assert [tuple(crops.shape) for crops in training().inputs] == [(8, 3, 32, 32), (12, 3, 16, 16)]
    assert [tuple(crops.shape) for crops in training(local_crops=0).inputs] == [(8, 3, 32, 32)]


def test_the_loss_is_that_of_all_pairs_of_crops(training):
    built = training(drop_path=0.0)
    network, (large, small) = built.network, built.inputs
    with torch.no_grad():
        encoder, head = network.student
        student = [head(encoder(crop)) for crop in (*large.chunk(2), *small.chunk(3))]
        target = [centered_softmax(network.teacher(crop), network.center, 0.04) for crop in large.chunk(2)]
    torch.testing.assert_close(built.loss(large, small), dino_loss(student, target, 0.1))


def test_the_teacher_starts_as_the_student_and_follows_it(training, tiny_vit):
    built = training(momentum=0.9)
    before = [parameter.clone() for parameter in built.network.teacher.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, built.network.student.parameters(), strict=True))
    network = stepped(built, tiny_vit)
    for old, teacher, student in zip(before, network.teacher.parameters(), network.student.parameters(), strict=True):
        torch.testing.assert_close(teacher, 0.9 * old + 0.1 * student)


def test_the_centre_follows_the_teachers_mean(training, tiny_vit):
    built = training()
    with torch.no_grad():
        mean = built.network.teacher(built.inputs[0]).mean(dim=0)
    network = stepped(built, tiny_vit)
    torch.testing.assert_close(network.center, 0.1 * mean)


def test_only_the_student_is_trained(training):
    built = training()
    built.loss(*built.inputs).backward()
    network = built.network
    lengths = network.student[1].lengths
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.teacher.parameters())
    assert all(parameter.grad is not None for parameter in network.student.parameters() if parameter is not lengths)
    assert lengths.grad is None
    assert network.center.grad is None


def test_learned_lengths_get_a_gradient(training):
    built = training(norm_last_layer=False)
    built.loss(*built.inputs).backward()
    assert all(parameter.grad is not None for parameter in built.network.student.parameters())


def test_a_frozen_last_layer_stays(training, tiny_vit):
    for frozen in (True, False):
        built = training(freeze_last_layer=frozen)
        direction = built.network.student[1].last_layer.parametrizations.weight.original1
        before = direction.detach().clone()
        stepped(built, tiny_vit)
        assert torch.equal(before, direction) == frozen


def test_gradients_are_clipped_before_the_update(training, tiny_vit):
    moved = {}
    for limit in (1e-4, 0.0):
        built = training(clip_gradient=limit)
        before = [parameter.detach().clone() for parameter in built.network.student.parameters()]
        stepped(built, tiny_vit)
        after = built.network.student.parameters()
        moved[limit] = max((new - old).norm().item() for new, old in zip(after, before, strict=True))
    # learning rate 0.1; weight decay 0.04 of weights whose norm is below 10
    assert moved[1e-4] < 0.1 * (1e-4 + 0.04 * 10)
    assert moved[0.0] > moved[1e-4]


def test_a_student_that_disagrees_learns_what_the_teacher_says(training, tiny_vit):
    built = training(momentum=1.0, drop_path=0.0)
    with torch.no_grad():
        for parameter in built.network.student[1].mlp.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for _ in range(50):
            built.loss(*built.inputs)  # the centre, and with it the target, comes to rest
    setup = Setup(device=torch.device("cpu"), model=tiny_vit, batch_size=4, learning_rate=1e-2)
    run = assemble(built, setup)
    losses = [run().item() for _ in range(30)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"precision": "tf32"},
        {"precision": "bf16", "weights": "bf16"},
        {"attention": "eager"},
        {"activation_checkpointing": True},
        {"accumulation": 2},
        {"local_crops": 0},
        {"batch_size": 1},
        {"optimizer": "lars"},
        {"optimizer": "adamw-fused", "precision": "fp16"},
    ],
)
def test_every_variant_runs_finite_steps(step, changes):
    run = step(**changes)
    assert all(run().isfinite() for _ in range(2))


def test_a_resnet_learns_too(step, tiny_resnet):
    run = step(model=tiny_resnet, channels_last=True)
    assert all(run().isfinite() for _ in range(2))


def test_the_teacher_sees_the_large_crops_and_the_student_all(step, infer, tiny_resnet):
    with FlopCounterMode(display=False) as counter:
        step(model=tiny_resnet)()
    forward = {}
    for size in (32, 16):
        module, inputs = infer(dino, model=tiny_resnet, batch_size=4, image_size=size)
        with FlopCounterMode(display=False) as inferred, torch.inference_mode():
            module(*inputs)
        forward[size] = inferred.get_flop_counts()["Global"][torch.ops.aten.convolution]
    convolutions = counter.get_flop_counts()["Global"][torch.ops.aten.convolution]
    assert convolutions == (2 + 2) * forward[32] + 3 * forward[16]


def test_inference_gives_pooled_features(infer, tiny_vit):
    module, inputs = infer(dino, model=tiny_vit, batch_size=3, image_size=32)
    assert not module.training
    assert [tuple(tensor.shape) for tensor in inputs] == [(3, 3, 32, 32)]
    assert module(*inputs).shape == (3, 16)


def test_the_default_learning_rate_is_the_papers_rule(training):
    assert training(batch_size=4, accumulation=2).learning_rate == pytest.approx(0.0005 * 8 / 256)
    assert training().weight_decay == 0.04


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"local_size": 20}, r"local_size: expected a multiple of the model's patch size \(8\), got 20"),
        ({"local_size": 0}, "local_size: expected a multiple of the model's patch size"),
        ({"local_crops": -1}, "local_crops: expected a number from 0, got -1"),
        ({"image_size": 36}, r"image_size: expected a multiple of the model's patch size \(8\), got 36"),
        ({"student_temperature": 0.0}, "student_temperature: expected a number above 0, got 0.0"),
        ({"teacher_temperature": -1.0}, "teacher_temperature: expected a number above 0, got -1.0"),
        ({"momentum": 1.5}, "momentum: expected a number from 0 to 1, got 1.5"),
        ({"drop_path": 1.0}, "drop_path: expected a number from 0 to below 1, got 1.0"),
        ({"clip_gradient": -1.0}, "clip_gradient: expected a norm from 0"),
        ({"prototypes": 0}, "prototypes: expected a positive integer, got 0"),
        ({"model": "bert-mini"}, "type 'bert' is no image encoder"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)
