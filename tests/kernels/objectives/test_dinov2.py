from functools import partial

import pytest
import torch

from sslbench.kernels.losses.self_distillation import dino_loss, koleo_loss
from sslbench.kernels.losses.sinkhorn import sinkhorn
from sslbench.kernels.objective import assemble
from sslbench.kernels.objectives import dinov2
from sslbench.kernels.setup import Setup

HEADS = {"prototypes": 40, "hidden_dim": 32, "bottleneck_dim": 8, "patch_prototypes": 24, "patch_bottleneck_dim": 6}
TINY = {
    "model_type": "dinov2",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": 8,
    "layerscale_value": 1.0,
}
SIZES = {"batch_size": 4, "image_size": 32, "local_size": 16, "local_crops": 3, **HEADS}


@pytest.fixture
def tiny(model_folder):
    return model_folder(TINY)


@pytest.fixture
def step(tiny, build):
    return partial(build, dinov2, **{"model": tiny, **SIZES})


@pytest.fixture
def training(tiny, trained):
    return partial(trained, dinov2, **{"model": tiny, **SIZES})


def stepped(training, model):
    setup = Setup(device=torch.device("cpu"), model=model, batch_size=4, optimizer="sgd", learning_rate=0.1)
    assemble(training, setup)()
    return training.network


def test_masks_are_fresh_with_the_same_counts_dealt_out_anew(training):
    network = training(batch_size=8).network
    first, second = network.draw_masks(), network.draw_masks()
    counts = sorted(int(16 * (0.1 + 0.4 * (number + 1) / 8)) for number in range(8))
    for masks in (first, second):
        assert sorted(masks.masked.sum(dim=1).tolist()) == [0] * 8 + counts
        assert torch.equal(masks.masked.flatten().nonzero().squeeze(1), masks.chosen)
        # every image with masked patches counts as much as any other
        assert masks.weight.sum().item() == pytest.approx(8)
    assert not torch.equal(first.masked, second.masked)


@pytest.mark.parametrize("separate_head", [False, True])
def test_the_loss_is_the_sum_of_the_papers_three(training, separate_head):
    built = training(separate_head=separate_head, drop_path=0.0)
    network, (large, small) = built.network, built.inputs
    torch.manual_seed(3)
    value = built.loss(large, small)
    torch.manual_seed(3)
    masked = network.draw_masks().masked
    patch_head = "patch_head" if separate_head else "head"
    with torch.no_grad():
        classes, patches = network.teacher["encoder"](large)
        # Sinkhorn-Knopp over both crops; DINO's loss has them in their own order
        target = sinkhorn(network.teacher["head"](classes), epsilon=0.07, iterations=3)
        patch_target = sinkhorn(network.teacher[patch_head](patches[masked]), epsilon=0.07, iterations=3)
        seen, hidden = network.student["encoder"](large, masked)
        local = network.student["encoder"](small)[0]
        student = network.student["head"](torch.cat([seen, local]))
        expected = dino_loss(student.chunk(5), target.chunk(2), 0.1)
        expected += 0.1 * (koleo_loss(seen[:4]) + koleo_loss(seen[4:]))
        log_student = (network.student[patch_head](hidden[masked]) / 0.1).log_softmax(dim=-1)
        terms = -(patch_target * log_student).sum(dim=-1)
        owner = masked.nonzero()[:, 0]
        expected += sum(terms[owner == crop].mean() for crop in range(8) if masked[crop].any()) / 8
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


def test_weights_of_the_parts(training):
    def value(**changes):
        built = training(drop_path=0.0, **changes)
        torch.manual_seed(3)
        return built.loss(*built.inputs).item()

    none = value(patch_weight=0.0, koleo_weight=0.0)
    patch, koleo = value(koleo_weight=0.0) - none, value(patch_weight=0.0) - none
    assert value(patch_weight=2.0, koleo_weight=0.3) == pytest.approx(none + 2 * patch + 3 * koleo, rel=1e-4)


def test_centring_keeps_a_moving_average_and_sinkhorn_none(training, tiny):
    assert training().network.center is None
    built = training(centering="centering")
    with torch.no_grad():
        mean = built.network.teacher["head"](built.network.teacher["encoder"](built.inputs[0])[0]).mean(dim=0)
    network = stepped(built, tiny)
    torch.testing.assert_close(network.center, 0.1 * mean)
    assert network.patch_center.abs().sum() > 0


