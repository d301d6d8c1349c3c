"""Vision transformers that give the class token and every patch, with masked patches replaced by a learned token.

Shapes: N images, C channels, S pixels, P patches, F features.
"""

from typing import Any

import torch
from torch import nn

from sslbench.kernels.encoders import fit_image_size, laid_out
from sslbench.kernels.models import base_class, checkpoint_activations, constructing, create, model_config
from sslbench.kernels.setup import Setup

_KEYWORDS: dict[str, dict[str, Any]] = {
    "vit": {"add_pooling_layer": False, "use_mask_token": True},
    "dinov2": {},
    "dinov2_with_registers": {},
}
"""Model types that have a mask token and interpolate positions, and what their class needs for it."""


class PatchEncoder(nn.Module):
    """Images (N, C, S, S) to a class token (N, F) and patches (N, P, F), both after the last normalisation."""

    def __init__(self, network: nn.Module, config: Any) -> None:
        super().__init__()
        self.network = network
        self.image_size = int(config.image_size)
        self.features = int(config.hidden_size)
        self.channels = int(config.num_channels)
        self.side = self.image_size // int(config.patch_size)
        """Patches in a row and in a column of an image of the model's own size."""
        self._before = 1 + getattr(config, "num_register_tokens", 0)
        # Crops of another size than the model's have interpolated positions; DINOv2's models do that by themselves.
        self._interpolate = {"interpolate_pos_encoding": True} if config.model_type == "vit" else {}

    def forward(self, images: torch.Tensor, masked_NP: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Class tokens (N, F) and patches (N, P, F); patches that `masked_NP` marks are hidden from the network."""
        tokens = self.network(images, bool_masked_pos=masked_NP, **self._interpolate).last_hidden_state
        return tokens[:, 0], tokens[:, self._before :]


def patch_encoder(setup: Setup, *, image_size: int) -> PatchEncoder:
    """The setup's vision transformer with a mask token, on its device, with recomputed activations if asked for.

    Raises:
        ValueError: the model is none that can be masked, or its patches do not divide the image.
    """
    config = model_config(setup.model)
    if config.model_type not in _KEYWORDS:
        raise ValueError(
            f"a model of type {config.model_type!r} has no mask token: use a vision transformer such as vit-s-14"
        )
    fit_image_size(config, image_size)
    config.use_mask_token = True
    with constructing(setup.device, setup.weights):
        network = create(base_class(config).__name__, config, setup.attention, **_KEYWORDS[config.model_type])
    if setup.activation_checkpointing:
        checkpoint_activations(network)
    return laid_out(PatchEncoder(network, config), setup)
