import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import SwinForMaskedImageModeling, ViTForMaskedImageModeling

from sslbench.kernels.models import model_config
from sslbench.kernels.objectives import simmim
from sslbench.kernels.objectives.simmim import masked_l1

unhurried = settings(max_examples=20)
ATTENTION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "patch_size": 8,
}
MODELS = {
    "swin": {
        "embed_dim": 8,
        "depths": [2, 1],
        "num_heads": [2, 2],
        "window_size": 4,
        "patch_size": 4,
        "drop_path_rate": 0.0,
    },
    "vit": {**ATTENTION, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "deit": {**ATTENTION, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "beit": {**ATTENTION, "use_shared_relative_position_bias": True},
}


@pytest.fixture
def folder(model_folder):
    return lambda kind: model_folder({"model_type": kind, **MODELS[kind]})


@pytest.fixture
def step(folder, build):
    return lambda kind="swin", **changes: build(
        simmim, **{"model": folder(kind), "batch_size": 3, "image_size": 32, "mask_patch": 16, **changes}
    )


@pytest.fixture
def training(folder, trained):
    return lambda kind="swin", **changes: trained(
        simmim, **{"model": folder(kind), "batch_size": 3, "image_size": 32, "mask_patch": 16, **changes}
    )


@unhurried
@given(
    images=st.integers(1, 3),
    grid=st.integers(1, 3),
    patch=st.integers(1, 3),
    channels=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_the_loss_is_the_mean_over_hidden_pixels_in_value_and_gradient(images, grid, patch, channels, seed):
    generator = torch.Generator().manual_seed(seed)
    shape = (images, channels, grid * patch, grid * patch)
    target = torch.randn(shape, generator=generator, dtype=torch.float64)
    predicted = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(images, grid * grid, generator=generator) < 0.5
    mask[0, 0] = True
    copy = predicted.detach().clone().requires_grad_()
    total, count = 0.0, 0
    for image, place in mask.nonzero().tolist():
        for row in range(place // grid * patch, place // grid * patch + patch):
            for column in range(place % grid * patch, place % grid * patch + patch):
                total = total + (copy[image, :, row, column] - target[image, :, row, column]).abs().sum()
                count += 1
    expected = total / (count + 1e-5) / channels
    loss = masked_l1(target, predicted, mask, patch)
    loss.backward()
    expected.backward()
    # The count, plus 1e-5, is in fp32, as the authors have it.
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(predicted.grad, copy.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "reference"), [("swin", SwinForMaskedImageModeling), ("vit", ViTForMaskedImageModeling)]
)
def test_network_and_loss_are_those_of_transformers(folder, training, kind, reference):
    config = model_config(folder(kind))
    config.image_size, config.encoder_stride = 32, 8
    theirs = reference(config).double()
    built = training(kind)
    ours = built.network.double()
    weights = {name.replace(f"{kind}.", "encoder.", 1): value for name, value in theirs.state_dict().items()}
    ours.load_state_dict(weights)
    images, mask = built.inputs[0].double(), built.inputs[1]
    output = theirs(images, bool_masked_pos=mask)
    torch.testing.assert_close(ours(images, mask), output.reconstruction)
    assert built.loss(images, mask).item() == pytest.approx(output.loss.item(), rel=1e-9)


@pytest.mark.parametrize("kind", MODELS)
def test_every_parameter_gets_a_gradient(training, kind):
    built = training(kind)
    images, mask = built.inputs
    assert images.shape == (3, 3, 32, 32)
    assert mask.dtype == torch.bool
    built.loss(images, mask).backward()
    # A distillation token of DeiT is seen by the others, so it has a gradient too.
    assert all(parameter.grad is not None for parameter in built.network.parameters())


@pytest.mark.parametrize("kind", MODELS)
def test_what_hidden_squares_show_makes_no_difference(training, kind):
    built = training(kind)
    network, (images, mask) = built.network.eval(), built.inputs
    grid = int(mask.shape[1] ** 0.5)
    hidden = mask.view(3, 1, grid, grid).repeat_interleave(32 // grid, 2).repeat_interleave(32 // grid, 3)
    changed = torch.where(hidden, torch.randn_like(images), images)
    torch.testing.assert_close(network(changed, mask), network(images, mask))
    assert not torch.allclose(network(torch.where(hidden, images, changed + 1), mask), network(images, mask))


@pytest.mark.parametrize("kind", MODELS)
def test_loss_falls_on_one_batch(step, kind):
    run = step(kind, learning_rate=1e-2)
    losses = [run().item() for _ in range(25)]
    assert losses[-1] < 0.97 * losses[0]


@pytest.mark.parametrize("kind", ["swin", "beit"])
@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"precision": "tf32"},
        {"precision": "bf16", "weights": "bf16"},
        {"attention": "eager"},
        {"channels_last": True},
        {"activation_checkpointing": True},
        {"accumulation": 2},
    ],
)
def test_every_variant_runs_finite_steps(step, kind, changes):
    run = step(kind, **changes)
    assert all(run().isfinite() for _ in range(2))


def test_gradients_are_clipped_by_their_norm_together(training):
    built = training(clip_gradient=1e-3)
    built.loss(*built.inputs).backward()
    built.before_update()
    gradients = [parameter.grad.flatten() for parameter in built.network.parameters()]
    assert torch.cat(gradients).norm().item() == pytest.approx(1e-3, rel=1e-2)
    assert training(clip_gradient=0.0).before_update is None


def test_the_learning_rate_is_the_papers_rule(training):
    built = training(batch_size=4, accumulation=2)
    assert built.learning_rate == pytest.approx(2e-4 * 8 / 512)
    assert built.weight_decay == 0.05


@pytest.mark.parametrize(("kind", "features"), [("swin", 16), ("vit", 32), ("deit", 32), ("beit", 32)])
def test_inference_gives_pooled_features(folder, infer, kind, features):
    module, inputs = infer(simmim, model=folder(kind), batch_size=2, image_size=32)
    assert not module.training
    assert [tuple(tensor.shape) for tensor in inputs] == [(2, 3, 32, 32)]
    assert module(*inputs).shape == (2, features)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"mask_ratio": 0.0}, "mask_ratio: expected a number between 0 and 1, got 0.0"),
        ({"mask_ratio": 0.9}, "mask_ratio: 0.9 of 4 squares hides 4"),
        ({"mask_patch": 10}, r"mask_patch: expected a multiple of the model's patch size \(4\), got 10"),
        ({"mask_patch": 24}, r"image_size: expected a multiple of mask_patch \(24\), got 32"),
        ({"image_size": 30}, r"image_size: expected a multiple of the model's patch size \(4\), got 30"),
        ({"image_size": 36, "mask_patch": 12}, r"image_size: expected a multiple of the model's stride \(8\), got 36"),
        ({"image_size": 16, "mask_patch": 8}, "image_size: the model's windows of 4 need at least 32 pixels, got 16"),
        ({"clip_gradient": -1.0}, "clip_gradient: expected a norm from 0"),
        ({"model": "resnet18"}, "simmim needs an encoder with a mask token .* type 'resnet'"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem) as raised:
        step(**changes)
    assert "\n" not in str(raised.value)
