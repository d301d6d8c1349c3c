import math

import pytest
import torch
from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

from sslbench.kernels.encoders import image_encoder
from sslbench.kernels.positions import fix_patches, sine_cosine_positions
from sslbench.kernels.setup import Setup


def test_positions_are_the_published_sines_and_cosines():
    side, width = 3, 8
    table = sine_cosine_positions(side * side, width)
    for patch in range(side * side):
        row, column = divmod(patch, side)
        for k in range(width // 4):
            omega = 1 / 10000 ** (k / (width // 4))
            expected = [
                math.sin(row * omega),
                math.cos(row * omega),
                math.sin(column * omega),
                math.cos(column * omega),
            ]
            found = table[patch, k :: width // 4]
            torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_as_the_positions_of_transformers():
    theirs = build_2d_sinusoidal_position_embedding(4, 4, 16)
    torch.testing.assert_close(sine_cosine_positions(16, 16), theirs, rtol=1e-5, atol=1e-6)


def test_a_vit_is_fixed_and_a_resnet_is_not(tiny_resnet):
    shared = {"device": torch.device("cpu"), "batch_size": 2}
    vit = image_encoder(Setup(model="vit-ti-16", **shared), image_size=32).network
    assert fix_patches(vit)
    frozen = {name for name, parameter in vit.named_parameters() if not parameter.requires_grad}
    patches = "embeddings.patch_embeddings.projection"
    assert frozen == {"embeddings.position_embeddings", f"{patches}.weight", f"{patches}.bias"}
    assert (vit.embeddings.position_embeddings[0, 0] == 0).all()
    assert torch.equal(vit.embeddings.position_embeddings[0, 1:], sine_cosine_positions(4, 192))
    resnet = image_encoder(Setup(model=tiny_resnet, **shared), image_size=32).network
    assert not fix_patches(resnet)
    assert all(parameter.requires_grad for parameter in resnet.parameters())


@pytest.mark.parametrize(("patches", "width"), [(4, 6), (5, 8)])
def test_what_makes_no_grid_is_named(patches, width):
    with pytest.raises(ValueError, match=rf"a multiple of 4 .* got a width of {width} and {patches} patches"):
        sine_cosine_positions(patches, width)
