"""SimMIM: predict the raw pixels of hidden squares with one linear layer.

Paper: https://arxiv.org/abs/2111.09886. Squares of 32 x 32 pixels, 60 % of the image, are replaced by a learned token
at the patch embedding (Sections 3.2, 4.1); a 1 x 1 convolution and a pixel shuffle predict them (Section 3.3); L1 on
hidden pixels (Section 3.4); learning rate 2e-4 * batch / 512, weight decay 0.05 (Section 4.1: 8e-4 for 2048).
Model and loss follow https://github.com/microsoft/SimMIM, models/simmim.py.

Shapes: B images, C channels, S pixels, L patches, F features of an output place, which stands for T x T pixels.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.beit_encoder import beit, beit_features
from sslbench.kernels.clipping import check_clip
from sslbench.kernels.data.augmentation import SIMMIM
from sslbench.kernels.encoders import feature_size, fit_image_size, image_encoder, laid_out, synthetic_images
from sslbench.kernels.image_masking import random_mask
from sslbench.kernels.models import base_class, checkpoint_activations, constructing, create, model_config
from sslbench.kernels.setup import Inference, Setup, Training

_MODELS = ("swin", "vit", "deit", "beit")


def train(
    setup: Setup,
    *,
    image_size: int,
    mask_ratio: float = 0.6,
    mask_patch: int = 32,
    clip_gradient: float = 5.0,
) -> Training:
    """Masked image modelling on synthetic images (B, C, S, S) and masks of their patches (B, L), True for hidden.

    Args:
        setup: model, batch and how it is run.
        image_size: height and width in pixels (S).
        mask_ratio: part of the squares that is hidden, as the loader draws them: ceil(ratio * squares) of every image.
        mask_patch: height and width of a square in pixels.
        clip_gradient: norm of all gradients together that they are scaled down to (`CLIP_GRAD` of the authors'
            config.py); 0: never.

    Raises:
        ValueError: the model has no mask token, its patches or the squares do not tile the image, or a value is out of
            range.
    """
    check_clip(clip_gradient)
    config = _config(setup, image_size)
    _check_tiles(image_size, mask_patch, config.patch_size)
    stride = _stride(config, image_size)
    encoder = _encoder(config, setup)
    if setup.activation_checkpointing:
        checkpoint_activations(encoder)
    with constructing(setup.device, setup.weights):
        network = laid_out(_SimMim(encoder, feature_size(config), config.num_channels, stride), setup)

    def loss(images: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        return masked_l1(images, network(images, mask_BL), mask_BL, config.patch_size)

    def clip() -> None:
        nn.utils.clip_grad_norm_(network.parameters(), clip_gradient)

    mask_BL = random_mask(
        setup.batch_size,
        image_size // config.patch_size,
        unit=mask_patch // config.patch_size,
        mask_ratio=mask_ratio,
        device=setup.device,
    )
    return Training(
        network=network,
        inputs=(synthetic_images(setup, setup.batch_size, config.num_channels, image_size), mask_BL),
        loss=loss,
        learning_rate=2e-4 * setup.samples / 512,
        weight_decay=0.05,
        before_update=clip if clip_gradient else None,
        augmentations=SIMMIM,
    )


def inference(setup: Setup, *, image_size: int) -> Inference:
    """The encoder (the linear layer is thrown away) and its input (B, C, S, S); gives pooled features (B, F).

    Raises:
        ValueError: as `train`.
    """
    config = _config(setup, image_size)
    if config.model_type == "beit":
        encoder = beit_features(config, setup)
    else:
        encoder = image_encoder(setup, image_size=image_size)
    return encoder.eval(), (synthetic_images(setup, setup.batch_size, config.num_channels, image_size),)


def masked_l1(images: torch.Tensor, predicted: torch.Tensor, mask_BL: torch.Tensor, patch: int) -> torch.Tensor:
    """Mean absolute error over the pixels of hidden patches.

    Args:
        images: (B, C, S, S).
        predicted: (B, C, S, S).
        mask_BL: True for a patch that is hidden, in row order.
        patch: pixels of a patch a side.
    """
    grid = images.shape[-1] // patch
    square = mask_BL.view(-1, grid, grid).repeat_interleave(patch, 1).repeat_interleave(patch, 2)
    mask = square.unsqueeze(1).contiguous()
    error = functional.l1_loss(images, predicted, reduction="none")
    return (error * mask).sum() / (mask.sum() + 1e-5) / images.shape[1]


class _SimMim(nn.Module):
    """Encoder with a mask token, and the head: F -> C * T * T by a 1 x 1 convolution, shuffled into pixels."""

    def __init__(self, encoder: nn.Module, features: int, channels: int, stride: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.stride = stride
        self.decoder = nn.Sequential(nn.Conv2d(features, stride**2 * channels, 1), nn.PixelShuffle(stride))

    def forward(self, images: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        """Predicted pixels (B, C, S, S)."""
        places = self.encoder(images, bool_masked_pos=mask_BL).last_hidden_state
        grid = images.shape[-1] // self.stride
        places = places[:, places.shape[1] - grid * grid :]  # after the class token, where there is one
        square = places.transpose(1, 2).reshape(len(images), -1, grid, grid)
        predicted: torch.Tensor = self.decoder(square)
        return predicted


def _config(setup: Setup, image_size: int) -> Any:
    config = model_config(setup.model)
    if config.model_type not in _MODELS:
        raise ValueError(
            f"simmim needs an encoder with a mask token ({', '.join(_MODELS)}), got a model of type "
            f"{config.model_type!r}: use a model such as swin-b-window6"
        )
    fit_image_size(config, image_size)
    return config


def _check_tiles(image_size: int, mask_patch: int, patch: int) -> None:
    if mask_patch < 1 or mask_patch % patch:
        raise ValueError(f"mask_patch: expected a multiple of the model's patch size ({patch}), got {mask_patch}")
    if image_size % mask_patch:
        raise ValueError(f"image_size: expected a multiple of mask_patch ({mask_patch}), got {image_size}")


def _stride(config: Any, image_size: int) -> int:
    """Pixels a side that one place of the encoder's output stands for."""
    stages = len(config.depths) if hasattr(config, "depths") else 1
    stride: int = config.patch_size * 2 ** (stages - 1)
    if image_size % stride:
        raise ValueError(f"image_size: expected a multiple of the model's stride ({stride}), got {image_size}")
    window = getattr(config, "window_size", 1)  # which transformers cannot shrink at the last stage
    if image_size < stride * window:
        raise ValueError(
            f"image_size: the model's windows of {window} need at least {stride * window} pixels, got {image_size}"
        )
    return stride


def _encoder(config: Any, setup: Setup) -> nn.Module:
    """The model with a mask token, normalised at its end, without a pooler."""
    if config.model_type == "beit":
        config.use_mask_token = True
        config.use_mean_pooling = False  # with it the normalisation is part of the pooler
        model: nn.Module = beit("BeitModel", config, setup, add_pooling_layer=False)
        return model
    with constructing(setup.device, setup.weights):
        name = base_class(config).__name__
        return create(name, config, setup.attention, add_pooling_layer=False, use_mask_token=True)