@pytest.mark.parametrize("separate_head", [False, True])
def test_only_the_student_is_trained_and_all_of_it(training, separate_head):
    built = training(separate_head=separate_head)
    built.loss(*built.inputs).backward()
    assert all(p.grad is None and not p.requires_grad for p in built.network.teacher.parameters())
    assert all(parameter.grad is not None for parameter in built.network.student.parameters())


def test_the_teacher_follows(training, tiny):
    built = training(momentum=0.9)
    before = [parameter.clone() for parameter in built.network.teacher.parameters()]
    network = stepped(built, tiny)
    for old, teacher, student in zip(before, network.teacher.parameters(), network.student.parameters(), strict=True):
        torch.testing.assert_close(teacher, 0.9 * old + 0.1 * student)


def test_encoder_and_heads_are_clipped_apart(training):
    built = training(clip_gradient=1e-3, separate_head=True)
    built.loss(*built.inputs).backward()
    built.before_update()
    for part in built.network.student.values():
        norm = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in part.parameters()]))
        assert norm.item() == pytest.approx(1e-3, rel=1e-2)


def test_frozen_prototypes_stay(training, tiny):
    built = training(freeze_last_layer=True)
    before = built.network.student["head"].last_layer.weight.detach().clone()
    network = stepped(built, tiny)
    assert torch.equal(before, network.student["head"].last_layer.weight)


def test_loss_falls_on_one_batch(step):
    run = step(learning_rate=3e-3, drop_path=0.0, koleo_weight=0.0)
    losses = [run().item() for _ in range(40)]
    assert min(losses[-5:]) < 0.9 * losses[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"precision": "bf16", "weights": "bf16"},
        {"precision": "fp16", "centering": "centering", "separate_head": True},
        {"attention": "eager"},
        {"activation_checkpointing": True},
        {"accumulation": 2},
        {"local_crops": 0},
        {"batch_size": 1, "koleo_weight": 0.0},
    ],
)
def test_every_variant_runs_finite_steps(step, changes):
    run = step(**changes)
    assert all(run().isfinite() for _ in range(2))


@pytest.mark.parametrize(
    "base",
    [
        {"model_type": "vit", "intermediate_size": 32, "hidden_dropout_prob": 0.0},
        {"model_type": "dinov2_with_registers", "num_register_tokens": 4},
        {"use_swiglu_ffn": True},
    ],
)
def test_other_vision_transformers_learn_too(step, model_folder, base):
    assert step(model=model_folder({**TINY, "layerscale_value": None, **base}))().isfinite()


def test_inference_gives_class_tokens(infer, tiny):
    module, inputs = infer(dinov2, model=tiny, batch_size=3, image_size=32)
    assert not module.training
    assert module(*inputs).shape == (3, 16)


def test_the_default_learning_rate_goes_with_the_square_root_of_the_batch(training):
    assert training(batch_size=4, accumulation=4).learning_rate == pytest.approx(0.004 * (16 / 1024) ** 0.5)
    assert training(base_learning_rate=2e-4).learning_rate == pytest.approx(2e-4 * (4 / 1024) ** 0.5)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"batch_size": 1}, r"batch_size: KoLeo spreads images apart, so it needs at least 2 \(or koleo_weight 0\)"),
        ({"model": "resnet18"}, "type 'resnet' has no mask token"),
        ({"image_size": 36}, "image_size: expected a multiple of the model's patch size"),
        ({"local_size": 20}, "local_size: expected a multiple of the model's patch size"),
        ({"teacher_temperature": 0.0}, "teacher_temperature: expected a number above 0"),
        ({"mask_ratio_min": 0.7}, "mask_ratio_min <= mask_ratio_max <= 1, got 0.7 and 0.5"),
        ({"mask_probability": 0.0}, "mask_probability: expected a number above 0"),
        ({"drop_path": 1.0}, "drop_path: expected a number from 0 to below 1"),
        ({"momentum": -0.1}, "momentum: expected a number from 0 to 1"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)
