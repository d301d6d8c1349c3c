"""BEiT: predict the visual tokens of hidden patches.

Paper: https://arxiv.org/abs/2106.08254. Blocks of patches, about 40 % of the image, are replaced by a learned token
(Section 2.3, Algorithm 1); a classifier over a vocabulary of 8192 predicts their visual tokens (Sections 2.1, 2.4);
learning rate 1.5e-3 for a batch of 2048, weight decay 0.05 (Section 3, and the authors' command). The token of a
patch is given by DALL-E's tokenizer. By default tokens are part of the input; with `tokenizer` each step makes them,
as the authors' code does, with a stand-in of the same architecture and random weights.

As the authors have it, only hidden patches go through the classifier. The network is that of transformers.

Shapes: B images, C channels, S pixels, P pixels of a patch a side, L = (S / P)^2 patches, M of them hidden, F
features, V tokens.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.beit_encoder import beit, beit_features
from sslbench.kernels.clipping import check_clip
from sslbench.kernels.data.augmentation import BEIT
from sslbench.kernels.dvae import PIXELS, VOCABULARY, DiscreteVaeEncoder
from sslbench.kernels.encoders import fit_image_size, laid_out, synthetic_images
from sslbench.kernels.image_masking import blockwise_positions, hidden_count
from sslbench.kernels.models import checkpoint_activations, constructing, model_config
from sslbench.kernels.setup import Inference, Setup, Training


def train(
    setup: Setup,
    *,
    image_size: int,
    mask_ratio: float = 0.4,
    tokenizer: bool = False,
    clip_gradient: float = 3.0,
) -> Training:
    """Masked image modelling on synthetic images (B, C, S, S), positions of hidden patches (B, M) and tokens (B, L).

    Args:
        setup: model, batch and how it is run.
        image_size: height and width in pixels (S).
        mask_ratio: part of the patches that is hidden, in blocks, as the loader draws them; M = round(ratio * L).
        tokenizer: make the tokens in each step, from images of 8 pixels a token (B, 3, 8 S / P, 8 S / P).
        clip_gradient: norm of all gradients together that they are scaled down to (`--clip_grad` of the authors'
            command); 0: never.

    Raises:
        ValueError: the model is no BEiT, its patches do not divide the image, or a value is out of range.
    """
    check_clip(clip_gradient)
    config = _config(setup, image_size)
    grid = image_size // config.patch_size
    hidden = hidden_count(grid * grid, mask_ratio)
    config.use_mask_token = True
    config.use_mean_pooling = True  # which leaves out a normalisation before that of the classifier
    if tokenizer:
        config.vocab_size = VOCABULARY
    model = beit("BeitForMaskedImageModeling", config, setup)
    if setup.activation_checkpointing:
        checkpoint_activations(model)
    with constructing(setup.device):  # in fp32 whatever the weights: so its authors store it
        network = laid_out(_Beit(model, DiscreteVaeEncoder() if tokenizer else None), setup)

    def loss(images: torch.Tensor, hidden_BM: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        tokens_BL = targets if network.tokenizer is None else network.tokenizer(targets)
        logits_BMV = network(images, hidden_BM)
        return functional.cross_entropy(logits_BMV.flatten(0, 1), tokens_BL.gather(1, hidden_BM).flatten())

    def clip() -> None:
        nn.utils.clip_grad_norm_(model.parameters(), clip_gradient)

    positions = blockwise_positions(setup.batch_size, grid, count=hidden)
    return Training(
        network=network,
        inputs=(
            synthetic_images(setup, setup.batch_size, config.num_channels, image_size),
            torch.tensor(positions, device=setup.device),
            _targets(setup, grid, config.vocab_size, images=tokenizer),
        ),
        loss=loss,
        learning_rate=1.5e-3,
        weight_decay=0.05,
        before_update=clip if clip_gradient else None,
        augmentations=BEIT,
    )


def inference(setup: Setup, *, image_size: int) -> Inference:
    """The encoder and its input (B, C, S, S); gives the mean of the patches' features, normalised (B, F).

    Raises:
        ValueError: as `train`.
    """
    config = _config(setup, image_size)
    images = synthetic_images(setup, setup.batch_size, config.num_channels, image_size)
    return beit_features(config, setup).eval(), (images,)


class _Beit(nn.Module):
    """Encoder, classifier and, if tokens are made in the step, the frozen tokenizer."""

    def __init__(self, model: Any, tokenizer: DiscreteVaeEncoder | None) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer

    def forward(self, images: torch.Tensor, hidden_BM: torch.Tensor) -> torch.Tensor:
        """Logits (B, M, V) of the tokens of hidden patches."""
        patches = (images.shape[-1] // self.model.config.patch_size) ** 2
        mask_BL = torch.zeros(len(images), patches, dtype=torch.bool, device=images.device)
        mask_BL.scatter_(1, hidden_BM, True)
        features = self.model.beit(images, bool_masked_pos=mask_BL).last_hidden_state
        patches_BLF = self.model.layernorm(features)[:, 1:]
        index_BMF = hidden_BM.unsqueeze(-1).expand(-1, -1, patches_BLF.shape[-1])
        logits_BMV: torch.Tensor = self.model.lm_head(patches_BLF.gather(1, index_BMF))
        return logits_BMV


def _config(setup: Setup, image_size: int) -> Any:
    config = model_config(setup.model)
    if config.model_type != "beit":
        raise ValueError(
            f"beit needs a BEiT encoder, with a mask token and a visual vocabulary, got a model of type "
            f"{config.model_type!r}: use a model such as beit-b-16"
        )
    fit_image_size(config, image_size)
    return config


def _targets(setup: Setup, grid: int, vocabulary: int, *, images: bool) -> torch.Tensor:
    """Visual tokens, or the images that the tokenizer makes them from: pixels from 0 to 1, in fp32."""
    if images:
        return torch.rand(setup.batch_size, 3, grid * PIXELS, grid * PIXELS, device=setup.device)
    return torch.randint(vocabulary, (setup.batch_size, grid * grid), device=setup.device)
