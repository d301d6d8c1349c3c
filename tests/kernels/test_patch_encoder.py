import pytest
import torch

from sslbench.kernels.patch_encoder import patch_encoder
from sslbench.kernels.setup import Setup

CPU = torch.device("cpu")
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 8}
MODELS = {
    "vit": {"model_type": "vit", "intermediate_size": 32, "hidden_dropout_prob": 0.0, **SIZES},
    "dinov2": {"model_type": "dinov2", **SIZES},
    "registers": {"model_type": "dinov2_with_registers", "num_register_tokens": 4, **SIZES},
}


@pytest.fixture(params=MODELS)
def encoder(request, model_folder):
    return patch_encoder(Setup(device=CPU, model=model_folder(MODELS[request.param]), batch_size=2), image_size=32)


def test_a_class_token_and_every_patch(encoder):
    class_tokens, patches = encoder(torch.randn(2, 3, 32, 32))
    assert class_tokens.shape == (2, 16)
    assert patches.shape == (2, 16, 16)
    assert (encoder.features, encoder.channels, encoder.side) == (16, 3, 4)


def test_crops_of_another_size_have_interpolated_positions(encoder):
    assert encoder(torch.randn(2, 3, 16, 16))[1].shape == (2, 4, 16)


def test_masked_patches_are_hidden_and_the_others_are_not(encoder):
    masked = torch.zeros(1, 16, dtype=torch.bool)
    masked[0, 3] = True
    images = torch.randn(1, 3, 32, 32)
    other = images.clone()
    other[:, :, :8, 24:] += 1  # patch 3
    torch.testing.assert_close(encoder(images, masked)[0], encoder(other, masked)[0])
    assert not torch.allclose(encoder(images)[0], encoder(other)[0])
    other[:, :, 8:16, :8] += 1  # patch 4
    assert not torch.allclose(encoder(images, masked)[0], encoder(other, masked)[0])


def test_every_parameter_has_a_part_in_what_masked_images_become(encoder):
    masked = torch.arange(16).expand(2, 16) < 5
    class_tokens, patches = encoder(torch.randn(2, 3, 32, 32), masked)
    (class_tokens.square().sum() + patches.square().sum()).backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@pytest.mark.parametrize(
    ("model", "size", "problem"),
    [
        ("resnet18", 32, r"a model of type 'resnet' has no mask token: use .* vit-s-14"),
        ("vit-s-14", 32, r"image_size: expected a multiple of the model's patch size \(14\), got 32"),
    ],
)
def test_models_that_cannot_be_masked_are_named(model, size, problem):
    with pytest.raises(ValueError, match=problem):
        patch_encoder(Setup(device=CPU, model=model, batch_size=2), image_size=size)
