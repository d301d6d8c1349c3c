"""BEiT's vision transformer from transformers, with relative positions that are looked up on the device.

Shapes: B images, G patches a side, L = G * G patches, H heads, F features.
"""

from typing import Any

import torch
from torch import nn

from sslbench.kernels.encoders import ImageEncoder, laid_out
from sslbench.kernels.models import constructing, create
from sslbench.kernels.setup import Setup


class RelativePositionBias(nn.Module):
    """A learned bias (1, H, L + 1, L + 1) of attention, one number a head and a distance; 3 more for the class token.

    As in the authors' code (https://github.com/microsoft/unilm, beit/modeling_finetune.py). That of transformers gives
    the same, but interpolates the table and copies its index from the host in every forward pass.
    """

    def __init__(self, grid: int, heads: int) -> None:
        super().__init__()
        distances = (2 * grid - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.zeros(distances + 3, heads))
        self.register_buffer("index", _index(grid, distances), persistent=False)
        self.index: torch.Tensor

    def forward(self, *_: object, **__: object) -> torch.Tensor:
        """The bias; the model's layers pass a resolution, which is fixed here."""
        places = len(self.index)
        bias = self.relative_position_bias_table[self.index.view(-1)].view(places, places, -1)
        return bias.permute(2, 0, 1).contiguous().unsqueeze(0)


def beit(class_name: str, config: Any, setup: Setup, **keywords: Any) -> Any:
    """A model of transformers with a BEiT encoder, on the setup's device, its relative positions looked up there."""
    with constructing(setup.device, setup.weights):
        network: Any = create(class_name, config, setup.attention, **keywords)
        for module in list(network.modules()):
            for name in ("relative_position_bias", "shared_position_bias"):
                if isinstance(getattr(module, name, None), nn.Module):
                    grid = config.image_size // config.patch_size
                    setattr(module, name, RelativePositionBias(grid, config.num_attention_heads))
    return network


def beit_features(config: Any, setup: Setup) -> ImageEncoder:
    """The encoder without a mask token: images to the mean of their patches' features, normalised (B, F)."""
    config.use_mask_token = False
    encoder = ImageEncoder(
        beit("BeitModel", config, setup),
        features=config.hidden_size,
        channels=config.num_channels,
        image_size=config.image_size,
        interpolates=False,
    )
    return laid_out(encoder, setup)


def _index(grid: int, distances: int) -> torch.Tensor:
    """Row of the table for every pair of places (L + 1, L + 1), the class token first."""
    row, column = torch.arange(grid * grid) // grid, torch.arange(grid * grid) % grid
    down, right = row[:, None] - row[None], column[:, None] - column[None]
    index = torch.full((grid * grid + 1, grid * grid + 1), distances + 1)  # of a patch to the class token
    index[1:, 1:] = (down + grid - 1) * (2 * grid - 1) + right + grid - 1
    index[0] = distances  # of the class token to a patch
    index[0, 0] = distances + 2
    return index
