import pytest
import torch
from transformers import BeitConfig, BeitModel
from transformers.models.beit.modeling_beit import BeitRelativePositionBias

from sslbench.kernels.beit_encoder import RelativePositionBias, beit
from sslbench.kernels.setup import Setup

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "image_size": 24,
    "patch_size": 8,
    "drop_path_rate": 0.0,
}
SETUP = Setup(device=torch.device("cpu"), model="", batch_size=1)


@pytest.mark.parametrize("grid", [1, 2, 3, 5])
def test_the_bias_is_that_of_transformers(grid):
    config = BeitConfig(**{**SIZES, "image_size": 8 * grid})
    theirs, ours = BeitRelativePositionBias(config), RelativePositionBias(grid, 4)
    table = torch.randn_like(theirs.relative_position_bias_table)
    for module in (theirs, ours):
        module.relative_position_bias_table.data.copy_(table)
    torch.testing.assert_close(ours(), theirs((grid, grid)))


@pytest.mark.parametrize("kind", ["use_shared_relative_position_bias", "use_relative_position_bias"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_encoder_is_that_of_transformers(kind, attention):
    config = BeitConfig(**SIZES, **{kind: True}, attn_implementation=attention)
    theirs = BeitModel(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    ours = beit("BeitModel", config, SETUP).eval()
    ours.load_state_dict(theirs.state_dict())
    assert not any(isinstance(module, BeitRelativePositionBias) for module in ours.modules())
    images = torch.randn(2, 3, 24, 24)
    torch.testing.assert_close(ours(images).last_hidden_state, theirs(images).last_hidden_state)


def test_an_encoder_without_relative_positions_stays_as_it_is():
    config = BeitConfig(**SIZES, use_absolute_position_embeddings=True)
    network = beit("BeitModel", config, SETUP)
    assert not any(isinstance(module, RelativePositionBias) for module in network.modules())
    assert network(torch.randn(1, 3, 24, 24)).pooler_output.shape == (1, 16)
