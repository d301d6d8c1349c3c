from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

from sslbench.kernels.objectives import mae
from sslbench.kernels.objectives.mae import sine_cosine_positions

unhurried = settings(max_examples=25)
TINY_VIT = {
    "model_type": "vit",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "patch_size": 8,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
DECODER = {"decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2}


@pytest.fixture
def tiny_vit(model_folder):
    return model_folder(TINY_VIT)


@pytest.fixture
def step(tiny_vit, build):
    return partial(build, mae, model=tiny_vit, batch_size=4, image_size=32, **DECODER)


@pytest.fixture
def training(tiny_vit, trained):
    return partial(trained, mae, model=tiny_vit, batch_size=3, image_size=32, **DECODER)


def naive(images, predicted, mask, patch, *, normalized):
    """Section 3 of the paper as loops over images and patches, in float64; the variance is torch's, over n - 1."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    grid = images.shape[-1] // patch
    for image in range(len(images)):
        for place in range(grid * grid):
            if not mask[image, place]:
                continue
            top, left = place // grid * patch, place % grid * patch
            target = images[image, :, top : top + patch, left : left + patch].permute(1, 2, 0).flatten()
            if normalized:
                target = (target - target.mean()) / (target.var() + 1e-6).sqrt()
            total = total + (predicted[image, place] - target).square().mean()
            count += 1
    return total / count


@pytest.mark.parametrize("normalized", [True, False])
def test_the_loss_is_the_papers_in_value_and_gradient(training, normalized):
    built = training(normalize_pixels=normalized)
    network = built.network.double()
    images = built.inputs[0].double()
    torch.manual_seed(1)
    output = network(pixel_values=images)
    torch.manual_seed(1)
    loss = built.loss(images)
    assert loss.item() == output.loss.item()
    logits = output.logits.detach().requires_grad_()
    expected = naive(images, logits, output.mask, 8, normalized=normalized)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    expected.backward()
    seen = torch.autograd.grad(output.loss, output.logits)[0]
    torch.testing.assert_close(seen, logits.grad, rtol=1e-9, atol=1e-12)


@unhurried
@given(ratio=st.floats(0.07, 0.93))
def test_exactly_the_ratio_is_hidden_in_every_image_and_anew_in_every_step(ratio):
    config = mae.ViTMAEConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    config.image_size, config.patch_size, config.mask_ratio = 32, 8, ratio
    embeddings = mae.create("ViTMAEModel", config, "sdpa").embeddings
    first, second = (embeddings(torch.randn(5, 3, 32, 32)) for _ in range(2))
    left = int(16 * (1 - ratio))
    assert first[0].shape == (5, 1 + left, 8)
    assert first[1].sum(dim=1).tolist() == [16 - left] * 5
    assert left in (1, 15) or not torch.equal(first[1], second[1])


def test_positions_are_the_papers_and_never_trained(training):
    built = training()
    names = {name for name, parameter in built.network.named_parameters() if not parameter.requires_grad}
    assert names == {"vit.embeddings.position_embeddings", "decoder.decoder_pos_embed"}
    positions = built.network.vit.embeddings.position_embeddings
    # The authors' grid has the column first; transformers names the halves the other way round.
    theirs = build_2d_sinusoidal_position_embedding(4, 4, 32, cls_token=True)
    theirs = torch.cat([theirs[:, 16:], theirs[:, :16]], dim=1)
    torch.testing.assert_close(positions[0], theirs)
    assert positions[0, 0].abs().sum() == 0
    assert built.network.decoder.decoder_pos_embed.abs().sum() > 0


@pytest.mark.parametrize("width", [2, 6, 33])
def test_positions_need_a_width_that_four_divides(width):
    with pytest.raises(ValueError, match=f"a width that is a multiple of 4, got {width}"):
        sine_cosine_positions(2, width)


@unhurried
@given(grid=st.integers(1, 6), quarter=st.integers(1, 8))
def test_positions_of_every_size_have_unit_pairs_and_differ(grid, quarter):
    positions = sine_cosine_positions(grid, 4 * quarter)
    assert positions.shape == (1, grid * grid + 1, 4 * quarter)
    column, row = positions[0, 1:].split(2 * quarter, dim=1)
    for half in (column, row):
        sine, cosine = half.split(quarter, dim=1)
        torch.testing.assert_close(sine.square() + cosine.square(), torch.ones_like(sine))
    assert len(torch.unique(positions[0, 1:], dim=0)) == grid * grid


def test_every_trained_parameter_gets_a_gradient_and_the_positions_stay(training, step):
    built = training()
    built.loss(*built.inputs).backward()
    for parameter in built.network.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad


@pytest.mark.slow
def test_loss_falls_on_one_batch(step):
    run = step(learning_rate=1e-2, batch_size=2, mask_ratio=0.5, decoder_dim=32)
    losses = [run().item() for _ in range(50)]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


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
        {"normalize_pixels": False},
    ],
)
def test_every_variant_runs_finite_steps(step, changes):
    run = step(**changes)
    assert all(run().isfinite() for _ in range(2))


def test_the_learning_rate_is_the_papers_rule(training):
    assert training(batch_size=4, accumulation=2).learning_rate == pytest.approx(1.5e-4 * 8 / 256)
    assert training().weight_decay == 0.05


def test_inference_encodes_the_whole_image(tiny_vit, infer):
    module, inputs = infer(mae, model=tiny_vit, batch_size=3, image_size=32)
    assert not module.training
    assert [tuple(tensor.shape) for tensor in inputs] == [(3, 3, 32, 32)]
    assert module(*inputs).shape == (3, 32)
    assert torch.equal(module(*inputs), module(*inputs))  # nothing is hidden, so nothing is drawn


def test_a_downloaded_autoencoder_keeps_its_own_decoder(model_folder, trained, infer):
    folder = model_folder(
        {
            **TINY_VIT,
            "model_type": "vit_mae",
            "decoder_hidden_size": 24,
            "decoder_num_hidden_layers": 1,
            "decoder_num_attention_heads": 3,
            "decoder_intermediate_size": 40,
        }
    )
    network = trained(mae, model=folder, batch_size=2, image_size=32).network
    assert network.decoder.decoder_embed.out_features == 24
    assert network.decoder.decoder_layers[0].mlp.fc1.out_features == 40
    module, inputs = infer(mae, model=folder, batch_size=2, image_size=32)
    assert module(*inputs).shape == (2, 32)


def test_the_papers_decoder_is_the_default(tiny_vit, trained):
    meta = torch.device("meta")
    decoder = trained(mae, device=meta, model=tiny_vit, batch_size=1, image_size=32).network.decoder
    assert len(decoder.decoder_layers) == 8
    assert decoder.decoder_embed.out_features == 512
    assert decoder.decoder_layers[0].mlp.fc1.out_features == 2048
    assert decoder.config.num_attention_heads == 16


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"mask_ratio": 0.0}, "mask_ratio: expected a number between 0 and 1, got 0.0"),
        ({"mask_ratio": 1.0}, "mask_ratio: expected a number between 0 and 1, got 1.0"),
        ({"mask_ratio": 0.99}, "mask_ratio: 0.99 of 16 patches leaves 0"),
        ({"image_size": 33}, r"image_size: expected a multiple of the model's patch size \(8\), got 33"),
        (
            {"decoder_dim": 20, "decoder_heads": 3},
            "decoder_dim: expected a multiple of the decoder's 3 attention heads",
        ),
        ({"decoder_dim": 18}, "decoder_dim: expected a multiple of 4, for its positions, got 18"),
        ({"decoder_depth": 0}, "decoder_depth: expected a positive integer, got 0"),
        ({"model": "resnet18"}, "mae needs a vision transformer, .* type 'resnet'"),
        ({"model": "timm:vit_tiny_patch16_224"}, "a model of timm"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem) as raised:
        step(**changes)
    assert "\n" not in str(raised.value)
